"""Figures from analysis data, one module for each kind of plot.

A figure holds no texts of trials: its points carry the trial's name within the round as ``customdata``, and the page
shows that trial's facts when one points at it. Traces say in ``meta`` which study they belong to, and whether they show
one of its best trials, so that the page can show and hide them.

To add a plot: a function in `raytune_playbook.analysis` gathers its data, a module here makes a `go.Figure` of them
with ``customdata`` and ``meta`` as above, and `raytune_playbook.report.page.views.plots` puts it on the page.
"""
