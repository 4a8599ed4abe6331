"""The refusals of submission that need no cluster, its patience, and where it finds the token."""

from __future__ import annotations

import http.server
import math
import threading
from pathlib import Path

import pytest

from raytune_playbook.cli import main
from raytune_playbook.errors import JobFileError, SubmissionError
from raytune_playbook.submission import submit as submission
from raytune_playbook.submission.job_api import UnreachableError, find_target
from raytune_playbook.submission.submit import Job, JobStatus, State
from tests.ports import free_port
from tests.submission.live_head import TOKEN

pytestmark = pytest.mark.usefixtures("no_cluster_in_the_environment")


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

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["submit", "JOB", "--storage", "/nowhere"], "does not answer"),
            (["submit", "JOB", "--storage", "/nowhere", "--wait"], "does not answer"),
            (["submit", "JOB"], "must be an absolute path or a URI"),
            (["submit", "missing.py", "--storage", "/nowhere"], "'missing.py' is not one"),
            (["status", "any"], "does not answer"),
            (["logs", "any"], "does not answer"),
            (["logs", "any", "--follow"], "does not answer"),
            (["cancel", "any"], "does not answer"),
        ],
        ids=lambda given: " ".join(given) if isinstance(given, list) else "",
    )
    def test_the_commands_say_so_in_one_sentence(
        self,
        job: Path,
        arguments: list[str],
        sentence: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        given = [str(job) if each == "JOB" else each for each in arguments]
        monkeypatch.setattr(submission, "UNREACHABLE_LIMIT_S", math.inf)  # nobody waits for a wrong address
        assert main([*given, "--address", f"http://127.0.0.1:{free_port()}"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert sentence in err

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
