"""One trial as a specification, and its name."""

from __future__ import annotations

from pydantic import Field

from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.settings import Objective


class TrialSpec(FrozenSpec):
    """One trial, wholly determined by (study, index, repeat); nothing in it comes from clocks or arrival order.

    Fields:
        study: the study's name.
        index: which point of the study's sequence.
        repeat: 0, or the number of a retraining of the same point with other seeds.
        seed: the study's seed, from which every random stream of the trial is derived.
        values: every hyperparameter's value, fixed and default ones included.
        max_train_steps, evaluation_interval_steps, divergence_factor, target, objective: as the study says.
    """

    study: str
    index: int = Field(ge=0)
    repeat: int = Field(default=0, ge=0)
    seed: int
    values: dict[str, Value]
    max_train_steps: int
    evaluation_interval_steps: int
    divergence_factor: float
    target: float | None = None
    objective: Objective

    @property
    def key(self) -> str:
        """The trial's name within its study, sortable: ``00012``, or ``00012.r1`` for a repeat."""
        return trial_key(self.index, self.repeat)


def trial_key(index: int, repeat: int = 0) -> str:
    """A trial's name within its study."""
    return f"{index:05d}" + (f".r{repeat}" if repeat else "")


def index_and_repeat(key: str) -> tuple[int, int]:
    """Of a trial by its name within its study."""
    index, _, repeat = key.partition(".r")
    return int(index), int(repeat or 0)
