"""What a stability study refuses, before anything is started or written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from raytune_playbook import stability
from raytune_playbook.cli import main
from raytune_playbook.errors import InputError, SpecError, StorageError
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Attempt, Machine, Outcome, TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget
from raytune_playbook.workloads.text import StandardLibraryText
from tests.report.conftest import record_of


def round_of(steps: int = 400) -> Round:
    return Round(
        name="text",
        goal="Which learning rate?",
        workload=StandardLibraryText(),
        nuisance={"learning_rate": Float(0.01, 1.0, scale="log")},
        budget=Budget(num_trials=2, max_train_steps=steps, evaluation_interval_steps=10),
    )


def write(folder: Path, round_: Round, *, is_feasible: bool = True, has_norms: bool = True) -> RoundStore:
    """A round as it is recorded, whose trials are completed or infeasible, with or without gradient norms."""
    store = RoundStore(Storage(str(folder)), round_.name)
    record = record_of(round_.name, round_.goal, round_.studies)
    store.create(
        record.model_copy(update={"fingerprint": round_.fingerprint, "budget": round_.budget}),
        round_.studies,
        notes="",
        diff="",
    )
    study = round_.studies[0]
    for index in range(study.num_trials):
        spec = suggest(study, index)
        stream = RunningMeasurements(store, study.name, spec.key, 1)
        norms = {"gradient_norm": 1.0} if has_norms else {}
        steps = np.arange(1, round_.budget.max_train_steps + 1)
        stream.append([{"step": int(k), "split": "step", "loss": math.exp(-k / 99), **norms} for k in steps])
        stream.seal()
        store.write_trial(
            TrialRecord(
                spec=spec,
                outcome=Outcome.COMPLETED if is_feasible else Outcome.INFEASIBLE,
                reason=None if is_feasible else "NaN: training loss at step 3",
                objective=0.1 if is_feasible else None,
                best_step=10 if is_feasible else None,
                training=None,
                attempts=(Attempt(1, "gang-0", "2026-01-02T03:05:00+00:00", "completed", None),),
                machine=Machine("2.13.0", "AVX2", "cpu", 1, 1, ("node-a",)),
            )
        )
    return store


@pytest.mark.parametrize(
    ("steps", "recorded", "said"),
    [
        (400, {"is_feasible": False}, "no trial of 'text' is feasible; search lower learning rates"),
        (400, {"has_norms": False}, "has none; run the round again under a new name, which logs them"),
        (50, {}, "trains for 50 steps; train longer"),
    ],
)
def test_un1_un2_a_round_without_what_is_needed_is_refused_in_a_sentence(tmp_path, quiet, steps, recorded, said):
    round_ = round_of(steps)
    store = write(tmp_path, round_, **recorded)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpecError) as error:
        stability(round_, storage=str(tmp_path), console=quiet)
    assert said in str(error.value)
    assert "raytune-playbook run" in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert store.exists()


def test_a_round_that_was_not_run_or_is_another_is_refused(tmp_path, quiet):
    with pytest.raises(StorageError):
        stability(round_of(), storage=str(tmp_path), console=quiet)
    write(tmp_path, round_of())
    with pytest.raises(StorageError, match="with another"):
        stability(round_of(200), storage=str(tmp_path), console=quiet)


@pytest.mark.parametrize("times", [1.0, -3.0, float("nan")])
def test_un4_a_base_learning_rate_is_above_the_unstable_one(tmp_path, quiet, times):
    with pytest.raises(InputError, match="base_times must be above 1"):
        stability(round_of(), base_times=times, storage=str(tmp_path), console=quiet)


def test_the_command_is_refused_as_its_function_is(tmp_path, capsys):
    assert main(["stability", "nothing", "--storage", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
