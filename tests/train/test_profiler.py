"""Traces of chosen training steps: Perfetto can read them, and training does not notice (rule PI4)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.profiler import Profile
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Workload
from tests.train.conftest import batches_of
from tests.workers import Notes

Run = Callable[..., tuple[End, list[Mapping[str, Any]], list[bytes]]]


@pytest.fixture
def run() -> Run:
    """A function that trains a trial and traces some of its steps: how it ended, its rows, its traces."""

    def run_(workload: Workload, trial: TrialSpec, steps: ProfileSteps | None, stop_at: int | None = None):
        group, notes, traces = Group(), Notes(stop_at), []
        data = batches_of(workload, trial, group)
        profile = None if steps is None else Profile(steps, traces.append)
        end = train(TrialRun(workload, trial, data, group, notes), profile=profile)
        assert group.clock.is_annotated is False
        rows = [{name: value for name, value in row.items() if name not in TIME_COLUMNS} for row in notes.rows]
        return end, rows, traces

    return run_


def events_of(trace: bytes) -> list[dict[str, Any]]:
    """The complete events of a trace, each with its name, start and duration in microseconds."""
    return [event for event in json.loads(gzip.decompress(trace))["traceEvents"] if event.get("ph") == "X"]


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["name"] == name and event["cat"] == "user_annotation"]


def test_pi4_a_trace_names_its_steps_and_their_parts(small, make_trial, run):
    end, _, (trace,) = run(small, make_trial(), ProfileSteps(10, 12))
    events = events_of(trace)
    steps = [event["name"] for event in events if event["name"].startswith("step ")]
    assert steps == ["step 10", "step 11", "step 12"]
    for step in (named(events, name)[0] for name in steps):
        for part in ("data", "augmentation", "forward", "backward", "update"):
            (event,) = [e for e in named(events, part) if step["ts"] <= e["ts"] < step["ts"] + step["dur"]]
            assert event["ts"] + event["dur"] <= step["ts"] + step["dur"]
    assert any(event["name"] == "aten::linear" for event in events)  # torch's own operations are there
    assert end.training.num_steps == 20


def test_pi4_evaluations_between_traced_steps_are_named(small, make_trial, run):
    _, _, (trace,) = run(small, make_trial(evaluation_interval_steps=8), ProfileSteps(8, 9))
    assert len(named(events_of(trace), "evaluation")) == 1


@pytest.mark.parametrize("values", [{}, {"dropout": 0.3, "averaging": "exponential", "clipping_norm": 0.5}])
def test_pi4_tracing_changes_no_number(small, make_trial, run, values):
    trial = make_trial(**values)
    _, plain, none = run(small, trial, None)
    _, traced, traces = run(small, trial, ProfileSteps(2, 19))
    assert (len(none), len(traces)) == (0, 1)
    assert traced == plain
    one, other = (model.state_dict() for model in small.models)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_pi4_a_trial_that_ends_amid_the_steps_leaves_what_it_has_traced(small, make_trial, run):
    end, _, (trace,) = run(small, make_trial(), ProfileSteps(7, 20), stop_at=3)
    assert end.training.num_steps == 8
    assert [event["name"] for event in events_of(trace) if event["name"].startswith("step ")] == ["step 7", "step 8"]


def test_pi4_a_trace_that_cannot_be_saved_fails_no_trial(small, make_trial, caplog):
    def refuse(content: bytes) -> None:
        raise OSError("the disk is full")

    trial, group = make_trial(), Group()
    data = batches_of(small, trial, group)
    end = train(TrialRun(small, trial, data, group, Notes()), profile=Profile(ProfileSteps(2, 3), refuse))
    assert end.outcome == "completed"
    assert "the trace of steps 2 to 3 is lost: the disk is full" in caplog.text
