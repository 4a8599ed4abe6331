"""What the page says, as plain data: one view for each section, which the template of the same name lays out.

A view knows no HTML, and holds the texts of records as they are: the templates escape them.
"""
