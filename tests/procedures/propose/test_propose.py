"""``raytune-playbook propose``: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook import propose
from raytune_playbook.analysis.findings.changes import Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.cli import main
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.errors import StorageError
from raytune_playbook.records.procedures import ProcedureRecord, write_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import Part, RoundState
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.procedures.propose.conftest import JOB, Found, record, recorded

WIDER = SearchOver("learning_rate", Float(0.003, 3, scale="log"))


def printed(capsys: pytest.CaptureFixture[str], storage: Storage, *arguments: str) -> str:
    assert main(["propose", *arguments, "--storage", storage.uri]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], storage: Storage, *arguments: str) -> str:
    """The one sentence with which it is refused."""
    capsys.readouterr()
    assert main(["propose", *arguments, "--storage", storage.uri]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "__pycache__"}


def test_in16_the_next_job_file_runs_as_it_is_and_says_which_finding_asked_for_what(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage)
    found("IN1", Status.PROBLEM, WIDER)
    found("IN2", Status.LOOK, NumTrials(8))
    found("IN9", Status.LOOK, advice="Look for a bug.")
    said = printed(capsys, storage, "first")
    written = job.parent / "first_2.py"
    old, new = load_job(str(job)).round, load_job(str(written)).round
    assert new.name == "first_2"
    assert new.nuisance == {"learning_rate": Float(0.003, 3, scale="log")}
    budget = old.budget.model_copy(update={"num_trials": 16})
    kept = old.model_copy(update={"name": "first_2", "nuisance": new.nuisance, "budget": budget})
    assert new.model_dump() == kept.model_dump()
    assert new.fingerprint == kept.fingerprint

    header = " ".join((load_job(str(written)).module.__doc__ or "").split())
    for words in (
        "Does alpha matter?",
        f"Command: raytune-playbook run {written} --storage {storage.uri}",
        f"After: first, {job}",
        f"Made by: raytune-playbook propose first --storage {storage.uri}",
        "Costs: 16 trials of 100 steps, about 16 s of training on one gang",
        "- Search learning_rate from 0.003 to 3 on a log scale (it was 0.003 to 0.3).",
        "IN1 (problem): What IN1 asks was seen in 4 of 5 trials.",
        "- Give every study 8 trials (it had 3)",
        "What a person has to decide: - Look for a bug. (IN9: What IN9 asks was seen in 4 of 5 trials.)",
    ):
        assert words in header
    assert "- Search learning_rate from 0.003 to 3 on a log scale (it was 0.003 to 0.3)" in said
    assert said.endswith(f"Written: {written}\nRun it with: raytune-playbook run {written} --storage {storage.uri}\n")


def test_a_dry_run_says_the_same_and_writes_nothing(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage)
    found("IN1", Status.PROBLEM, WIDER)
    before = files(job.parent)
    dry = printed(capsys, storage, "first", "--dry-run", "--num-trials", "4")
    assert files(job.parent) == before
    real = printed(capsys, storage, "first", "--num-trials", "4")
    assert dry == real.replace("Written:", "To be written:").partition("Run it with:")[0]
    assert "4 trials of 100 steps" in dry
    assert load_job(str(job.parent / "first_2.py")).round.budget.num_trials == 4


def test_a_file_is_never_overwritten_even_where_it_is_named(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage)
    found("IN1", Status.PROBLEM, WIDER)
    there = job.parent / "first_2.py"
    there.write_text("mine")
    for given in ([], ["--output", str(there)], ["--output", str(there), "--dry-run"]):
        said = refused(capsys, storage, "first", *given)
        assert f"{there} is there and holds something else; run it or remove it, or name another with --output" in said
        assert there.read_text() == "mine"
    # A module that the new job would import is lost with it; the same job file again changes nothing.
    net = job.parent / "a_net.py"
    before = net.read_text()
    refused(capsys, storage, "first", "--output", str(net))
    assert net.read_text() == before
    there.unlink()
    printed(capsys, storage, "first")
    assert load_job(str(there)).round.name == "first_2"
    printed(capsys, storage, "first", "--output", str(there))
    there.write_text(there.read_text().replace("seed=0", "seed=1"))
    refused(capsys, storage, "first", "--output", str(there))
    assert "seed=1" in there.read_text()
    for wrong in (str(job), str(job.parent / "first_2.txt"), str(job.parent / "nowhere" / "x.py")):
        assert "--output: a Python file in a folder that is there" in refused(
            capsys, storage, "first", "--output", wrong
        )
    assert job.read_text() == JOB
    elsewhere = str(job.parent.parent / "x.py")
    assert f"name a file in {job.parent}" in refused(capsys, storage, "first", "--output", elsewhere)


def test_un8_what_a_stability_study_of_the_round_measured_is_what_is_proposed(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    store = recorded(job, storage)
    found("IN4", Status.PROBLEM, Fix("clipping_norm", 2.69))
    assert "Fix clipping_norm at 2.69" in printed(capsys, storage, "first", "--dry-run")
    numbers = {"is_limiting": True, "remedy": "warmup_steps", "warmup_steps": 6, "widening_by_warmup": 1.4}
    study = ProcedureRecord(
        procedure="stability",
        round="first",
        workload="Net",
        verdict="A warmup of 6 steps mends it.",
        numbers=numbers,
        command="raytune-playbook stability first",
        ended_at="2026-01-01T00:00:00Z",
    )
    write_procedure(store, study)
    said = printed(capsys, storage, "first", "--dry-run")
    assert "clipping_norm" not in said
    assert "A warmup of 6 steps makes training stable up to 1.4 times as large a learning rate" in said


def test_rounds_are_counted(job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(job, storage)
    found("IN8", Status.PROBLEM, TrainSteps(200))
    printed(capsys, storage, "first")
    second = job.parent / "first_2.py"
    recorded(second, storage)
    found("IN8", Status.PROBLEM, TrainSteps(400))
    printed(capsys, storage, "first_2")
    third = load_job(str(job.parent / "first_3.py"))
    assert third.round.name == "first_3"
    assert third.round.budget.max_train_steps == 400
    # The name that a round in the storage has is not given again.
    second.unlink()
    recorded(job.parent / "first_3.py", storage)
    printed(capsys, storage, "first", "--output", str(job.parent / "again.py"))
    assert load_job(str(job.parent / "again.py")).round.name == "first_4"
    # A number at the end that counts no rounds stays.
    job.write_text(JOB.replace('"first"', '"net_50"'))
    recorded(job, storage)
    printed(capsys, storage, "net_50")
    assert load_job(str(job.parent / "net_50_2.py")).round.name == "net_50_2"


def test_a_closed_checklist_is_said_and_nothing_is_written(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage)
    before = files(job.parent)
    assert printed(capsys, storage, "first") == "The checklist of first is closed: nothing is to be changed.\n"
    found("IN9", Status.PROBLEM, advice="Look for a bug.")
    said = printed(capsys, storage, "first")
    assert "closed" not in said
    assert "No finding of first asks for a change that a job file could make." in said
    assert "- Look for a bug. (IN9)" in said
    assert files(job.parent) == before


def test_a_round_that_goes_on_says_so(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage, RoundState.STOPPED)
    found("IN1", Status.PROBLEM, WIDER)
    note = "first has not finished (6 of 6 trials have ended)."
    assert printed(capsys, storage, "first").startswith(note)
    assert note in (job.parent / "first_2.py").read_text()


def test_a_job_that_is_gone_or_another_by_now_is_refused(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(job, storage)
    found("IN1", Status.PROBLEM, WIDER)
    job.write_text(JOB.replace("0.003", "0.001"))
    for arguments in ((), ("--dry-run",)):
        assert f"{job} defines another round by now" in refused(capsys, storage, "first", *arguments)
    job.unlink()
    assert f"{job} is gone" in refused(capsys, storage, "first")
    assert "holds first" in refused(capsys, storage, "second")


def test_a_round_from_python_has_a_function_in_place_of_a_job_file(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    round_ = load_job(str(job)).round
    store = record(round_, storage, None)
    assert propose(round_, Result(store)) is None
    found("IN1", Status.PROBLEM, WIDER)
    assert "`raytune_playbook.propose(round, result)` returns the next round" in refused(capsys, storage, "first")
    assert "Search learning_rate from 0.003 to 3" in printed(capsys, storage, "first", "--dry-run")
    new = propose(round_, Result(store), num_trials=10)
    assert new is not None
    assert (new.name, new.budget.num_trials, new.nuisance["learning_rate"]) == ("first_2", 10, WIDER.hyperparameter)
    assert new.workload is round_.workload
    with pytest.raises(StorageError, match="belongs to one specification"):
        propose(new.model_copy(update={"name": "first"}), Result(store))


def test_a_workload_that_another_file_cannot_import_is_refused_and_nothing_is_written(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    # `import colorsys` finds Python's own module.
    hidden = job.parent / "colorsys.py"
    hidden.write_text(JOB.replace("from a_net import Net", (job.parent / "a_net.py").read_text()))
    recorded(hidden, storage)
    found("IN1", Status.PROBLEM, WIDER)
    assert "names that no other module has" in refused(capsys, storage, "first")
    assert "first_2.py" not in files(job.parent)
    there = job.parent / "mine.py"
    there.write_text("mine")
    refused(capsys, storage, "first", "--output", str(there))
    assert there.read_text() == "mine"


def test_the_file_runs_from_another_folder_and_process(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recorded(job, storage)
    found("IN1", Status.PROBLEM, WIDER)
    printed(capsys, storage, "first")
    program = """
import sys
from raytune_playbook.engine.jobs.job_file import load_job
print(load_job(sys.argv[1]).round.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(job.parent / "first_2.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "first_2\n", done.stderr


def test_a_round_that_a_procedure_ran_has_no_next_one_and_its_procedure_is_named(
    job: Path, storage: Storage, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    store = recorded(job, storage)
    command = f"raytune-playbook stability first --storage {storage.uri}"
    part = Part(procedure="stability", round="first", command=command, job=str(job))
    text = store.round().model_copy(update={"part_of": part, "job": None, "command": command}).model_dump_json()
    storage.write("first/round.json", text.encode())
    found("IN1", Status.PROBLEM, WIDER)
    for options in ([], ["--dry-run"]):
        said = refused(capsys, storage, "first", *options)
        assert said == (
            "A next round follows a round of its own, but 'first' is part of the stability of first, which says what "
            f"to do next: {command}\n"
        )
    with pytest.raises(StorageError, match="part of the stability of first"):
        propose(load_job(str(job)).round, Result(store))
    assert files(job.parent) == {"a_net.py", "first_job.py"}
