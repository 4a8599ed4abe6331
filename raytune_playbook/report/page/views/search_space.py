"""What was searched."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.wording import range_text, value_text


@dataclass(frozen=True)
class SearchedHyperparameter:
    """One that was not fixed: its role, the values that it could take, and why it has the role (empty: not said)."""

    name: str
    role: str
    values: str
    reason: str


@dataclass(frozen=True)
class SearchSpaceView:
    """The search space.

    Fields:
        searched: the hyperparameters that were not fixed.
        has_reasons: whether the round says why its hyperparameters have their roles.
    """

    searched: tuple[SearchedHyperparameter, ...]
    has_reasons: bool


def search_space_view(reading: RoundReading) -> SearchSpaceView:
    """What a round searched."""
    ranges = {name: range_text(searched) for study in reading.studies for name, searched in study.space.items()}
    choices = {name: _choices_text(reading, name) for name in reading.scientific}
    return SearchSpaceView(
        searched=tuple(
            SearchedHyperparameter(
                name, role, choices.get(name) or ranges.get(name, ""), reading.record.reasons.get(name, "")
            )
            for name, role in reading.record.roles.items()
            if role != "fixed"
        ),
        has_reasons=bool(reading.record.reasons),
    )


def _choices_text(reading: RoundReading, name: str) -> str:
    """The values of a scientific hyperparameter."""
    arms = [arm for study in reading.studies for arm in (study.arm, *study.arms)]
    return ", ".join(dict.fromkeys(value_text(arm[name]) for arm in arms if name in arm))
