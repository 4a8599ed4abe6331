"""A trial cut off and resumed, on 1 to 4 processes, against the same trial undisturbed: bit for bit (rule CK2).

The workers of a first group do every experiment below, and at last kill themselves with SIGKILL in the middle of a
trial; those of a second are fresh processes, which go on with that trial.
Rules BN3, CK1, CK2, MH1; DESIGN decisions 3 and 4.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import OPTIMIZERS
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.model import initial_model
from raytune_playbook.train.saved.checkpoints import Checkpoints, kept_steps, read_weights
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from tests.workers import KILLED, Notes, Workers, found_by

SIZES = (1, 2, 3, 4)
FOLDER = "all/checkpoints/00003"
NUM_STEPS = 14
INTERVAL = 4
EVALUATED = (0, 4, 8, 12, 14)
NORMALIZED: dict[str, Value] = {"normalized": True, "batch_norm": "device"}
KINDS: dict[str, dict[str, Value]] = {
    **{name: NORMALIZED | {"optimizer": name, "weight_decay": 0.01} for name in OPTIMIZERS},
    "plain": {"clipping_norm": 0.3, "schedule": "linear", "decay_steps": 9, "warmup_steps": 0},
    "sync": {"normalized": True, "batch_norm": "sync", "optimizer": "adam", "schedule": "cosine"},
    "ghost": {"normalized": True, "batch_norm": "ghost", "virtual_batch_size": 2},
    "averaged": NORMALIZED | {"averaging": "exponential", "averaging_decay": 0.8, "averaging_start_step": 2},
    "sampled": NORMALIZED | {"evaluation_sample": 20},
}
ON_SEVERAL = ("adam", "plain", "sync", "ghost", "averaged", "sampled")
"""What knows of the other workers; an optimizer's state is the same on all."""

CASES = [(size, name) for size in SIZES for name in (KINDS if size == 1 else ON_SEVERAL)]
CUTS = (6, 13)
EVERY_STEP = [(1, "adam"), (2, "adam")]
KILLED_AT = 10


class Cut(BaseException):
    pass


class Ending(Notes):
    """Ends the trial or the process when a step is begun."""

    def __init__(self, cut_at: int | None, killed_at: int | None) -> None:
        super().__init__()
        self._cut_at, self._killed_at = cut_at, killed_at

    def stepped(self, step: int) -> None:
        super().stepped(step)
        if step == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self._cut_at:
            raise Cut


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(num, 6)).astype(np.float32)
    return {"x": x, "label": (x[:, 0] > 0).astype(np.int64)}


ARRAYS = {"train": examples(70, 0), "validation": examples(37, 1)}


