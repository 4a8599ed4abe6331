"""What was found here once, each as the smallest input of its kind."""

from __future__ import annotations

import contextlib
import json
import struct

import pyarrow as pa
import pytest
from ray import tune

from raytune_playbook import BayesianSearch, Categorical, HaltonSearch, Int, Round
from raytune_playbook.errors import InputError, SpaceError, SpecError, StorageError, StorageFailure
from raytune_playbook.records.columns import measurements_table, trials_table, why_no_measurements, why_no_trials
from raytune_playbook.records.procedures import ShownSeries, ShownTable
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.measurement_reading import read_stream
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.study.study import StudySpec
from raytune_playbook.workloads.digits import DigitsResNet

ROWS = [{"step": step, "split": "validation", "loss": 1.0} for step in range(3)]


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"1" * 5000])
def test_what_is_no_document_is_refused_in_a_sentence(content: bytes) -> None:
    with pytest.raises(SpecError, match=r"RoundStatus is stored as"):
        RoundStatus.from_json(content)


def test_what_has_a_constructor_of_its_own_and_lacks_a_field_is_refused_in_a_sentence() -> None:
    lacking = {"learning_rate": {"kind": "float", "low": 0.1}}
    with pytest.raises(SpecError, match="missing 1 required positional argument: 'high'"):
        StudySpec.from_json(json.dumps({"name": "all", "arm": {}, "space": lacking}).encode())
    with pytest.raises(SpecError, match="missing 1 required positional argument: 'high'"):
        Round(name="r", goal="Does it?", workload=DigitsResNet(), nuisance=lacking)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_a_whole_number_that_no_table_holds_is_refused(number: int) -> None:
    for make in (lambda: Categorical([number]), lambda: Int(0, number), lambda: Int(number, 0)):
        with pytest.raises(InputError, match=r"whole numbers are from -2\^63 to 2\^63 - 1"):
            make()
    assert Categorical([2**63 - 1, -(2**63)]).num_values == 2


def test_numbers_that_no_double_holds_are_refused_as_bounds_and_are_no_results() -> None:
    with pytest.raises(SpaceError, match="numbers that a double holds"):
        HaltonSearch({"x": tune.uniform(0.0, 10**400)})
    for mean, sd, q in ((0.0, 1.0, 1e-311), (1e308, 1e308, 1.0), (0.0, 1e308, 1.0)):
        with pytest.raises(SpaceError, match="a double must hold every value"):
            HaltonSearch({"x": tune.qrandn(mean, sd, q)})
    search = BayesianSearch(num_initial=2)
    search.set_search_properties("loss", "min", {"x": tune.uniform(0.0, 1.0)})
    search.suggest("a")
    search.on_trial_complete("a", {"loss": 10**400})  # as one without a result


def test_offsets_beyond_the_end_of_a_stream_end_it() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, measurements_table(ROWS).schema) as writer:
        writer.write_table(measurements_table(ROWS))
    content = sink.getvalue().to_pybytes()
    length = len("validation")
    offsets, beyond = struct.pack("<4i", 0, length, 2 * length, 3 * length), struct.pack("<4i", 0, length, 2**30, 2**30)
    assert content.count(offsets) == 1
    table = read_stream(content.replace(offsets, beyond))
    assert table is not None and table.num_rows == 0
    whole = read_stream(content)
    assert whole is not None and whole.num_rows == 3
    assert read_stream(content.replace(b"loss", b"\xef\xef\xef\xef")) is None


def test_a_table_of_other_columns_is_no_records() -> None:
    trials, measured = trials_table([]), measurements_table(ROWS)
    assert (why_no_trials(trials), why_no_measurements(measured)) == (None, None)
    text = pa.array(["x"] * 3)
    for broken in (
        measured.drop_columns("step"),
        measured.set_column(0, "step", text),
        measured.append_column("x", text),
    ):
        assert why_no_measurements(broken)
    gap = pa.array([0, None, 2], pa.int64())
    assert why_no_measurements(measured.set_column(0, "step", gap)) == "column 'step' has gaps"
    assert why_no_measurements(measured.append_column("loss", measured["loss"]))
    for broken in (trials.drop_columns("attempts"), trials.set_column(0, "study", pa.array([], pa.int8()))):
        assert why_no_trials(broken)


@pytest.mark.parametrize("name", ["\ud800", "\udcff", "a\udc80b"])
def test_half_a_character_is_no_name(tmp_path, name: str) -> None:
    with pytest.raises(StorageError, match="text in UTF-8"):
        Storage(f"{tmp_path}/{name}")
    with pytest.raises(StorageError, match="name is that of its folder"):
        RoundStore(Storage(str(tmp_path)), name)


@pytest.mark.parametrize("uri", ["mock:///0/", "mock:////0", "mock:///a//b/"])
def test_slashes_too_many_lead_somewhere_or_are_refused(uri: str) -> None:
    with contextlib.suppress(StorageError, StorageFailure):
        assert not RoundStore(Storage(uri), "r").exists()


def test_a_name_that_is_too_long_is_refused(tmp_path) -> None:
    with pytest.raises(StorageError, match="too long"):
        Storage(str(tmp_path / ("x" * 300)))


def test_what_is_shown_fits_together() -> None:
    with pytest.raises(SpecError, match="each of its 2 columns"):
        ShownTable(title="t", columns=("a", "b"), rows=((1,),))
    for wrong in (
        {"y": (1.0,)},
        {"y": (1.0, 2.0), "low": (1.0,), "high": (1.0,)},
        {"y": (1.0, 2.0), "low": (1.0, 2.0)},
    ):
        with pytest.raises(SpecError, match=r"of a series|two ends"):
            ShownSeries(name="s", x=(1.0, 2.0), **wrong)
