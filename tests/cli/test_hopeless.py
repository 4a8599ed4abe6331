"""`run --exit-0-if-hopeless`: 0 where no other try can mend a failure, so that nobody starts another cluster for it.

`k8s/README.md` has the table of what each cause leads to.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook import errors
from raytune_playbook.cli import main
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.rounds import run as rounds
from raytune_playbook.engine.rounds.hopeless import note_hopeless
from raytune_playbook.errors import SpecError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState

OPTION = "--exit-0-if-hopeless"
SAID = "it is not retried, since no other try can mend it"

JOB = """
import numpy as np
import torch
from torch import nn
from raytune_playbook import Budget, Float, Objective, Resources, Round, Workload


class Line(Workload):
    def defaults(self):
        return {{"slope": 1.0, "batch_size": 8}}

    def datasets(self):
        x = np.linspace(0, 1, 32, dtype=np.float32)[:, None]
        return {{"train": {{"x": x}}, "validation": {{"x": x}}}}

    def model(self, values):
        slope = values.number("slope")
        {model}
        return nn.Linear(1, 1)

    def loss(self, model, batch, values):
        {loss}
        return (model(batch["x"]) - batch["x"]).square().squeeze(1)


round = Round(
    name="line", goal="Which slope?", workload=Line(), nuisance={{"slope": Float(0.1, 1.0)}},
    objective=Objective(metric="loss"),
    budget=Budget(num_trials={num_trials}, max_train_steps=8, evaluation_interval_steps=4),
    resources=Resources(num_workers=1, num_gangs=1), {more}
)
"""
FAILS = "raise ValueError('no such slope')"
FAILS_LATER = """if values.integer("warmup_steps"):  # the check before trial 0 has no warmup
            raise ValueError("no such step")"""
WARMUP = 'fixed={"warmup_steps": 2},'


def job(folder: Path, *, model: str = "", loss: str = "", num_trials: int = 4, more: str = "") -> str:
    file = folder / "line.py"
    text = JOB.format(model=model or "pass", loss=loss or "pass", num_trials=num_trials, more=more)
    file.write_text(text)
    return str(file)


def test_a_bad_job_file_ends_with_2_and_for_whoever_retries_with_0(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("import nothing_of_this_name\n")
    command = [sys.executable, "-m", "raytune_playbook", "run", str(file), "--storage", str(tmp_path / "rounds")]
    plain, retried = (subprocess.run([*command, *more], capture_output=True, text=True) for more in ([], [OPTION]))
    assert (plain.returncode, retried.returncode) == (2, 0)
    assert "raises ModuleNotFoundError" in plain.stderr and plain.stderr.count("\n") == 1
    assert retried.stderr == f"{plain.stderr}The run failed, and {SAID}; so the exit code is 0.\n"
    assert not (tmp_path / "rounds").exists()


def test_a_job_file_that_is_not_there_and_a_round_that_breaks_a_rule_are_hopeless(tmp_path, capsys):
    storage = str(tmp_path / "rounds")
    assert main(["run", str(tmp_path / "none.py"), "--storage", storage, OPTION]) == 0
    broken = job(tmp_path, more='fixed={"batch_sise": 4},')
    assert main(["run", broken, "--storage", storage, OPTION]) == 0
    assert capsys.readouterr().err.count(SAID) == 2
    assert not Path(storage).exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--storrage", "x"], "No such option '--storrage'"),
        (["--storage"], "Option '--storage' requires an argument"),
        (["--address", ""], "Invalid value for '--address'"),
        (["another"], "unexpected extra argument"),
    ],
)
def test_a_command_that_is_none_is_hopeless_since_every_try_has_it(tmp_path, capsys, more, sentence):
    arguments = ["run", job(tmp_path), *more]
    assert main(arguments) == 2
    assert SAID not in capsys.readouterr().err
    assert main([*arguments[:2], OPTION, *more]) == 0
    printed = capsys.readouterr().err
    assert sentence in printed and printed.count("\n") == 2
    assert printed.endswith(f"The run failed, and {SAID}; so the exit code is 0.\n")


RAISES = {
    "KeyboardInterrupt": "raise KeyboardInterrupt\n",
    "SystemExit": "raise SystemExit(3)\n",
    "GeneratorExit": "raise GeneratorExit\n",
    "Own": "class Own(BaseException): pass\nraise Own('no')\n",
    "Mute": "class Mute(Exception):\n    def __str__(self): raise ValueError('no')\nraise Mute\n",
    "BaseExceptionGroup": "raise BaseExceptionGroup('two', [KeyboardInterrupt()])\n",
}


@pytest.mark.parametrize("name", RAISES)
def test_whatever_a_job_file_raises_is_a_sentence_and_hopeless(tmp_path, capsys, name):
    file = tmp_path / "raises.py"
    file.write_text(RAISES[name])
    for command, code in (["manifest"], 2), (["run"], 2), (["run", OPTION], 0):
        assert main([*command, str(file)]) == code
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == (1 if code else 2)
        said = "ends the program with sys.exit(3)" if name == "SystemExit" else f"raises {name}"
        assert said in printed.err and "raises.py, line " in printed.err


def test_a_storage_that_is_away_is_worth_another_try(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", job(tmp_path), "--storage", str(tmp_path / "file" / "rounds"), OPTION]) == 2
    assert SAID not in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_worth_another_try(tmp_path, capsys):
    arguments = ["run", job(tmp_path), "--storage", str(tmp_path / "rounds"), "--address", "127.0.0.1:1", OPTION]
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert "there is none" in printed and SAID not in printed


RETRIED = {"StorageAwayError", "NoClusterError", "RunError", "StorageFailure"}


@pytest.mark.parametrize("name", errors.__all__)
def test_each_kind_of_error_knows_whether_another_try_may_help(tmp_path, monkeypatch, capsys, name):
    kind = getattr(errors, name)
    assert kind.retry_helps == (name in RETRIED)

    def fails(*_: object, **__: object) -> None:
        raise kind("It failed.")

    monkeypatch.setattr(rounds, "run", fails)
    plain = main(["run", job(tmp_path), "--storage", str(tmp_path / "rounds")])
    retried = main(["run", job(tmp_path), "--storage", str(tmp_path / "rounds"), OPTION])
    assert plain in (1, 2)
    assert retried == (plain if name in RETRIED else 0)


def test_code_that_raises_before_trial_0_is_hopeless(cluster, tmp_path, capsys):
    file, storage = job(tmp_path, model=FAILS), str(tmp_path / "rounds")
    assert main(["run", file, "--storage", storage]) == 1
    assert SAID not in capsys.readouterr().err
    assert main(["run", file, "--storage", storage, OPTION]) == 0
    printed = capsys.readouterr().err
    assert "ValueError: no such slope" in printed and SAID in printed
    assert not (tmp_path / "rounds" / "line" / "round.json").exists()


def test_a_round_whose_trials_fail_is_hopeless_and_its_status_says_so(cluster, tmp_path, capsys):
    file, storage = job(tmp_path, loss=FAILS_LATER, more=WARMUP), str(tmp_path / "rounds")
    store = RoundStore(Storage(storage), "line")
    assert main(["run", file, "--storage", storage, OPTION]) == 0
    assert SAID in capsys.readouterr().err
    status = store.status()
    assert status.state is RoundState.FAILED and not status.retry_helps
    assert "most trials fail" in status.reason and status.reason.endswith(SAID)

    # Going on runs the trial that is left, and none of those that failed.
    assert main(["run", file, "--storage", storage]) == 1
    assert (store.status().state, store.status().reason) == (RoundState.FINISHED, "")
    assert main(["run", file, "--storage", storage, OPTION]) == 0
    status = store.status()
    assert (status.state, status.reason) == (RoundState.FINISHED, f"no trial completed; {SAID}")


def test_a_round_that_works_ends_as_without_the_option_and_stays_as_it_is(cluster, tmp_path, capsys):
    file, storage = job(tmp_path, num_trials=1), str(tmp_path / "rounds")
    assert main(["run", file, "--storage", storage, OPTION]) == 0
    assert SAID not in capsys.readouterr().err
    status = RoundStore(Storage(storage), "line").status()
    assert (status.state, status.reason) == (RoundState.FINISHED, "")

    # It stays finished where a later run fails.
    note_hopeless(load_job(file).round, storage, SpecError("It must be so."))
    assert RoundStore(Storage(storage), "line").status() == status

    # Another round that has its name fails, and leaves its records alone.
    assert main(["run", job(tmp_path, num_trials=1, more="seed=1,"), "--storage", storage, OPTION]) == 0
    assert "belongs to one specification" in capsys.readouterr().err
    assert RoundStore(Storage(storage), "line").status() == status
