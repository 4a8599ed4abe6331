"""What a decision says: no sentence of its record contradicts another, and no command that it names is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raytune_playbook.cli import main
from raytune_playbook.procedures.launch.baseline import Baseline
from raytune_playbook.procedures.launch.comparison import SURE, compare
from raytune_playbook.procedures.launch.configuration import Change, Configuration
from raytune_playbook.procedures.launch.path import Step
from raytune_playbook.procedures.launch.words import Decision, completed
from raytune_playbook.procedures.variance.points import best_point
from raytune_playbook.procedures.variance.retrainings import Retrainings
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.registry import write_launch, write_test
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.settings import Objective
from tests.procedures.launch.recorded import a_round, record
from tests.records.test_registry import a_launch, a_test

DRAFT = ProcedureRecord(
    procedure="launch", round="first", workload="BreastCancer", verdict="", command="", ended_at="2026-01-31T12:00:00Z"
)
SPREAD = (0.01, -0.01, 0.02, -0.02, 0.0)


def retrained(mean: float) -> Retrainings:
    return Retrainings(Objective(metric="error"), tuple(mean + each for each in SPREAD))


def decision(storage: Storage, candidate: float, baseline: float = 0.1, **fields: object) -> Decision:
    point = best_point(a_round(), storage.uri)[0]
    ends = retrained(baseline), retrained(candidate)
    found = compare(ends[1].losses, ends[0].losses)
    assert found is not None
    started = Baseline("what the round started from", Configuration({}, 40, 10))
    return replace(Decision(point, started, ends, found, (), None, "", None), **fields)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(str(tmp_path / "rounds"))
    record(a_round(), found)
    return found


def test_ad5_a_change_is_only_called_worse_where_that_is_sure(storage: Storage) -> None:
    def row(candidate: float) -> tuple[object, float]:
        found = decision(storage, candidate)
        step = Step(Change(("dropout",), (0.0,), (0.1,)), found.ends[1], found.comparison)
        said = completed(DRAFT, replace(found, steps=(step,)), DEFAULT_STORAGE).tables[1].rows[0][-1]
        return said, found.comparison.probability

    for candidate, expected in ((0.2, "no: it is worse"), (0.102, "no evidence"), (0.099, "no evidence"), (0.0, "yes")):
        said, probability = row(candidate)
        assert said == expected
        assert (said == "no: it is worse") == (probability <= 1 - SURE)


def test_ad3_what_is_launched_against_the_verdict_does_not_leave_the_baseline(storage: Storage) -> None:
    refused = completed(DRAFT, decision(storage, 0.102, job="dia.py"), DEFAULT_STORAGE)
    assert "so the baseline stays." in " ".join(refused.sentences)
    launched = decision(storage, 0.102, anyway="we want it", launch=a_launch().model_copy(update={"number": 1}))
    anyway = completed(DRAFT, launched, DEFAULT_STORAGE)
    assert "baseline stays" not in " ".join([*anyway.sentences, *(each.sentence for each in anyway.next)])
    assert [each.command for each in anyway.next] == ["raytune-playbook propose first", "raytune-playbook test first"]
    again = completed(DRAFT, replace(launched, was_read=True), DEFAULT_STORAGE)
    assert again.next[-1].command == "raytune-playbook test first --reason 'launch 1'"


def test_what_a_round_proposes_is_only_named_where_it_proposes_something(storage: Storage) -> None:
    refused = decision(storage, 0.102, job="dia.py")
    (proposes,) = completed(DRAFT, refused, DEFAULT_STORAGE).next
    assert proposes.command == "raytune-playbook propose first"
    (asks,) = completed(DRAFT, replace(refused, has_changes=False), DEFAULT_STORAGE).next
    assert asks.command is None
    assert "Ask another question in a new round: give a copy of dia.py another name and goal" in asks.sentence


def test_ad3_more_retrainings_are_asked_for_against_the_same_baseline(storage: Storage) -> None:
    few = completed(DRAFT, decision(storage, 0.095, against="other"), DEFAULT_STORAGE)
    (more,) = few.next
    assert more.command is not None
    assert more.command.startswith("raytune-playbook launch first --against other --complexity none --num-retrains ")


def test_ad5_ad6_the_list_shows_what_was_launched_against_the_verdict_and_every_reading(
    storage: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"verdict": "do not adopt", "anyway": "we want it"}
    launch = write_launch(storage, a_launch().model_copy(update=refused))
    write_test(storage, a_test(launch.number))
    folded = {"value": 0.02, "is_folded": True, "tested_at": "2026-02-03T12:00:00Z"}
    write_test(storage, a_test(launch.number).model_copy(update=folded))

    def said(*words: str, code: int = 0) -> str:
        assert main(["launch", *words, "--storage", storage.uri]) == code
        told = capsys.readouterr()
        return " ".join((told.err if code else told.out).split())

    listed = said("--list")
    assert {"adopt,", "launched", "against", "it:"} <= set(listed.split())  # in a narrow column
    assert {"0.03,", "then", "0.02", "(folded)"} <= set(listed.split())
    both = said("--list", "--output", str(tmp_path / "x.csv"))
    assert "1 launch stands in" in both
    assert "adopt," in both.split()
    assert "adopt," not in said("--output", str(tmp_path / "x.csv"))
    assert "is in none; make it first" in said("--output", str(tmp_path / "nowhere" / "x.csv"), code=2)
    assert not (tmp_path / "nowhere").exists()
    assert "none was given; name one, or give --list" in said(code=2)
