"""The served list of rounds and their pages, asked by a real client of a real server."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from raytune_playbook.cli import main
from tests.report.conftest import STABILITY, write_round
from tests.waiting import wait_for


@dataclass
class Answer:
    """What a server has answered."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Served:
    """A server that runs, and how to ask it."""

    process: subprocess.Popen[str]
    storage: Path
    host: str
    port: int
    token: str

    def get(self, path: str, *, cookie: str | None = "right", **headers: str) -> Answer:
        """Ask for a path as it is, without anything made of it on the way."""
        if cookie is not None:
            value = self.token if cookie == "right" else cookie
            headers["Cookie"] = f"raytune_playbook_{self.port}={value}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode(errors="replace"))
        finally:
            connection.close()


def started(storage: Path, *arguments: str) -> Served:
    command = [sys.executable, "-m", "raytune_playbook", "serve", str(storage), "--port", "0", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    line = process.stdout.readline()
    url = urlsplit(line.rpartition(" ")[2].strip())
    assert url.hostname, line + process.stderr.read()
    return Served(process, storage, url.hostname, url.port, url.query.removeprefix("token="))


def stopped(server: Served) -> tuple[int, str, str]:
    server.process.send_signal(signal.SIGINT)
    out, err = server.process.communicate(timeout=60)
    return server.process.returncode, out, err


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    storage = tmp_path_factory.mktemp("rounds")
    write_round(storage, trials_per_arm=2, goal="Is <b>this</b> escaped?")
    write_round(storage, name="a-part", trials_per_arm=1, measured=False, part_of=STABILITY)
    logs = storage / "norms-1" / "batch_norm=sync" / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "00000.1.0.log").write_text("<script>alert(1)</script>")
    (storage / "secret.txt").write_text("not for everybody")
    (logs / "escape.log").symlink_to(storage / "secret.txt")
    broken = storage / "broken"
    broken.mkdir()
    (broken / "round.json").write_text("{")
    server = started(storage)
    yield server
    stopped(server)


@pytest.mark.parametrize("path", ["/", "/version", "/rounds/norms-1/report/index.html", "/nowhere"])
def test_nobody_without_the_token_is_let_in(served, path):
    assert served.get(path, cookie=None).status == 401
    assert served.get(path, cookie="wrong").status == 401
    assert served.get(path, cookie="ü").status in (400, 401)
    assert served.get(path, cookie=served.token[:-1]).status == 401
    assert served.get(path, cookie=None, Authorization=f"Basic {served.token}").status == 401
    assert served.get(f"{path}?token=wrong", cookie=None).status == 403
    assert "norms-1" not in served.get(path, cookie=None).text


def test_the_printed_url_gives_a_cookie_and_takes_the_token_away(served):
    answer = served.get(f"/rounds/norms-1?token={served.token}&a=1", cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, "/rounds/norms-1?a=1")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"raytune_playbook_{served.port}={served.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert served.get("/", cookie=None, Authorization=f"Bearer {served.token}").status == 200


def test_a_server_that_is_asked_by_another_name_does_not_answer(served):
    for host in ("evil.example", f"evil.example:{served.port}", "", "127.0.0.1.evil.example"):
        assert served.get("/", Host=host).status in (400, 403), host
    own = ("localhost", "LocalHost", "127.0.0.1", "[::1]", "192.0.2.7", "[2001:db8::7]")  # an address is no site's name
    for host in own:
        assert served.get("/", Host=f"{host}:{served.port}").status == 200, host


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/version/norms-1", 200), ("/?token=wrong", 403), ("/nowhere", 404)]
)
def test_every_answer_tells_browsers_what_they_may_not_do(served, path, status):
    answer = served.get(path)
    assert answer.status == status
    for name, value in {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-cache",
    }.items():
        assert answer.headers[name] == value


def test_all_rounds_are_listed_and_broken_ones_named(served):
    text = served.get("/").text
    assert "Is &lt;b&gt;this&lt;/b&gt; escaped?" in text
    assert "6 of 6" in text
    assert "finished" in text
    assert "validation error" in text
    assert "broken/round.json in" in text
    assert '<a href="/rounds/norms-1/report/index.html">' in text
    assert text.count("part of") == text.count("part of stability of norms-1") == 1


def test_a_page_is_served_and_not_sent_again_while_it_is_the_same(served):
    page = served.get("/rounds/norms-1/report/index.html")
    assert page.status == 200
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "data-url" not in page.text  # the round has ended: nothing to wait for
    again = served.get("/rounds/norms-1/report/index.html", **{"If-None-Match": page.headers["etag"]})
    assert (again.status, again.text) == (304, "")
    assert served.get("/rounds/norms-1").headers["location"] == "/rounds/norms-1/report/index.html"


