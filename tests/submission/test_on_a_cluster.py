"""Submission against a live local Ray head with its dashboard and token authentication on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobSubmissionClient

from raytune_playbook.cli import main
from raytune_playbook.errors import SubmissionError
from raytune_playbook.records.driving.claims import current_claim, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.submission import submit as submission
from raytune_playbook.submission.submit import Job
from tests.submission.live_head import BIN, TOKEN, Head, running_head
from tests.waiting import wait_for

POLL_S = 0.1
# A submitted script is given what `raytune-playbook run` is given: the job file, `--storage`, further arguments.
SCRIPT = (sys.executable,)
README = (Path(__file__).parents[2] / "README.md").read_text()

pytestmark = pytest.mark.usefixtures("no_cluster_in_the_environment")


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with running_head() as running:
        yield running


DATA = """
import numpy as np

def line():
    x = np.linspace(-1, 1, 64, dtype=np.float32)
    return {"x": x, "y": 2 * x}
"""

ROUND = """
from torch import nn
from .data import line
from raytune_playbook import Budget, Float, Objective, Resources, Round, Workload

class Line(Workload):
    def datasets(self):
        return {"train": line(), "validation": line()}
    def model(self, values):
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        return (model(batch["x"][:, None])[:, 0] - batch["y"]).square()

round = Round(
    name="line", goal="Does a submitted round run?", workload=Line(),
    nuisance={"learning_rate": Float(0.01, 0.1, scale="log")}, objective=Objective(metric="loss"),
    budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
    resources=Resources(num_workers=2, cpus_per_worker=0.5),
)
"""

ONE_TRIAL = ROUND.replace("from .data", "from data").replace("num_trials=2", "num_trials=1")

PROGRAM = """
import os, sys
from line_job import round
from raytune_playbook import run
from raytune_playbook.errors import CapacityError

try:
    print(run(round, storage="rounds", address=sys.argv[1]).trials["outcome"].to_pylist())
except CapacityError as error:
    assert not os.path.exists("rounds")
    print("CapacityError:", error)
"""

RATES = (0.01, 0.02, 0.04)

HELD = """
import time
from pathlib import Path
from torch import nn
from data import line
from raytune_playbook import Budget, Objective, Resources, Round, Workload

class Line(Workload):
    def datasets(self):
        return {"train": line(), "validation": line()}
    def model(self, values):
        self.num_steps = 0
        self.hold = Path("HOLD", str(values.number("learning_rate")))
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        self.num_steps += model.training
        while self.num_steps == 4 and self.hold.exists():
            time.sleep(0.05)
        return (model(batch["x"][:, None])[:, 0] - batch["y"]).square()

