"""Which hyperparameters matter, and which of them interact (rule IN15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence


@dataclass(frozen=True)
class Interaction:
    """Two hyperparameters whose best values depend on each other; ``share`` is of the objective's variance."""

    names: tuple[str, str]
    share: float


@dataclass(frozen=True)
class Importance:
    """What explains the objective in one study.

    Fields:
        study: its name.
        num_trials: that it was learned from.
        shares: of the objective's variance that each hyperparameter explains by itself, the largest first.
        interactions: the strongest first.
        p_value: how often a model of as many trials would explain as much where nothing explains anything.
    """

    study: str
    num_trials: int
    shares: Mapping[str, float]
    interactions: tuple[Interaction, ...]
    p_value: float


def importances(evidence: Evidence) -> tuple[Importance, ...]:
    """What explains the objective in every study that has enough trials."""
    return ()
