"""Which branches are planned, and where each leaves the long run (rules LN5 and SC1)."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.lengthen.branches import (
    Branch,
    BranchEnd,
    best_after,
    best_of,
    constant_values,
    decaying_values,
    decays_of,
    planned,
)
from raytune_playbook.procedures.lengthen.words import branches_table, branches_texts
from raytune_playbook.study.settings import Objective
from raytune_playbook.train.update.schedules import schedule
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values


@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize("interval", [1, 6, 25])
@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_ln5_up_to_its_branch_each_training_has_the_rates_of_the_constant_run(warmup, interval, kind):
    values = {**TRAINING_DEFAULTS, "warmup_steps": warmup, "schedule": kind}
    constant = schedule(Values(constant_values(values)), 100)
    branches = planned(decays_of(None, 100), 100, warmup, interval)
    assert {(each.max_train_steps, each.decay_steps) for each in branches} == {
        (total, decay) for total in (50, 100) for decay in (10, 20, 40)
    }
    for each in branches:
        own = schedule(Values({**decaying_values(values), "decay_steps": each.decay_steps}), each.max_train_steps)
        end = warmup + each.max_train_steps
        assert [own(step) for step in range(each.from_step)] == [constant(step) for step in range(each.from_step)]
        assert each.from_step % interval == 0
        first_other = next(step for step in range(end) if own(step) != constant(step))
        assert 0 <= first_other - each.from_step <= interval  # no later, and hardly earlier
        assert own(end - 1) < constant(end - 1)


def test_decays_that_are_as_long_as_a_training_are_left_out_or_refused():
    assert {each.max_train_steps for each in planned((60,), 100, 0, 10)} == {100}
    assert decays_of([40, 10, 40], 100) == (10, 40)
    for lengths in ([100], [0], [-5]):
        with pytest.raises(SpecError, match="a decay is shorter than the training of 100 steps, but got"):
            decays_of(lengths, 100)


def test_sc1_the_best_decay_and_what_the_branches_saved_are_said():
    ends = [
        BranchEnd(Branch(50, 10, 40), 0.50, 50.0, 10.0),
        BranchEnd(Branch(100, 10, 90), 0.44, 100.0, 10.0),
        BranchEnd(Branch(100, 20, 80), 0.40, 100.0, 20.0),
        BranchEnd(Branch(100, 40, 60), None, 100.0, 40.0),
    ]
    constant = BranchEnd(Branch(100, 0, 0), 0.6, 100.0, 100.0)
    best = best_of(ends, is_minimized=True)
    assert best is ends[2]
    assert best_of(ends, is_minimized=False) is ends[1]
    saved, found = branches_texts(ends, constant, Objective())
    assert "3 min 00 s of training in all, where 4 trainings" in saved
    assert "5 min 50 s (49% saved)" in saved
    assert found.startswith(
        "Of 100 steps a decay over the last 20 (20%) is the best: 0.4 validation error, against 0.6 without a decay."
    )
    assert "beyond" not in found
    assert "longest that was tried" in branches_texts(ends[:3], constant, Objective())[1]


@pytest.mark.parametrize("constant_error", [0.40, 0.39])
def test_sc1_a_decay_that_only_reaches_the_constant_rate_is_no_better(constant_error):
    ends = [BranchEnd(Branch(100, 20, 80), 0.40, 100.0, 20.0)]
    constant = BranchEnd(Branch(100, 0, 0), constant_error, 100.0, 100.0, best_step=70)
    (_, found) = branches_texts(ends, constant, Objective())
    assert found == (
        "Of 100 steps no decay is better than none: 0.4 validation error at best in the steps after a branch, against "
        f"{constant_error:g} that the constant learning rate reached at step 70, before the best decay branched off."
    )
    assert branches_table(ends, constant, Objective()).leading == (0,)
    shorter = [*ends, BranchEnd(Branch(50, 20, 30), constant_error - 0.1, 50.0, 20.0)]
    assert branches_texts(shorter, constant, Objective())[1].endswith(
        f"off. 50 steps with a decay over the last 20 had {constant_error - 0.1:.4g}: train for fewer steps."
    )
    later = dataclasses.replace(constant, best_step=90)
    assert branches_texts(ends, later, Objective())[1].endswith("that the constant learning rate reached at step 90.")


def test_sc1_a_decay_is_judged_by_its_own_steps():
    """What the constant rate reached before the branch is in the records of every branch, and no decay's merit."""
    steps, errors = [20, 40, 60, 80, 100], [0.5, 0.3, 0.45, 0.44, 0.46]
    table = pa.table({"step": steps, "split": ["validation"] * 5, "error": errors})
    assert best_after(60, table, Objective()) == (0.44, 80)
    assert best_after(0, table, Objective()) == (0.3, 40)
    assert best_after(100, table, Objective()) is None