round = Round(
    name="held", goal="Does a round outlive its cluster?", workload=Line(),
    configurations=[{"learning_rate": value} for value in RATES], objective=Objective(metric="loss"),
    budget=Budget(num_trials=3, max_train_steps=6, evaluation_interval_steps=2),
    resources=Resources(num_workers=2, cpus_per_worker=0.5, num_gangs=1),
)
"""


class TestOnACluster:
    def test_a_job_runs_with_its_helper_modules(self, head: Head, job: Path, tmp_path: Path) -> None:
        storage = str(tmp_path / "rounds")
        noted = Job(job, storage, entrypoint=SCRIPT, arguments=["--note", "two words"])
        submission_id = submission.submit(noted, head.address, token=TOKEN)
        followed = "".join(
            submission.logs(submission_id, head.address, token=TOKEN, follow=True, poll_interval_s=POLL_S)
        )
        ended = submission.wait(submission_id, head.address, token=TOKEN, timeout_s=60, poll_interval_s=POLL_S)
        assert (ended.state, ended.exit_code, ended.is_final) == ("SUCCEEDED", 0, True)
        assert f"ran with a helper ['--storage', {storage!r}, '--note', 'two words']" in followed
        assert "files: ['beside.py', 'helpers/__init__.py', 'tiny.py']" in followed
        assert followed == "".join(submission.logs(submission_id, head.address, token=TOKEN))

    def test_a_round_runs_through_the_command_line_and_the_commands_that_it_prints(
        self, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A real round of a package, submitted with a token, whose records are in the storage afterwards."""
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        (package := tmp_path / "lines").mkdir()
        (package / "__init__.py").touch()
        (package / "data.py").write_text(DATA)
        (package / "line_job.py").write_text(ROUND)
        storage = str(tmp_path / "rounds")
        assert main(["submit", str(package / "line_job.py"), "--address", head.address, "--storage", storage]) == 0
        submission_id, how = capsys.readouterr()
        assert submission_id.count("\n") == 1  # nothing else, so that a script may take it
        printed = [shlex.split(line)[1:] for line in re.findall(r"raytune-playbook .*", how)]
        follow, status, cancel, again = printed
        assert [each[1] for each in (follow, status, cancel)] == [submission_id.strip()] * 3
        assert main(follow) == 0
        log = capsys.readouterr().out
        assert main(status) == 0
        assert capsys.readouterr().out.startswith("SUCCEEDED"), log
        assert "2 trials = 1 study x 2" in log
        trials = RoundStore(Storage(storage), "line").trials()
        assert trials["outcome"].to_pylist() == ["completed"] * 2

        assert main(cancel) == 2  # too late
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"{submission_id.strip()} has ended by itself: SUCCEEDED" in err
        assert main([*again, "--follow"]) == 0
        out, err = capsys.readouterr()
        assert "All 2 trials are done already" in out
        assert err.endswith("\nSUCCEEDED\n")
        assert RoundStore(Storage(storage), "line").trials() == trials

    def test_waiting_for_a_broken_job_exits_as_its_run_did(
        self, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        (tmp_path / "broken_job.py").write_text("import nothing_of_this_name\n")
        arguments = [str(tmp_path / "broken_job.py"), "--address", head.address, "--storage", str(tmp_path / "rounds")]
        assert main(["submit", *arguments, "--wait"]) == 2
        out, err = capsys.readouterr()
        assert out.count("\n") == 1
        assert "FAILED: Job entrypoint command failed with exit code 2" in err
        assert main(["status", out.strip(), "--address", head.address]) == 2
        assert not list(tmp_path.glob("rounds/*"))

    def test_rays_own_command_submits_as_the_readme_says(self, head: Head, tmp_path: Path) -> None:
        (command,) = re.findall(r"^ray job submit .*", README, flags=re.MULTILINE)
        (tmp_path / "data.py").write_text(DATA)
        (tmp_path / "my_job.py").write_text(ONE_TRIAL)
        given = {"http://HEAD:8265": head.address, "FOLDER": str(tmp_path), "URI": str(tmp_path / "rounds")}
        assert given.keys() <= set(shlex.split(command))
        _, *arguments = [given.get(each, each) for each in shlex.split(command)]
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        done = subprocess.run([BIN / "ray", *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert RoundStore(Storage(str(tmp_path / "rounds")), "line").trials()["outcome"].to_pylist() == ["completed"]

    def test_a_failed_job_says_so_and_keeps_its_exit_code(
        self, head: Head, job: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")  # the address given wins
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
        to_fail = Job(job, "/nowhere", entrypoint=SCRIPT, arguments=["fail"], submission_id="to-fail")
        submission_id = submission.submit(to_fail, head.address)
        assert submission_id == "to-fail"
        ended = submission.wait(submission_id, head.address, timeout_s=60, poll_interval_s=POLL_S)
        assert (ended.state, ended.exit_code) == ("FAILED", 3)
        assert main(["status", submission_id, "--address", head.address]) == 3
        assert main(["logs", submission_id, "--address", head.address, "--follow"]) == 3
        assert main(["logs", submission_id, "--address", head.address]) == 0
        assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"
        with pytest.raises(SubmissionError, match=r"refuses the request.*to-fail") as refused:
            submission.submit(to_fail, head.address)
        assert "Traceback" not in str(refused.value)

    @pytest.mark.parametrize("entrypoint", [SCRIPT, ("exec", *SCRIPT)])  # Ray's shell tells of the signal, or gets it
    def test_a_job_that_a_signal_ended_has_a_shells_exit_code(
        self, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entrypoint: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        job = tmp_path / "killed.py"
        job.write_text("import os\nos.kill(os.getpid(), 9)\n")
        submission_id = submission.submit(Job(job, "/nowhere", entrypoint=entrypoint), head.address)
        submission.wait(submission_id, head.address, timeout_s=60, poll_interval_s=POLL_S)
        assert main(["status", submission_id, "--address", head.address]) == 128 + 9

    def test_the_package_travels_on_request(self, head: Head, tmp_path: Path) -> None:
        job = tmp_path / "where.py"
        job.write_text("import raytune_playbook.errors\nprint('from', raytune_playbook.errors.__file__)\n")
        # -P leaves the working folder out, so that only the shipped package can be found before an installed one.
        where = Job(job, "/nowhere", entrypoint=(sys.executable, "-P"), ship_package=True)
        submission_id = submission.submit(where, head.address, token=TOKEN)
        ended = submission.wait(submission_id, head.address, token=TOKEN, timeout_s=120, poll_interval_s=POLL_S)
        log = "".join(submission.logs(submission_id, head.address, token=TOKEN))
        assert ended.state == "SUCCEEDED", log
        assert "py_modules_files" in log

    def test_a_job_without_a_folder_runs_where_ray_was_started(self, head: Head) -> None:
        """The image's jobs/ and the RayJob's relative path to it lean on this."""
        client = JobSubmissionClient(head.address, headers={"Authorization": f"Bearer {TOKEN}"})
        submission_id = client.submit_job(entrypoint="pwd")
        submission.wait(submission_id, head.address, token=TOKEN, timeout_s=60, poll_interval_s=POLL_S)
        assert str(head.folder) in "".join(submission.logs(submission_id, head.address, token=TOKEN)).splitlines()

    def test_a_wrong_token_is_one_sentence(self, head: Head, job: Path) -> None:
        with pytest.raises(SubmissionError, match="refuses the one from the token given") as refused:
            submission.submit(Job(job, "/nowhere", entrypoint=SCRIPT), head.address, token="wrong-" + TOKEN)
        assert TOKEN not in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_no_token_is_one_sentence(self, head: Head) -> None:
        with pytest.raises(SubmissionError, match="needs a token, but none was found"):
            submission.status("any", head.address)

    @pytest.mark.parametrize(
        ("environment", "sentence"),
        [
            ({}, "wants a token, but none is given; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"),
            ({"RAY_AUTH_MODE": "token"}, "wants a token, but none is given"),
            ({"RAY_AUTH_TOKEN": TOKEN}, "but Ray does not send the one of RAY_AUTH_TOKEN; set RAY_AUTH_MODE=token."),
            ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x" + TOKEN}, "refuses the one of RAY_AUTH_TOKEN; take"),
        ],
        ids=["none", "none sent", "not sent", "wrong"],
    )
    def test_ray_itself_wants_the_token_too(
        self, head: Head, tmp_path: Path, environment: dict[str, str], sentence: str
    ) -> None:
        (tmp_path / "data.py").write_text(DATA)
        (tmp_path / "line_job.py").write_text(ONE_TRIAL)
        command = [sys.executable, "-m", "raytune_playbook", "run", "line_job.py", "--address", head.gcs]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "line: Does a submitted round run?\n"), done.stderr
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert TOKEN not in done.stderr
        assert not (tmp_path / "rounds").exists()

    @pytest.mark.parametrize(
        ("environment", "then"),
        [
            (
                {},
                r"CapacityError: The Ray cluster at \S+ wants a token, but none is given; set RAY_AUTH_MODE=token and",
            ),
            (
                {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x" + TOKEN},
                "CapacityError: The token must be the cluster's",
            ),
            ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}, r"\['completed'\]"),
        ],
        ids=["none", "wrong", "right"],
    )
    def test_the_python_api_wants_the_token_too(
        self, head: Head, tmp_path: Path, environment: dict[str, str], then: str
    ) -> None:
        (tmp_path / "data.py").write_text(DATA)
        (tmp_path / "line_job.py").write_text(ONE_TRIAL)
        (tmp_path / "program.py").write_text(PROGRAM)
        command = [sys.executable, "program.py", head.gcs]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment)
        assert re.match(then, done.stdout.splitlines()[-1]), done.stdout + done.stderr
        assert TOKEN not in done.stdout

    def test_the_doctor_says_that_the_cluster_wants_a_token(self, head: Head, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "raytune_playbook", "doctor", "--address", head.gcs]
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        line = r"^ok +token +The cluster refuses who sends no token\."
        assert re.search(line, done.stdout, re.MULTILINE), done.stdout + done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_job_is_one_sentence(self, head: Head) -> None:
        with pytest.raises(SubmissionError, match="no-such-job does not exist"):
            submission.status("no-such-job", head.address, token=TOKEN)

    def test_a_wait_that_ends_first_says_that_the_job_goes_on(
        self, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = tmp_path / "slow.py"
        job.write_text("import time\ntime.sleep(60)\n")
        submission_id = submission.submit(Job(job, "/nowhere", entrypoint=SCRIPT), head.address, token=TOKEN)
        with pytest.raises(SubmissionError, match="it goes on"):
            submission.wait(submission_id, head.address, token=TOKEN, timeout_s=0.2, poll_interval_s=0.1)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert main(["status", submission_id, "--address", head.address]) == 0
        assert main(["cancel", submission_id, "--address", head.address]) == 0
        assert main(["status", submission_id, "--address", head.address]) == 130


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raytune_playbook", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(900)
def test_ck2_a_job_submitted_again_goes_on_where_its_cluster_was_lost_or_it_was_cancelled(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its second trial the round loses its cluster behind one checkpoint, and is cancelled behind the next."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    hold, rates = tmp_path / "hold", [str(rate) for rate in RATES]
    store = RoundStore(Storage(str(tmp_path / "rounds")), "held")
    (folder := tmp_path / "jobs").mkdir()
    (folder / "data.py").write_text(DATA)
    (folder / "held_job.py").write_text(HELD.replace("HOLD", str(hold)).replace("RATES", str(RATES)))
    hold.mkdir()
    for rate in rates:
        (hold / rate).touch()

    def submit_to(cluster: Head) -> list[str]:
        job, storage = str(folder / "held_job.py"), str(tmp_path / "rounds")
        return ["submit", job, "--storage", storage, "--address", cluster.address]

    def printed() -> str:
        return capsys.readouterr().out.strip()

    def trials() -> dict[int, dict[str, Any]]:
        return {row["index"]: row for row in store.trials().to_pylist()} if store.exists() else {}

    def held_behind(step: int, by: str, at: Head) -> int:
        """The trial that waits behind its checkpoint of a step, as soon as one does."""
        checkpoints = tmp_path / "rounds" / "held" / "all" / "checkpoints"

        def held() -> list[int]:
            assert submission.status(by, at.address).is_final is False, "".join(submission.logs(by, at.address))
            going = [index for index, row in trials().items() if row["outcome"] is None]
            there = [index for index in going if (hold / rates[index]).exists()]  # another passes its checkpoints by
            return [index for index in there if (checkpoints / f"{index:05d}" / str(step) / "training.pt").exists()]

        wait_for(held, every_s=0.5)
        (index,) = held()
        return index

    with running_head() as lost:
        waiting = started(*submit_to(lost), "--wait")
        assert waiting.stdout is not None
        first = waiting.stdout.readline().strip()
        whole = held_behind(2, first, lost)
        (hold / rates[whole]).unlink()
        wait_for(lambda: trials()[whole]["outcome"] is not None)
        cut = held_behind(2, first, lost)
        assert main([*submit_to(lost), "--wait"]) == 2
        assert "A round has one driver at a time, but " in capsys.readouterr().err
        assert main(["status", first, "--address", lost.address]) == 0  # and goes on
        before = trials()[whole]
    wait_for(lambda: current_claim(driving(store)) is None)
    assert main(["status", first, "--address", lost.address]) == 2
    assert (before["outcome"], trials()[cut]["outcome"]) == ("completed", None)

    printed()
    (third,) = {0, 1, 2} - {whole, cut}
    (hold / rates[third]).unlink()  # it may come before the other one
    assert main(submit_to(head)) == 0
    second = printed()
    assert held_behind(4, second, head) == cut
    assert main(["cancel", second, "--address", head.address]) == 0
    assert "what its round has recorded is kept" in printed()
    assert main(["status", second, "--address", head.address]) == 130
    shutil.rmtree(hold)
    assert main([*submit_to(head), "--wait"]) == 0, capsys.readouterr().err
    after = store.trials().to_pylist()
    assert sorted((row["index"], row["outcome"]) for row in after) == [(index, "completed") for index in range(3)]
    assert trials()[whole] == before
    attempts = trials()[cut]["attempts"]
    assert (len(attempts), attempts[-1]["first_step"]) == (3, 4)

    _, told = waiting.communicate(timeout=240)
    assert waiting.returncode == 1  # the job was right, and its cluster is gone
    assert f"{first} is out of sight: " in told
    assert f"go on with: {shlex.join(['raytune-playbook', *submit_to(lost)])}\n" in told
    assert "Traceback" not in told