class Small(Workload):
    """Two classes; with normalization if asked for, and with dropout; keeps its models."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []

    def defaults(self) -> Mapping[str, Value]:
        return {"normalized": False, "batch_size": 12, "learning_rate": 0.02}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        norm = nn.BatchNorm1d(8) if values["normalized"] else nn.Identity()
        self.models.append(nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2)))
        return self.models[-1]

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")


def a_trial(**values: Value) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=3,
        seed=1,
        values=Small().hyperparameters() | values,
        max_train_steps=NUM_STEPS,
        evaluation_interval_steps=INTERVAL,
        divergence_factor=100.0,
        objective=Objective(metric="loss"),
    )


def attempt(
    group: Group,
    trial: TrialSpec,
    checkpoints: Checkpoints | None,
    *,
    cut_at: int | None = None,
    killed_at: int | None = None,
) -> dict[str, Any]:
    workload, notes = Small(), Ending(cut_at, killed_at)
    data = SharedBatches(TrialExamples(ARRAYS), trial, BatchShare(12, group.rank, group.size), group.device)
    try:
        end = train(TrialRun(workload, trial, data, group, notes), checkpoints)
    except Cut:
        return {}
    ended = {"outcome": end.outcome, "num_steps": end.training.num_steps, "best": end.training.best_checkpoint_step}
    return {
        "end": ended,
        "first_step": end.first_step,
        "rows": notes.timeless_rows,
        "state": workload.models[-1].state_dict(),
    }


def experiments(group: Group, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (name for size, name in CASES if size == group.size):
        trial = a_trial(**KINDS[name])

        def checkpoints(what: str, trial: TrialSpec = trial, name: str = name) -> Checkpoints:
            return Checkpoints(Storage(str(folder / f"{name} {what}")), FOLDER, trial, num_best=2, group=group)

        found[name] = {
            "without": attempt(group, trial, None),
            "whole": attempt(group, trial, checkpoints("whole")),
            "cut": {},
        }
        for cut in range(NUM_STEPS) if (group.size, name) in EVERY_STEP else CUTS:
            attempt(group, trial, checkpoints(f"cut {cut}"), cut_at=cut)
            found[name]["cut"][cut] = attempt(group, trial, checkpoints(f"cut {cut}"))
    # Cut off again and again, further each time.
    trial = a_trial(**KINDS["sync"])
    for cut in (5, 7, 9, 13):
        attempt(group, trial, Checkpoints(Storage(str(folder / "often")), FOLDER, trial, group=group), cut_at=cut)
    found["often"] = attempt(group, trial, Checkpoints(Storage(str(folder / "often")), FOLDER, trial, group=group))
    own = Storage(str(folder / f"own {group.rank}"))  # where this worker would write, and no other
    attempt(group, trial, Checkpoints(own, FOLDER, trial, group=group))
    found["written"] = kept_steps(own, FOLDER)
    for what, path in (("unwritable", "unwritable/0"), ("unreadable", "unreadable")):
        if group.rank == 0:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text("a file where a folder is needed")
        try:
            attempt(group, trial, Checkpoints(Storage(str(folder)), what, trial, group=group))
        except StorageFailure as error:
            found[what] = str(error)
    return found


def killed_after_experiments(group: Group, folder: Path) -> None:
    torch.save(experiments(group, folder), folder / f"{group.rank}.pt")
    attempt(group, *to_be_killed(group, folder), killed_at=KILLED_AT)


def resumed(group: Group, folder: Path) -> dict[str, Any]:
    return attempt(group, *to_be_killed(group, folder))


def to_be_killed(group: Group, folder: Path) -> tuple[TrialSpec, Checkpoints]:
    trial = a_trial(**KINDS["adam"])
    return trial, Checkpoints(Storage(str(folder / "killed")), FOLDER, trial, num_best=2, group=group)


Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {size: tmp_path_factory.mktemp(f"workers{size}") for size in SIZES}


@pytest.fixture(scope="module")
def found(workers: Workers, folders: dict[int, Path]) -> Found:
    """What each worker of each group found, by the group's size and the worker's rank."""
    first = {size: workers.start(killed_after_experiments, size, folder) for size, folder in folders.items()}
    found_by(first, exit_code=KILLED)
    second = found_by({size: workers.start(resumed, size, folder) for size, folder in folders.items()})
    return {
        size: [
            torch.load(folder / f"{rank}.pt", weights_only=False) | {"killed": second[size][rank]}
            for rank in range(size)
        ]
        for size, folder in folders.items()
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["rows"] == other["rows"]
    assert one["end"] == other["end"]
    assert all(torch.equal(tensor, other["state"][name]) for name, tensor in one["state"].items())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("size", "name"), CASES)
def test_ck2_every_optimizer_and_batch_norm_goes_on_bit_for_bit(found, size, name):
    for each in found[size]:
        kind = each[name]
        assert kind["whole"]["end"]["outcome"] == "completed"
        assert len(kind["cut"]) == (NUM_STEPS if (size, name) in EVERY_STEP else len(CUTS))
        for cut, resumed in kind["cut"].items():
            assert resumed["first_step"] == max(step for step in EVALUATED if step <= cut)
            assert_same(resumed, kind["whole"])


@pytest.mark.parametrize(("size", "name"), [case for case in CASES if case[1] != "sampled"])
def test_writing_checkpoints_changes_no_bit_on_any_worker(found, size, name):
    for each in found[size]:
        assert each[name]["without"]["rows"] == each[name]["whole"]["rows"]
        for tensor, expected in zip(
            each[name]["without"]["state"].values(), each[name]["whole"]["state"].values(), strict=True
        ):
            assert torch.equal(tensor, expected)


@pytest.mark.parametrize("size", SIZES)
def test_ck2_a_trial_whose_processes_were_killed_goes_on_in_fresh_ones(found, size):
    for each in found[size]:
        assert each["killed"]["first_step"] == 8
        assert_same(each["killed"], each["adam"]["whole"])


@pytest.mark.parametrize("size", SIZES)
def test_ck2_a_trial_may_be_cut_off_again_and_again(found, size):
    for each in found[size]:
        assert each["often"]["first_step"] == 12
        assert_same(each["often"], each["sync"]["whole"] | {"end": each["often"]["end"]})


@pytest.mark.parametrize("size", SIZES)
def test_bn3_a_checkpoint_evaluates_as_its_evaluation_did_and_gives_each_worker_its_own_statistics(
    found, folders, size
):
    """The running averages of the workers differ, and each has its own back (above); the model's are their mean."""
    states = [each["adam"]["whole"]["state"] for each in found[size]]
    averages = [name for name in states[0] if "running" in name]
    assert averages
    weights = read_weights(Storage(str(folders[size] / "adam whole")), FOLDER, NUM_STEPS)
    for name in averages:
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        torch.testing.assert_close(weights[name].double(), mean, rtol=1e-6, atol=1e-7)
        assert size == 1 or not torch.equal(states[0][name], states[1][name])
    workload, trial = Small(), a_trial(**KINDS["adam"])
    model = initial_model(workload, trial, Values(trial.values), Group()).module
    model.load_state_dict(weights)
    batch = {name: torch.from_numpy(column) for name, column in ARRAYS["validation"].items()}
    loss = workload.loss(model.eval(), batch, Values(trial.values)).mean().item()
    assert loss == pytest.approx(found[size][0]["adam"]["whole"]["rows"][-1]["loss"], rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_mh1_rank_0_alone_writes_checkpoints(found, size):
    first, *others = (each["written"] for each in found[size])
    assert first
    assert others == [[]] * (size - 1)


@pytest.mark.parametrize("size", SIZES)
def test_mh1_what_rank_0_cannot_write_or_read_is_known_to_all(found, size):
    for each in found[size]:
        assert "Checkpoints must be writable, but " in each["unwritable"]
        assert "Checkpoints must be readable, but " in each["unreadable"]
