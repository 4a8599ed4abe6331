"""A live Ray head with its dashboard and token authentication on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from raytune_playbook.errors import SubmissionError
from raytune_playbook.submission import submit as submission
from tests.ports import free_port
from tests.waiting import wait_for

TOKEN = "a-token-of-the-tests-0123456789abcdef"
BIN = Path(sys.executable).parent


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


@contextlib.contextmanager
def running_head() -> Iterator[Head]:
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
