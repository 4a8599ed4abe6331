"""TensorBoard events, read back with TensorBoard's own readers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

from raytune_playbook.records.columns import STEP_COLUMNS, MeasurementRow, measurements_table
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome, TrialRecord
from raytune_playbook.report import tensorboard
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec

ROWS: list[MeasurementRow] = [
    {"step": 0, "split": "train", "loss": 2.5, "error": 0.75},
    {"step": 0, "split": "validation", "loss": 2.25, "error": 0.5},
    {"step": 1, "split": "step", "loss": 2.0, "gradient_norm": 3.0, "wait_s": 0.0},
    {"step": 2, "split": "step", "loss": 1.5, "gradient_norm": math.nan, "wait_s": None},
    {"step": 2, "split": "validation", "loss": 1.0, "error": 0.25, "score": 7.0},  # which earlier evaluations lack
    {"step": 4, "split": "validation", "loss": 1.25, "error": 0.375, "score": 6.0},
]
VALUES = {"learning_rate": 0.5, "depth": 2, "activation": "relu", "zero_residual": True, "clipping_norm": None}

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """A function that exports a trial of the study ``all``, and gives the folder that TensorBoard is shown."""

    def of(index: int, rows: list[MeasurementRow], values: Mapping[str, Value] = VALUES, **fields: object) -> Path:
        spec = TrialSpec(
            study="all",
            index=index,
            seed=0,
            values=dict(values),
            max_train_steps=4,
            evaluation_interval_steps=2,
            divergence_factor=2.0,
            objective=Objective(),
        )
        store = RoundStore(Storage(str(tmp_path)), "round")
        tensorboard.export(store, TrialRecord(spec, **fields), measurements_table(rows))
        return tmp_path / "round" / "all" / "tensorboard"

    return of


def completed(best_step: int = 2, objective: float = 0.25) -> dict[str, Any]:
    return {"outcome": Outcome.COMPLETED, "objective": objective, "best_step": best_step}


def scalars(folder: Path, key: str = "00000") -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder / key), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def test_each_metric_of_a_split_is_a_curve_and_the_objective_one_number(export):
    folder = export(0, ROWS, **completed())
    found = scalars(folder)
    assert found.pop("train_step/gradient_norm")[0] == (1, 3.0)
    assert found == {
        "objective": [(2, 0.25)],
        "train/loss": [(0, 2.5)],
        "train/error": [(0, 0.75)],
        "validation/loss": [(0, 2.25), (2, 1.0), (4, 1.25)],
        "validation/error": [(0, 0.5), (2, 0.25), (4, 0.375)],
        "validation/score": [(2, 7.0), (4, 6.0)],
        "train_step/loss": [(1, 2.0), (2, 1.5)],
        "train_step/wait_s": [(1, 0.0)],
    }
    export(0, ROWS, **completed())
    assert [path.name for path in (folder / "00000").iterdir()] == ["events.out.tfevents.00000"]


def test_the_hparams_tab_has_a_row_for_each_trial_with_its_values_and_its_objective(export):
    export(0, ROWS, **completed())
    export(
        1, ROWS, VALUES | {"clipping_norm": 1.5, "activation": "tanh", "learning_rate": 0.125}, **completed(4, 0.375)
    )
    folder = export(2, ROWS[:4], VALUES | {"learning_rate": 8.0}, outcome=Outcome.INFEASIBLE, reason="NaN: loss")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(SimpleNamespace(data_provider=provider))
    metadata = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, metadata, [])
    assert {info.name: (info.type, info.differs) for info in experiment.hparam_infos} == {
        "learning_rate": (api_pb2.DATA_TYPE_FLOAT64, True),
        "depth": (api_pb2.DATA_TYPE_FLOAT64, False),
        "activation": (api_pb2.DATA_TYPE_STRING, True),
        "zero_residual": (api_pb2.DATA_TYPE_BOOL, False),
        "clipping_norm": (api_pb2.DATA_TYPE_FLOAT64, False),
    }
    assert {"objective", "validation/error"} <= {info.name.tag for info in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(
        col_params=[
            api_pb2.ColParams(metric=api_pb2.MetricName(tag=tag), include_in_result=True)
            for tag in ("objective", "validation/loss")
        ],
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        slice_size=10,
        include_metrics=True,
    )
    shown = list_session_groups.Handler(RequestContext(), context, "", request).run()
    sessions = [session for group in shown.session_groups for session in group.sessions]
    metrics = {session.name: {value.name.tag: value.value for value in session.metric_values} for session in sessions}
    assert {
        session.name: (session.status, metrics[session.name].get("objective"), metrics[session.name]["validation/loss"])
        for session in sessions
    } == {
        "00000": (api_pb2.STATUS_SUCCESS, 0.25, 1.25),
        "00001": (api_pb2.STATUS_SUCCESS, 0.375, 1.25),
        "00002": (api_pb2.STATUS_FAILURE, None, 2.25),
    }
    start = parse_session_start_info_plugin_data(metadata["00001"][SESSION_START_INFO_TAG])
    found = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert found == VALUES | {"clipping_norm": 1.5, "activation": "tanh", "learning_rate": 0.125}


@pytest.mark.parametrize("rows", [[], [{"step": 1, "split": "step", "loss": float("nan")}]])
def test_nothing_and_not_a_number_can_be_exported_and_nothing_is_printed(export, rows, caplog, capsys):
    with caplog.at_level(logging.DEBUG):
        folder = export(0, rows, outcome=Outcome.INFEASIBLE)
    assert not [record for record in caplog.records if record.name.startswith("tensorboardX")]
    assert capsys.readouterr() == ("", "")
    assert [len(curve) for curve in scalars(folder).values()] == [1] * len(rows)


def test_a_long_trial_is_a_file_of_bounded_size_with_its_spikes(export):
    steps = [
        {"step": step, "split": "step", **dict.fromkeys(STEP_COLUMNS, 100.0 if step == 7777 else 1 / step)}
        for step in range(1, 30_001)
    ]
    folder = export(0, steps, **completed())
    found = scalars(folder)
    assert all(900 < len(curve) <= tensorboard.MAX_POINTS for tag, curve in found.items() if tag != "objective")
    curve = found["train_step/gradient_norm"]
    assert (7777, 100.0) in curve
    assert (curve[0][0], curve[-1][0]) == (1, 30_000)
    (path,) = (folder / "00000").iterdir()
    assert path.stat().st_size < 60_000 * (len(STEP_COLUMNS) + 1)
