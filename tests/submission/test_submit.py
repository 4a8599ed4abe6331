"""Submission against a live local Ray head with its dashboard and token authentication on, and its refusals."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from ray.job_submission import JobSubmissionClient

from raytune_playbook.cli import main
from raytune_playbook.errors import JobFileError, SubmissionError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.submission import submit as submission
from raytune_playbook.submission.job_api import UnreachableError, find_target
from raytune_playbook.submission.staging import stage_job, stage_package
from raytune_playbook.submission.submit import Job, JobStatus, State
from tests.ports import free_port
from tests.waiting import wait_for

TOKEN = "a-token-of-the-tests-0123456789abcdef"
BIN = Path(sys.executable).parent
POLL_S = 0.1
# A submitted script is given what `raytune-playbook run` is given: the job file, `--storage`, further arguments.
SCRIPT = (sys.executable,)


@dataclass(frozen=True)
class Head:
    address: str
    """Of its job API."""
    gcs: str
    """Of Ray itself."""
    folder: Path
    """Where it was started."""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kills a cluster, by its processes' ids: that of a test needs no farewell, and Ray's takes 20 s."""
    started = psutil.Process(process.pid)
    doomed = [started, *started.children(recursive=True)]
    for each in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    psutil.wait_procs(doomed, timeout=20)


