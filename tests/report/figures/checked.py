"""Figures as plotly itself reads them."""

from __future__ import annotations

import plotly.graph_objects as go

from raytune_playbook.report.figures.figure import Figure


def checked(figure: Figure) -> go.Figure:
    """The figure as plotly's own class, which refuses names and values that it does not know."""
    return go.Figure(figure.json)
