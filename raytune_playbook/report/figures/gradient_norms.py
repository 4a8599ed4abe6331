"""How the gradient's norm is distributed over all steps, and its 90th percentile (rules UN2 and UN6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.series.curves import StepDigest
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.figure import Figure, Json, rounded
from raytune_playbook.report.figures.hyperparameter_axis import log_axis
from raytune_playbook.report.figures.style import HOVER_TRIAL, MARGIN, Look, Looks, trial_name

NUM_BINS = 40
CLIPPING_QUANTILE = 90
"""In percent: where the playbook begins to clip."""


def gradient_norms_figure(digests: Sequence[tuple[Trial, StepDigest]], looks: Looks) -> Figure:
    """The share of steps against the gradient's norm; the upright line of a trial is its 90th percentile.

    Args:
        digests: of the trials to show; those without a positive norm are left out.
        looks: of the studies.
    """
    known = [(trial, digest) for trial, digest in digests if digest.quantiles[-1] > 0]
    if not known:
        return Figure((), {"meta": {"kind": "gradient norms"}})
    low = min(float(digest.quantiles[digest.quantiles > 0][0]) for _, digest in known)
    high = max(float(digest.quantiles[-1]) for _, digest in known)
    edges = np.geomspace(low, max(high, low * 1.01), NUM_BINS + 1)
    shares = [_shares(digest, edges) for _, digest in known]
    top = max(float(share.max()) for share in shares)
    traces = []
    for (trial, digest), share in zip(known, shares, strict=True):
        look = looks[trial.study]
        traces += [_histogram(trial, edges, share, look), _percentile(trial, digest, top, look)]
    layout: dict[str, Json] = {
        "meta": {"kind": "gradient norms"},
        "xaxis": {"title": {"text": "gradient norm, unclipped"}, **log_axis(float(edges[0]), float(edges[-1]))},
        "yaxis": {"title": {"text": "share of steps"}, "tickformat": ".0%", "range": [0, 1.1 * top]},
        "margin": MARGIN,
    }
    return Figure(tuple(traces), layout)


def _shares(digest: StepDigest, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of the steps between each two edges."""
    below = np.array([1.0 - digest.share_above(float(edge)) for edge in edges])
    below[0] = 0.0  # the lowest edge belongs to the first bin
    return np.diff(below)


def _histogram(
    trial: Trial, edges: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], look: Look
) -> dict[str, Json]:
    name = trial_name(trial.id)
    return {
        "type": "scatter",
        "x": rounded(edges, 4),
        "y": [*rounded(shares, 4), 0.0],
        "mode": "lines",
        "line": {"color": look.colour, "width": 1.6, "shape": "hv"},
        "fill": "tozeroy",
        "fillcolor": look.faint(0.12),
        "meta": {"study": trial.study, "trial": name},
        "customdata": [name] * len(edges),
        "hovertemplate": HOVER_TRIAL,
    }


def _percentile(trial: Trial, digest: StepDigest, top: float, look: Look) -> dict[str, Json]:
    value = float(digest.quantiles[CLIPPING_QUANTILE])
    return {
        "type": "scatter",
        "x": [value, value],
        "y": [0, 1.05 * top],
        "mode": "lines",
        "line": {"color": look.colour, "width": 2, "dash": "dot"},
        "meta": {"study": trial.study, "trial": trial_name(trial.id)},
        "hovertemplate": f"{CLIPPING_QUANTILE}th percentile: {value:.4g}<extra></extra>",
    }
