"""Figures from analysis data, one module for each kind of plot.

A figure holds no texts of trials: its points carry the trial's name within the round as ``customdata``, and the page
shows that trial's facts when one points at it and leads to it on a click. Traces say in ``meta`` which study they
belong to, so that the page can hide them, and which ``role`` they have in their kind of figure, so that it can judge
them by another objective.

To add a plot: a function in `raytune_playbook.analysis` gathers its data, a module here makes a `Figure` of them with
``customdata`` and ``meta`` as above, and `raytune_playbook.report.page.views.plots` puts it on the page.
"""
