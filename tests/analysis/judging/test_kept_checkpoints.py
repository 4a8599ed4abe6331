"""Whose checkpoints go first, and that the order in which trials end makes no difference to who keeps theirs."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raytune_playbook.analysis.judging.kept_checkpoints import to_delete
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective

MINIMIZE = Objective()


def ended(study: str, index: int, objective: float | None, num_bytes: int | None = 10, **fields: object) -> Trial:
    outcome = fields.pop("outcome", Outcome.COMPLETED)
    return Trial(study, index, outcome=outcome, objective=objective, checkpoint_bytes=num_bytes, **fields)


def names(trials: list[Trial]) -> list[str]:
    return [trial.text for trial in trials]


TRIALS = [
    ended("a", 0, 0.3),
    ended("a", 1, 0.1),
    ended("a", 2, 0.2),
    ended("a", 2, 0.05, repeat=1),
    ended("a", 3, None, outcome=Outcome.FAILED),
    ended("b", 0, 0.9),
    ended("b", 1, 0.8),
    Trial("b", 2, checkpoint_bytes=None),  # runs
]


def test_ck1_the_best_of_each_study_keeps_its_checkpoints_and_then_the_best_do():
    order = ["a/00001", "b/00001", "a/00002", "a/00000", "b/00000", "a/00002.r1", "a/00003"]
    for num_kept in range(2, len(order) + 1):
        assert names(to_delete(TRIALS, MINIMIZE, 10 * num_kept)) == order[num_kept:]
    assert names(to_delete(TRIALS, MINIMIZE, -100)) == order[2:]  # whatever room there is


def test_qr5_another_objective_keeps_others():
    gone = names(to_delete(TRIALS, Objective(goal="maximize"), 30))
    assert gone == ["a/00002", "a/00001", "a/00002.r1", "a/00003"]


def test_what_was_deleted_or_never_there_is_not_deleted_again_and_what_is_not_known_counts_as_the_largest():
    trials = [
        ended("a", 0, 0.1, 10),
        ended("a", 1, 0.2, None),
        ended("a", 2, 0.3, 10, checkpoints_deleted=True),
        ended("a", 3, 0.4, 0),
        ended("a", 4, 0.5, 10),
    ]
    assert names(to_delete(trials, MINIMIZE, 20)) == ["a/00004"]
    assert names(to_delete(trials, MINIMIZE, 19)) == ["a/00001", "a/00004"]


@pytest.mark.parametrize("seed", range(20))
def test_the_same_trials_keep_their_checkpoints_in_whatever_order_they_end(seed):
    rng = random.Random(seed)
    of_study = {name: rng.choice([1, 5, 20]) for name in "abc"}
    trials = [
        ended(name, index, rng.choice([0.1, 0.2, 0.3, 0.4, 0.5]), of_study[name])
        for name in "abc"
        for index in range(6)
    ]
    trials += [ended("a", index, None, of_study["a"], outcome=Outcome.INFEASIBLE) for index in (6, 7)]
    capacity = rng.randrange(10, 120)
    found = []
    for _ in range(5):
        order = rng.sample(trials, len(trials))
        there: dict[tuple[str, str], Trial] = {}
        for trial in order:
            there[trial.id] = trial
            for gone in to_delete(there.values(), MINIMIZE, capacity):
                there[gone.id] = replace(gone, checkpoints_deleted=True)
            kept_bytes = sum(each.checkpoint_bytes for each in there.values() if not each.checkpoints_deleted)
            assert kept_bytes <= max(capacity, sum(of_study.values()))
        found.append({id_ for id_, trial in there.items() if not trial.checkpoints_deleted})
    assert all(each == found[0] for each in found)
    assert {trial.id for trial in to_delete(trials, MINIMIZE, capacity)} == {trial.id for trial in trials} - found[0]
