"""The best of N trials against N, as in the playbook's Figure 3: would more trials help? (Rule IN2.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Evidence


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """What the best of so many trials comes to, of one study.

    Fields:
        study: whose.
        num_trials: 1 to the number of its completed trials, of shape (num_points,); so are the following.
        median, lower_quartile, upper_quartile: of the best of so many of the study's trials.
        band_low, band_high: where the true median lies with probability ``coverage``, whatever the distribution of
            objectives; infinite where the trials do not tell.
        coverage: of the band, simultaneously for all numbers of trials.
        trusted_up_to: up to how many trials the band is narrower than all that could be; beyond, draw it grey.
    """

    study: str
    num_trials: npt.NDArray[np.int64]
    median: npt.NDArray[np.float64]
    lower_quartile: npt.NDArray[np.float64]
    upper_quartile: npt.NDArray[np.float64]
    band_low: npt.NDArray[np.float64]
    band_high: npt.NDArray[np.float64]
    coverage: float
    trusted_up_to: int


def tuning_curves(evidence: Evidence) -> tuple[TuningCurve, ...]:
    """The tuning curve of every study that has a completed trial."""
    return ()