def test_qr5_a_page_by_another_objective_is_served_and_none_by_what_is_no_objective(served):
    other = served.get("/rounds/norms-1/report/validation-loss-minimize-last.html")
    assert other.status == 200
    assert "judges the trials by the validation loss at the end of training" in " ".join(other.text.split())
    for name in ("validation-nothing-minimize-last", "validation-loss", "..%2findex"):
        assert served.get(f"/rounds/norms-1/report/{name}.html").status == 404


def test_what_a_page_links_to_is_sent_as_text(served):
    log = served.get("/rounds/norms-1/batch_norm%3Dsync/logs/00000.1.0.log")
    assert (log.status, log.text) == (200, "<script>alert(1)</script>")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert log.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    "path",
    [
        "/rounds/norms-1/../secret.txt",
        "/rounds/norms-1/%2e%2e/secret.txt",
        "/rounds/norms-1/logs/..%2f..%2fsecret.txt",
        "/rounds/norms-1/batch_norm=sync/logs/../../../secret.txt",
        "/rounds/..%2f/secret.txt",
        "/rounds/%2e%2e/secret.txt",
        "/rounds/norms-1//etc/passwd",
        "/rounds/norms-1/%2fetc/logs/passwd",
        "/rounds/norms-1/batch_norm=sync/logs/escape.log",
        "/rounds/norms-1/batch_norm=sync/logs/00000.1.0.log%00",
        "/rounds/norms-1/batch_norm=sync/logs/..\\..\\..\\secret.txt",
        "/rounds/norms-1/batch_norm=sync/logs",
        "/rounds/norms-1/round.json",
        "/rounds/norms-1/batch_norm=sync/trials/00000.parquet",
        "/secret.txt",
        "/rounds/secret.txt/report/index.html",
        "/version/..%2fnorms-1",
        "/version/nowhere",
    ],
)
def test_nothing_else_of_the_storage_is_sent(served, path):
    answer = served.get(path)
    assert answer.status == 404, answer.text
    assert "not for everybody" not in answer.text


def test_a_broken_round_says_so_in_a_sentence(served):
    answer = served.get("/rounds/broken/report/index.html")
    assert answer.status in (404, 500)
    assert "must hold a RoundRecord" in answer.text
    assert answer.text.count("\n") == 1


def test_a_running_round_is_shown_as_it_is_now(served):
    store = write_round(
        served.storage,
        name="grows",
        trials_per_arm=3,
        state="running",
        outcomes=lambda arm, index: "completed" if index == 0 else "missing",
    )
    page, version = served.get("/rounds/grows/report/index.html"), served.get("/version/grows").text
    assert 'data-url="/version/grows"' in page.text
    assert json.loads(version)["version"] in page.text
    assert page.text.count("connect-src 'self'") == 1  # its policy lets it ask this server, and nobody else
    assert "3 of 9 trials ended" in page.text
    assert served.get("/version/grows").text == version
    in_list = served.get("/version").text
    write_round(served.storage, name="grows", trials_per_arm=3)
    assert served.get("/version/grows").text != version
    assert served.get("/version").text != in_list
    ended = served.get("/rounds/grows/report/index.html", **{"If-None-Match": page.headers["etag"]})
    assert (ended.status, "9 of 9 trials ended" in ended.text, "data-url" in ended.text) == (200, True, False)
    assert store.status().state == "finished"


def test_interrupting_it_ends_it_and_nothing_but_the_url_was_printed(tmp_path):
    server = started(tmp_path, "--no-token")
    assert server.token == ""
    assert "There is no round here yet." in server.get("/", cookie=None).text
    assert server.get("/", cookie=None, Host="evil.example").status == 403
    assert stopped(server) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "rounds").exists()


def test_an_address_that_is_taken_or_none_is_named_in_one_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = {
            ("--port", str(taken.getsockname()[1])): "(address already in use)",
            ("--port", "70000"): "is none (",
            ("--host", "203.0.113.9"): "is none (",
            ("--host", "0.0.0.0", "--no-token"): "Without a token only this machine",
            ("nowhere://rounds",): "a URI that pyarrow knows is needed",
        }
        for arguments, words in wrong.items():
            assert main(["serve", *arguments]) == 2, arguments
            said = capsys.readouterr()
            assert words in said.err
            assert (said.out, said.err.count("\n")) == ("", 1)


def test_other_machines_are_served_with_the_token_only(tmp_path):
    server = started(tmp_path, "--host", "0.0.0.0")
    try:
        wait_for(lambda: server.get("/").status == 200)
        assert server.get("/", cookie=None).status == 401
        assert server.get("/", Host=f"{socket.gethostname()}:{server.port}").status == 200
        assert server.get("/", Host="evil.example").status == 403
    finally:
        stopped(server)
