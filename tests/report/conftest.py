"""A synthetic round on disk, whose every number follows from a formula.

A trial's best validation error is ``0.02 + 0.03 * (log10(learning_rate) + 2)^2 + 0.2 * (dropout - 0.1)^2 + offset``,
where the offset is 0.01 times the place of the trial's study. It is reached at three quarters of the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import (
    Attempt,
    Machine,
    Part,
    RoundRecord,
    RoundStatus,
    TimeByPart,
    Training,
    TrialRecord,
)
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Float, Hyperparameter
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from raytune_playbook.study.trial import TrialSpec

STEPS, INTERVAL = 400, 20

SPACE: dict[str, Hyperparameter] = {
    "learning_rate": Float(1e-4, 1.0, scale="log"),
    "momentum": Float(0.8, 0.999, scale="log_one_minus"),
    "dropout": Float(0.0, 0.5),
    "schedule": Categorical(["cosine", "linear"]),
}

STABILITY = Part(
    procedure="stability", round="norms-1", command="raytune-playbook stability norms-1", job="jobs/norms.py"
)
"""Of which a round may be part."""

ARMS: list[dict[str, Value]] = [{"batch_norm": name} for name in ("device", "sync", "ghost")]


TRAININGS = [
    Training(
        num_steps=STEPS,
        num_parameters=272_474,
        train_s=31.5,
        time_by_part=TimeByPart(waited_s, transfer_s=0.24, sync_s=2.0, augment_s=0.76, compute_s=17.0 - waited_s),
        evaluations_s=8.0,
        stages={"read": 1.0, "decode": 2 + 4 * waited_s, "collate": 1.0},
        peak_memory_bytes=place * 300 * 2**20 or None,
    )
    for place, waited_s in enumerate((0.4, 0.2, 6.0))
]
"""What the trials' training came to by the place of their study: 20 s of steps; the memory of the first is unknown."""


def best_error(values: dict[str, Value], offset: float) -> float:
    """The formula."""
    learning_rate, dropout = float(str(values["learning_rate"])), float(str(values["dropout"]))
    return 0.02 + 0.03 * (math.log10(learning_rate) + 2) ** 2 + 0.2 * (dropout - 0.1) ** 2 + offset


def rows_of(error: float, *, diverges: bool, num_steps: int = STEPS) -> list[dict[str, float | int | str | None]]:
    """A trial's measurements: a validation error that falls until three quarters of the steps, then rises a little."""
    best_step = STEPS * 3 // 4
    rows: list[dict[str, float | int | str | None]] = []
    for step in range(num_steps + 1):
        left = abs(best_step - step) / best_step
        loss = 2.3 * 1.01**step if diverges else 2.3 * math.exp(-step / 120) + 0.05 + 0.04 * math.sin(step * 1.7)
        if step:
            norm = 3 * loss + (20 if step == 137 else 0)
            rows.append({"step": step, "split": "step", "loss": loss, "gradient_norm": norm, "wait_s": 0.001})
        if step % INTERVAL == 0:
            late = 0.3 if step > best_step else 1.0
            validation = 0.9 if diverges else error + (0.9 - error) * late * left**3
            train = 0.9 if diverges else 0.6 * error + (0.9 - 0.6 * error) * math.exp(-step / 60)
            rows.append({"step": step, "split": "train", "loss": 2.3 * train, "error": train})
            rows.append({"step": step, "split": "validation", "loss": 2.3 * validation, "error": validation})
    return rows


