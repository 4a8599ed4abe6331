"""Trials that are cut off in their middle on real gangs, and go on from their checkpoints (rules CK1, CK2, SC2)."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from raytune_playbook import InputError, load_model, run
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.driving.requests import stop
from raytune_playbook.study.settings import Budget
from tests.waiting import wait_for

STEPS = 12


def num_steps(storage: Path, name: str, key: str) -> int:
    """Steps of the newest whole checkpoint of a trial."""
    folder = storage / name / "all" / "checkpoints" / key
    return max((int(file.parent.name) for file in folder.glob("*/training.pt")), default=-1)


def assert_same(one: Result, other: Result) -> None:
    """Measurements, outcomes and the weights of all checkpoints, bit for bit; times aside."""
    for row, expected in zip(one.trials.to_pylist(), other.trials.to_pylist(), strict=True):
        for name in ("outcome", "objective", "best_step", "best_checkpoint_step", "num_steps"):
            assert row[name] == expected[name]
        key = f"{row['index']:05d}"
        tables = [result.store.measurements("all", key) for result in (one, other)]
        assert tables[0] is not None
        assert tables[1] is not None
        assert tables[0].drop_columns(list(TIME_COLUMNS)).equals(tables[1].drop_columns(list(TIME_COLUMNS)))
        for step in {row["best_checkpoint_step"], STEPS}:
            name = f"{key}/{step}/model.pt"
            models = [torch.load(folder(result) / name, weights_only=True)["model"] for result in (one, other)]
            assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def folder(result: Result) -> Path:
    return Path(result.store.uri) / "all" / "checkpoints"


@pytest.fixture(scope="module")
def _whole() -> dict[str, Result]:
    return {}


@pytest.fixture
def whole(_whole, gangs, make_round, tmp_path_factory, quiet) -> Result:
    """The round undisturbed, run once."""
    if "whole" not in _whole:
        storage = str(tmp_path_factory.mktemp("whole"))
        _whole["whole"] = run(make_round("r", steps=STEPS), storage=storage, gangs=gangs, console=quiet)
    return _whole["whole"]


def slowly(make_round):
    """The same round with time to disturb it; how long a step sleeps is a value, which changes no other number."""
    return make_round("r", steps=STEPS, step_sleep_s=0.5)


def test_ck2_a_worker_killed_in_the_middle_of_a_trial_costs_no_finished_interval(
    gangs, make_round, tmp_path, quiet, whole
):
    def kill_worker() -> None:
        wait_for(lambda: num_steps(tmp_path, "r", "00000") >= 6)
        for gang in gangs.facts():
            if gang.state is GangState.BUSY:
                os.kill(gang.worker_process_ids[1], signal.SIGKILL)

    with ThreadPoolExecutor() as threads:
        going = threads.submit(kill_worker)
        result = run(slowly(make_round), storage=str(tmp_path), gangs=gangs, console=quiet)
        going.result()
    assert_same(result, whole)
    rows = result.trials.to_pylist()
    killed = [row["attempts"] for row in rows if row["attempts"][0]["ended"] == "worker died"]
    assert killed
    for lost, last in killed:
        assert lost["first_step"] is None
        assert last["ended"] == "completed"
        assert last["first_step"] > 0
    assert any(last["first_step"] >= 6 for _, last in killed)
    # Time that led to the result counts, whichever attempt spent it.
    assert all(row["train_s"] > 0.5 * STEPS for row in rows)


def test_ck2_a_stopped_round_goes_on_where_its_trials_were(gangs, make_round, tmp_path, quiet, whole):
    def stop_soon() -> None:
        wait_for(lambda: num_steps(tmp_path, "r", "00000") >= 2)
        stop("r", storage=str(tmp_path))

    with ThreadPoolExecutor() as threads:
        going = threads.submit(stop_soon)
        stopped = run(slowly(make_round), storage=str(tmp_path), gangs=gangs, console=quiet)
        going.result()
    assert stopped.store.status().state == "stopped"
    result = run(slowly(make_round), storage=str(tmp_path), gangs=gangs, console=quiet)
    assert_same(result, whole)
    first, last = result.trials.to_pylist()[0]["attempts"]
    assert (first["ended"], last["ended"]) == ("stopped", "completed")
    assert last["first_step"] >= 4  # the interval in which the stop was asked for was finished


def test_ck1_models_are_loaded_for_inspection_without_a_cluster(whole, make_round):
    round_ = make_round("r", steps=STEPS)
    model = load_model(whole.store, "all/0", workload=round_.workload)
    assert not model.training
    best = whole.trials.to_pylist()[0]["best_checkpoint_step"]
    weights = torch.load(folder(whole) / "00000" / str(best) / "model.pt", weights_only=True)["model"]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    latest = load_model("r", "0", storage=whole.store.storage.uri, step=STEPS, workload=round_.workload)
    assert latest.state_dict().keys() == weights.keys()
    for arguments, words in [
        ({"trial": "0"}, "was started from Python, so its workload is there; pass it with workload="),
        (
            {"trial": "0", "step": 5, "workload": round_.workload},
            "A checkpoint of step 5 must be in .* the steps there",
        ),
        ({"trial": "7", "workload": round_.workload}, "numbered from 0, and 'all' has 2, but got '7'"),
        ({"trial": "b/0", "workload": round_.workload}, "A trial is named STUDY/INDEX"),
    ]:
        with pytest.raises(InputError, match=words):
            load_model(whole.store, **arguments)


def test_sc2_an_edited_schedule_is_refused(gangs, make_round, whole, quiet):
    edited = make_round("r", steps=STEPS)
    edited = edited.model_copy(update={"fixed": edited.fixed | {"schedule": "cosine"}})
    with pytest.raises(InputError, match="belongs to one specification"):
        run(edited, storage=whole.store.storage.uri, gangs=gangs, console=quiet)


def test_ck3_a_coarser_checkpoint_interval_is_warned_of(make_round):
    from raytune_playbook.study.checks.rules_of_thumb import warnings

    round_ = make_round("r", steps=STEPS)
    budget = Budget(**(dict(round_.budget) | {"checkpoint_interval_steps": 6}))
    (warning,) = (w for w in warnings(round_.model_copy(update={"budget": budget})) if w.startswith("CK3"))
    assert "written every 6 steps and evaluations come every 2" in warning
    assert "costs up to 6 steps" in warning
    assert not [w for w in warnings(round_) if w.startswith("CK3")]
