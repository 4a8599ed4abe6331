"""The refusals of submission that need no cluster, its patience, and where it finds the token."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from raytune_playbook.cli import main
from raytune_playbook.errors import JobFileError, SubmissionError
from raytune_playbook.submission import submit as submission
from raytune_playbook.submission.job_api import UnreachableError, find_target
from raytune_playbook.submission.submit import Job, JobStatus, State
from tests.ports import free_port
from tests.submission.answers import answering
from tests.submission.live_head import TOKEN

pytestmark = pytest.mark.usefixtures("no_cluster_in_the_environment")

HALF = "a\udc80"
"""How Python has a byte that is no UTF-8."""

VERSION = '{"version": "4", "ray_version": "2.0.0", "ray_commit": "none"}'


NO_URLS = ("", " ", "head:8265", "auto", "ray://head:10001", "http://", "http://head:port")


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

    @pytest.mark.parametrize("page", ["<html>sign in</html>", "[]", "1", '"ray"', "null", "{}", '{"ray_version": 3}'])
    def test_another_server_is_not_a_dashboard(self, page: str) -> None:
        with answering({"/api/version": page}.get) as url:
            for asked in (submission.status, submission.cancel, lambda *given: list(submission.logs(*given))):
                with pytest.raises(SubmissionError, match="is not one; check the host and the port"):
                    asked("any", url)

    @pytest.mark.parametrize(
        "page", ["<html>", "[]", "1", "null", "{}", '{"logs": 3, "status": 7, "type": "none"}', '{"logs": {}}']
    )
    def test_what_answers_as_no_job_server_does_is_none(self, page: str) -> None:
        not_one = pytest.raises(SubmissionError, match="is not one; check the host and the port")
        with answering({"/api/version": VERSION, "/api/jobs/any": page, "/api/jobs/any/logs": page}.get) as url:
            with not_one:
                submission.status("any", url)
            with not_one:
                list(submission.logs("any", url))

    def test_what_no_terminal_can_show_is_replaced_in_a_log(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs = json.dumps({"logs": f"began {HALF}\n"})
        with answering({"/api/version": VERSION, "/api/jobs/any/logs": logs}.get) as url:
            assert main(["logs", "any", "--address", url]) == 0
        assert capsys.readouterr().out == "began a?\n"

    def test_a_job_that_the_cluster_does_not_know(self) -> None:
        unknown = pytest.raises(SubmissionError, match=r"but Job any does not exist at .*or submit the job again\.$")
        with answering({"/api/version": VERSION}.get, refusal="Job any does not exist.") as url, unknown:
            submission.status("any", url)

    def test_another_refusal_says_what_to_do(self) -> None:
        refused = pytest.raises(SubmissionError, match=r"refuses the request: .*look into the log of its dashboard\.$")
        with answering({"/api/version": VERSION}.get, otherwise=400) as url, refused:
            submission.status("any", url)

    @pytest.mark.parametrize("command", ["status", "logs", "cancel"])
    @pytest.mark.parametrize("given", ["", "../version", "..", "a/b", "a b", "a?b", "a%2fb", "a\n"])
    def test_what_is_no_id_is_sent_to_nobody(
        self, command: str, given: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with answering({"/api/version": VERSION, "/api/jobs/": "[]"}.get) as url:
            assert main([command, given, "--address", url]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"A submission's id is of letters, digits, '_', '-' and '.', but got {given!r}" in err

    @pytest.mark.parametrize("address", [*NO_URLS, "http://a b:1", "http://head:1\n"])
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
        ("content", "sentence"),
        [
            (b"", "imports nothing, and so defines none"),
            (b'"""Only words."""\n', "imports nothing"),
            (b"answer = 42\n", "imports nothing"),
            (b"import os\nround(:\n", r"is no valid Python: invalid syntax \(line 2\); correct it"),
            (b"import os\n\x00", "is no valid Python"),
            (b"import os\nx = '\xff'\n", "is no valid Python"),
            (b"# coding: nothing\n", "is no valid Python"),
            (b"import os\nx = " + b"(" * 5000, "is no valid Python"),
            (b"import os\nx = " + b"-" * 50000 + b"1", "is no valid Python"),
        ],
        ids=range(9),
    )
    def test_a_file_that_python_cannot_run_is_not_sent(self, tmp_path: Path, content: bytes, sentence: str) -> None:
        file = tmp_path / "broken.py"
        file.write_bytes(content)
        with pytest.raises(JobFileError, match=f"^A job is a Python file.*{sentence}") as refused:
            submission.submit(Job(file, "/nowhere"), "http://127.0.0.1:1")
        assert "\n" not in str(refused.value)

    def test_what_a_job_file_needs_may_be_on_the_cluster_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "elsewhere.py"
        file.write_text("import nothing_of_this_name\nescape = '\\d'\n")
        with pytest.raises(SubmissionError, match="does not answer"):
            submission.submit(Job(file, "/nowhere"), f"http://127.0.0.1:{free_port()}")

    @pytest.mark.parametrize("storage", ["foo://bar", "s3://", "://x", "", " "])
    def test_a_storage_that_nothing_can_read(self, job: Path, storage: str) -> None:
        with pytest.raises(SubmissionError, match=r"--storage: a .* got '"):
            submission.submit(Job(job, storage), "http://127.0.0.1:1")

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

    @pytest.mark.parametrize("url", ["http://me:secret@head:8265", "http://me:secret@", "http://head:1/?token=secret"])
    def test_an_address_with_credentials_is_refused_without_showing_them(
        self, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["status", "any", "--address", url]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "secret" not in err

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

    @pytest.mark.parametrize("value", ["two\nlines", "a\tb", "schl\u00fcssel", "\u20ac", HALF])
    def test_what_no_header_can_hold_is_no_token(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        def refused(source: str, token: str | None) -> None:
            with pytest.raises(SubmissionError, match=f"A token is one line of ASCII characters, but {source}") as told:
                find_target("http://127.0.0.1:1", token)
            assert value not in str(told.value)

        named = tmp_path / "token"
        named.write_bytes(value.encode("utf-8", "surrogateescape"))
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
        if value != HALF:  # a file of which is no text at all
            refused(str(named), None)
        monkeypatch.setenv("RAY_AUTH_TOKEN", value)
        refused("RAY_AUTH_TOKEN", None)
        refused("the token given", value)

    def test_a_token_is_not_printed(self) -> None:
        assert TOKEN not in repr(find_target("http://127.0.0.1:1", TOKEN))