@pytest.fixture
def make_round(tmp_path: Path) -> Callable[..., RoundStore]:
    """A function that writes a round and returns its store."""

    def make(**options: object) -> RoundStore:
        return write_round(tmp_path, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def mixed_round(tmp_path_factory: pytest.TempPathFactory) -> RoundStore:
    """Three arms of eight trials, one infeasible in each and one crash in the last; to be read only."""
    outcome = {2: "infeasible"}
    return write_round(
        tmp_path_factory.mktemp("mixed"),
        outcomes=lambda arm, index: "failed" if (arm, index) == (2, 3) else outcome.get(index, "completed"),
    )


def write_round(
    folder: Path,
    *,
    name: str = "norms-1",
    arms: list[dict[str, Value]] | None = None,
    space: dict[str, Hyperparameter] | None = None,
    trials_per_arm: int = 8,
    state: str | None = "finished",
    outcomes: Callable[[int, int], str] = lambda arm, index: "completed",
    measured: bool = True,
    goal: str = "Which normalization of batches has the lowest error?",
    part_of: Part | None = None,
) -> RoundStore:
    """Write a round; ``outcomes(arm, index)`` is completed, infeasible, failed, running or missing."""
    arms, space = ARMS if arms is None else arms, SPACE if space is None else space
    store = RoundStore(Storage(str(folder)), name)
    studies = [study_of(arm, space, trials_per_arm) for arm in arms]
    record = record_of(name, goal, studies)
    if part_of is not None:
        record = record.model_copy(update={"part_of": part_of, "job": None, "command": part_of.command})
    store.create(record, studies, notes="Before the holidays.\n", diff="")
    num_done = 0
    for place, study in enumerate(studies):
        for index in range(trials_per_arm):
            outcome = outcomes(place, index)
            if outcome != "missing":
                write_trial(store, study, place, index, outcome, measured=measured)
            num_done += outcome in ("completed", "infeasible", "failed")
    if state is not None:
        num_trials = trials_per_arm * len(arms)
        status = {
            "state": state,
            "driver": "host/1",
            "seen_at_s": 1.7e9,
            "num_done": num_done,
            "num_trials": num_trials,
        }
        store.write_status(RoundStatus(**status))
    return store


def study_of(arm: dict[str, Value], space: dict[str, Hyperparameter], num_trials: int) -> StudySpec:
    return StudySpec(
        name=",".join(f"{name}={value}" for name, value in arm.items()) or "all",
        arm=arm,
        space=space,
        fixed={"depth": 20, "weight_decay": 1e-4},
        seed=7,
        num_trials=num_trials,
        objective=Objective(),
        max_train_steps=STEPS,
        evaluation_interval_steps=INTERVAL,
        divergence_factor=2.0,
        workload=WorkloadSpec(module="jobs.digits", name="Digits", settings={"width": 16}, source_hash="5f3c"),
        num_workers=2,
        threads_per_worker=1,
    )


def record_of(name: str, goal: str, studies: list[StudySpec]) -> RoundRecord:
    roles = dict.fromkeys(studies[0].space, "nuisance") | dict.fromkeys(studies[0].arm, "scientific")
    return RoundRecord(
        name=name,
        goal=goal,
        roles=roles | {"depth": "fixed", "weight_decay": "fixed"},
        reasons={},
        caveats=["depth = 20", "weight_decay = 0.0001"],
        warnings=["SD4: weight_decay is fixed, but <its> best value moves with every change; make it nuisance."],
        objective=Objective(),
        budget=Budget(
            num_trials=sum(study.num_trials for study in studies),
            max_train_steps=STEPS,
            evaluation_interval_steps=INTERVAL,
        ),
        resources=Resources(num_workers=2),
        seed=7,
        fingerprint="0123456789abcdef",
        workload=studies[0].workload,
        studies=[study.name for study in studies],
        job="jobs/norms.py",
        command="raytune-playbook run jobs/norms.py",
        commit="0f1e2d3c",
        uncommitted=True,
        versions={"torch": "2.13.0", "ray": "2.60.0"},
        created_at="2026-01-02T03:04:05+00:00",
    )


def values_of(study: StudySpec, index: int) -> dict[str, Value]:
    """Points of low discrepancy without a search: each dimension turns by another irrational number."""
    turns = [0.5545497, 0.308517, 0.754877, 0.569840]
    varied = {
        name: kind.from_unit((0.31 + turn * (index + 1)) % 1)
        for turn, (name, kind) in zip(turns, study.space.items(), strict=False)
    }
    return {"learning_rate": 0.01, "dropout": 0.1} | study.fixed | study.arm | varied


def write_trial(store: RoundStore, study: StudySpec, place: int, index: int, outcome: str, *, measured: bool) -> None:
    spec = TrialSpec(
        study=study.name,
        index=index,
        seed=study.seed,
        values=values_of(study, index),
        max_train_steps=STEPS,
        evaluation_interval_steps=INTERVAL,
        divergence_factor=2.0,
        objective=study.objective,
    )
    error = best_error(spec.values, 0.01 * place)
    infeasible = outcome == "infeasible"
    reason = "diverged: training loss 80.1 exceeds 2 x 2.34" if infeasible else None
    traceback = (
        'Traceback (most recent call last):\n  File "x.py"\nValueError: <shapes> differ'
        if outcome == "failed"
        else None
    )
    if measured:
        stream = RunningMeasurements(store, study.name, spec.key, 1)
        stream.append(rows_of(error, diverges=infeasible, num_steps=200 if outcome == "running" else STEPS))
        stream.close() if outcome == "running" else stream.seal()
    store.storage.write(f"{store.name}/{study.name}/logs/{spec.key}.1.0.log", b"quiet\n")
    completed, training = outcome == "completed", TRAININGS[place % len(TRAININGS)]
    store.write_trial(
        TrialRecord(
            spec=spec,
            outcome=None if outcome == "running" else outcome,
            reason=reason,
            objective=error if completed else None,
            best_step=STEPS * 3 // 4 if completed else None,
            training=None if outcome == "running" else replace(training, train_s=training.train_s + index),
            attempts=(Attempt(1, "gang-0", "2026-01-02T03:05:00+00:00", outcome, traceback),),
            machine=Machine("2.13.0", "AVX2", "cpu", 2, 1, ("node-a",)),
        )
    )
