"""Trials for the tests of what they see of the examples."""

from __future__ import annotations

from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec


def trial(index: int = 0, repeat: int = 0, seed: int = 0) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=index,
        repeat=repeat,
        seed=seed,
        values={},
        max_train_steps=100,
        evaluation_interval_steps=10,
        divergence_factor=2.0,
        objective=Objective(),
    )