def _wait_until_up(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until the job API knows of no such job, which is its first answer of its own."""

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            submission.status("none", address, token=TOKEN)
        except SubmissionError as error:
            return "does not exist" in str(error)
        return False

    wait_for(is_up, every_s=0.2)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A Ray head of its own: own ports, own token, own temporary folder (short, for Ray's sockets)."""
    folder = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))
    (folder / "token").write_text(TOKEN)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    port, dashboard_port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000", "--node-ip-address=127.0.0.1"),
        *(f"--port={port}", f"--dashboard-port={dashboard_port}", f"--temp-dir={folder / 'ray'}"),
        *(f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"),
        *(f"--dashboard-agent-grpc-port={free_port()}", f"--metrics-export-port={free_port()}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--include-dashboard=true", "--dashboard-host=127.0.0.1"),
    ]
    environment = {
        **inherited,
        "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', '')}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }
    log = folder / "head.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
    address = f"http://127.0.0.1:{dashboard_port}"
    try:
        _wait_until_up(process, address, log)
        yield Head(address, f"127.0.0.1:{port}", folder)
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_cluster_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither an address nor a token of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file with a helper module, a helper package and a neighbour that must not travel."""
    folder = tmp_path / "jobs"
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("from beside import NAME\n")
    (folder / "beside.py").write_text("NAME = 'a helper'\n")
    (folder / "weights.bin").write_bytes(b"0" * 1000)
    path = folder / "tiny.py"
    path.write_text(
        "import pathlib, sys\n"
        "import helpers\n"
        "print('ran with', helpers.NAME, sys.argv[1:])\n"
        "print('files:', sorted(str(path) for path in pathlib.Path().rglob('*.py')))\n"
        "assert not pathlib.Path('weights.bin').exists()\n"
        "sys.exit(3 if 'fail' in sys.argv else 0)\n"
    )
    return path


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

    def test_a_round_runs_through_the_command_line(
        self, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A real round of a package, submitted with a token, whose records are in the storage afterwards."""
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        (package := tmp_path / "lines").mkdir()
        (package / "__init__.py").touch()
        (package / "data.py").write_text(DATA)
        (package / "line_job.py").write_text(ROUND)
        storage = str(tmp_path / "rounds")
        arguments = ["--address", head.address]
        assert main(["submit", str(package / "line_job.py"), *arguments, "--storage", storage]) == 0
        submission_id = capsys.readouterr().out.strip()
        assert main(["logs", submission_id, *arguments, "--follow"]) == 0
        log = capsys.readouterr().out
        assert main(["status", submission_id, *arguments]) == 0
        assert capsys.readouterr().out.startswith("SUCCEEDED"), log
        assert "2 trials = 1 study x 2" in log
        trials = RoundStore(Storage(storage), "line").trials()
        assert trials["outcome"].to_pylist() == ["completed"] * 2

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
        assert main(["status", submission_id, "--address", head.address]) == 1
        assert main(["logs", submission_id, "--address", head.address, "--follow"]) == 1
        assert main(["logs", submission_id, "--address", head.address]) == 0
        assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"
        with pytest.raises(SubmissionError, match=r"refuses the request.*to-fail") as refused:
            submission.submit(to_fail, head.address)
        assert "Traceback" not in str(refused.value)

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
        (tmp_path / "line_job.py").write_text(ROUND.replace("from .data", "from data"))
        command = [
            sys.executable,
            "-m",
            "raytune_playbook",
            "check",
            str(tmp_path / "line_job.py"),
            "--address",
            head.gcs,
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert (done.returncode, done.stdout) == (2, "line: Does a submitted round run?\n"), done.stderr
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert TOKEN not in done.stderr

    def test_ray_takes_the_right_token(self, head: Head) -> None:
        program = f"from raytune_playbook.engine.session import connect; print(connect({head.gcs!r}))"
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == "False", done.stderr

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
        JobSubmissionClient(head.address, headers={"Authorization": f"Bearer {TOKEN}"}).stop_job(submission_id)
        submission.wait(submission_id, head.address, timeout_s=60, poll_interval_s=POLL_S)
        assert main(["status", submission_id, "--address", head.address]) == 130


class TestRefusals:
    def test_an_unreachable_address(self, job: Path) -> None:
        address = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(SubmissionError, match=f"{address} does not answer .*check the address"):
            submission.submit(Job(job, "/nowhere"), address)

    def test_a_short_absence_is_sat_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = JobStatus("any", State.STOPPED, "", None)
        answers = iter([UnreachableError("away"), UnreachableError("still away"), ended])

        def status(*_: object, **__: object) -> JobStatus:
            answer = next(answers)
            if isinstance(answer, UnreachableError):
                raise answer
            return answer

        monkeypatch.setattr(submission, "status", status)
        assert submission.wait("any", "http://127.0.0.1:1", poll_interval_s=0.01) is ended

    def test_a_long_absence_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(submission, "UNREACHABLE_LIMIT_S", 0.3)
        with pytest.raises(SubmissionError, match="does not answer"):
            submission.wait("any", f"http://127.0.0.1:{free_port()}", poll_interval_s=0.1)

    def test_a_refusal_is_not_asked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def status(*_: object, **__: object) -> JobStatus:
            asked.append(1)
            raise SubmissionError("refused")

        monkeypatch.setattr(submission, "status", status)
        with pytest.raises(SubmissionError, match="refused"):
            submission.wait("any", "http://127.0.0.1:1", poll_interval_s=0.01)
        assert len(asked) == 1

    def test_another_server_is_not_a_dashboard(self) -> None:
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<html>sign in</html>")

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with pytest.raises(SubmissionError, match="is not one; check the host and the port"):
                submission.status("any", f"http://127.0.0.1:{server.server_port}")
            server.shutdown()

    @pytest.mark.parametrize("address", ["head:8265", "auto", "ray://head:10001", "http://", "http://head:port"])
    def test_an_address_that_is_not_a_url(self, job: Path, address: str) -> None:
        with pytest.raises(SubmissionError, match="address is its dashboard's URL"):
            submission.submit(Job(job, "/nowhere"), address)

    def test_a_plain_http_address_elsewhere_needs_a_token(self, job: Path) -> None:
        with pytest.raises(SubmissionError, match=r"none was found for http://192\.0\.2\.1:8265"):
            submission.submit(Job(job, "/nowhere"), "http://192.0.2.1:8265")

    def test_no_address_at_all(self, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SubmissionError, match="needs the cluster's address"):
            submission.submit(Job(job, "/nowhere"), None)
        monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
        assert submission.default_address() == "http://127.0.0.1:1"

    def test_a_storage_on_the_laptop(self, job: Path) -> None:
        with pytest.raises(SubmissionError, match=r"absolute path or a URI .* got 'rounds'"):
            submission.submit(Job(job, "rounds"), "http://127.0.0.1:1")

    def test_no_such_job_file(self, tmp_path: Path) -> None:
        with pytest.raises(JobFileError, match=r"missing\.py' is not one"):
            submission.submit(Job(tmp_path / "missing.py", "/nowhere"), "http://127.0.0.1:1")


class TestTokens:
    def test_the_order_is_rays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def source(given: str | None = None) -> str | None:
            token = find_target("http://127.0.0.1:1", given).token
            return token.source if token else None

        assert source() is None
        home = tmp_path / "home" / ".ray"
        home.mkdir(parents=True)
        (home / "auth_token").write_text(TOKEN + "\n")
        assert source() == str(home / "auth_token")
        named = tmp_path / "token"
        named.write_text(TOKEN)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
        assert source() == str(named)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert source() == "RAY_AUTH_TOKEN"
        assert source("mine") == "the token given"
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        assert source() is None

    def test_a_named_file_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/no/such/token")
        with pytest.raises(SubmissionError, match="RAY_AUTH_TOKEN_PATH must name a readable file"):
            find_target("http://127.0.0.1:1", None)

    def test_a_token_is_not_printed(self) -> None:
        assert TOKEN not in repr(find_target("http://127.0.0.1:1", TOKEN))


class TestShipping:
    def test_only_python_files_beside_the_job_travel(self, job: Path, tmp_path: Path) -> None:
        folder = job.parent
        for stray in ("data/big.py", "helpers/__pycache__/old.py", ".hidden.py", ".venv/__init__.py", "helpers/a.csv"):
            (folder / stray).parent.mkdir(parents=True, exist_ok=True)
            (folder / stray).write_text("")
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(job, staged) == "tiny.py"
        found = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
        assert found == ["beside.py", "helpers/__init__.py", "tiny.py"]

    def test_a_package_travels_whole_with_a_job_that_is_part_of_it(self, tmp_path: Path) -> None:
        inner = tmp_path / "apart" / "package" / "inner"
        (inner.parent / "other").mkdir(parents=True)
        inner.mkdir()
        names = ["__init__", "inner/__init__", "inner/job", "inner/layers", "other/__init__", "sizes"]
        for name in ("../not_of_it", *names):
            (inner.parent / f"{name}.py").touch()
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(inner / "job.py", staged) == "package/inner/job.py"
        assert "package/inner/job.py" in Job(inner / "job.py", "/nowhere").command
        found = sorted(str(path.relative_to(staged / "package")) for path in staged.rglob("*.py"))
        assert found == [f"{name}.py" for name in names]

    def test_too_much_is_one_sentence(self, job: Path, tmp_path: Path) -> None:
        (job.parent / "generated.py").write_text("#" * 5000)
        staged = tmp_path / "staged"
        staged.mkdir()
        with pytest.raises(SubmissionError, match=r"may hold 4,000 bytes.*folder of their own"):
            stage_job(job, staged, max_bytes=4000)

    def test_a_link_keeps_the_name_given(self, job: Path, tmp_path: Path) -> None:
        link = tmp_path / "today.py"
        link.symlink_to(job)
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(link, staged) == "today.py"
        assert (staged / "today.py").read_text() == job.read_text()

    def test_the_package_is_whole_and_without_leftovers(self, tmp_path: Path) -> None:
        package = stage_package(tmp_path)
        assert package == tmp_path / "raytune_playbook"
        assert (package / "submission" / "staging.py").is_file()
        assert not list(package.rglob("__pycache__"))
