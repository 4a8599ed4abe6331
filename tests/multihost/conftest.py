"""A real Ray cluster of three hosts in network namespaces, started once per test session.

Each host has a network namespace with an address of its own and a host name of its own; their links meet in a bridge
that has a namespace too, so that nothing but the namespaces' names is visible outside, and those hold this process's
id. A host is lost by killing all of its processes or by taking its link down.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.waiting import wait_for

DRIVE = Path(__file__).with_name("drive.py")
FORKED_RAY = DRIVE.parents[1] / "forked_ray.py"
FAULTY_PROXY = DRIVE.parents[1] / "faulty_proxy.py"
SUBNET = "10.213.7"
PORT = 6379
START_TIMEOUT_S = 180.0
ROUND_TIMEOUT_S = 600.0
"""On a machine whose cores are taken a gang's start alone has taken two minutes."""

S3_PORT, S3_PROXY_PORT = 5000, 5001
"""Of a server that speaks S3 on the head, and of the proxy before it, where a test starts them."""

CLUSTER_ENVIRONMENT = {
    # All that is known of the object store, as on a cluster: no URI and no code holds a credential.
    "AWS_ENDPOINT_URL": f"http://{SUBNET}.1:{S3_PROXY_PORT}",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "RAY_AUTH_MODE": "disabled",  # nobody else is on this network
    "GLOO_SOCKET_IFNAME": "eth0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A host whose link is down is given up after about 4 + 3 x 4 s; Ray's own defaults make that a minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
}


def run_command(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Host:
    """A machine, as far as Ray can tell."""

    name: str
    namespace: str
    number: int
    scratch: Path

    @property
    def address(self) -> str:
        return f"{SUBNET}.{self.number}"

    def command(self, *command: str) -> list[str]:
        """What runs a command on this host, under its host name."""
        rename = f'echo {self.name} > /proc/sys/kernel/hostname && exec "$@"'
        inside = ["unshare", "--uts", "sh", "-c", rename, "sh", *command]
        return ["ip", "netns", "exec", self.namespace, *inside]

    def process_ids(self, title: str = "") -> list[int]:
        """Of the processes whose command line holds ``title``."""
        ids = [int(word) for word in run_command("ip", "netns", "pids", self.namespace).split()]
        return [process_id for process_id in ids if title in command_line(process_id)]

    def workers(self) -> list[int]:
        """Process ids of the workers of gangs."""
        return self.process_ids("RayTrainWorker")

    def kill(self) -> None:
        """SIGKILL all of its processes."""
        while ids := [process_id for process_id in self.process_ids() if state(process_id) not in "ZX"]:
            for process_id in ids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)
            time.sleep(0.05)


def command_line(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it has just ended


def state(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


class Hosts:
    """A head with one CPU for drivers and the pipeline, and two hosts of two CPUs for gangs."""

    def __init__(self, scratch: Path) -> None:
        self._name = f"rtp{os.getpid()}"
        self._switch = f"{self._name}-switch"
        self._scratch = scratch
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO"))}
        self.environment |= CLUSTER_ENVIRONMENT
        self._processes: list[subprocess.Popen[str]] = []
        self.head, self.one, self.two = (
            Host(name, f"{self._name}-{name}", number, scratch / name)
            for number, name in enumerate(("head", "one", "two"), start=1)
        )

    # ------------------------------------------------------------------ coming and going

    def __enter__(self) -> Hosts:
        try:
            run_command("ip", "netns", "add", self._switch)
            run_command("ip", "-n", self._switch, "link", "add", "bridge", "type", "bridge")
            run_command("ip", "-n", self._switch, "link", "set", "bridge", "up")
            for host in (self.head, self.one, self.two):
                self._wire(host)
            self._start_head()
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        present = {line.split()[0] for line in run_command("ip", "netns", "list").splitlines() if line}
        for host in (self.head, self.one, self.two):
            if host.namespace in present:
                host.kill()
                run_command("ip", "netns", "del", host.namespace)
        if self._switch in present:
            run_command("ip", "netns", "del", self._switch)

    def renew(self) -> None:
        """Have another cluster in place of this one, on the same hosts."""
        while self._processes:  # also those that were killed with their host
            process = self._processes.pop()
            process.kill()
            process.wait()
        for host in (self.head, self.one, self.two):
            self.link(host, "up")
            host.kill()
            shutil.rmtree(host.scratch, ignore_errors=True)
        self._start_head()
        self.mend()

    def _start_head(self) -> None:
        self._ray_start(self.head, "--head", f"--port={PORT}", "--num-cpus=1", "--dashboard-host=127.0.0.1")

    def mend(self) -> None:
        """Have both hosts in the cluster again, with nothing running on them."""
        for host in (self.one, self.two):
            self.link(host, "up")
        there = self.alive() - self.draining()
        with ThreadPoolExecutor() as threads:
            list(threads.map(self._start_host, [host for host in (self.one, self.two) if host.name not in there]))
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while self.alive() != {"head", "one", "two"} or self.draining():
            assert time.monotonic() < deadline_s, f"only {self.alive()} are in the cluster"
            time.sleep(0.2)

    def _start_host(self, host: Host) -> None:
        host.kill()
        shutil.rmtree(host.scratch, ignore_errors=True)
        self._ray_start(host, f"--address={self.head.address}:{PORT}", "--num-cpus=2", "--labels=pool=gangs")

    def _wire(self, host: Host) -> None:
        run_command("ip", "netns", "add", host.namespace)
        port = ("link", "add", "eth0", "type", "veth", "peer", "name", host.name, "netns", self._switch)
        run_command("ip", "-n", host.namespace, *port)
        run_command("ip", "-n", self._switch, "link", "set", host.name, "master", "bridge", "up")
        run_command("ip", "-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        run_command("ip", "-n", host.namespace, "link", "set", "eth0", "up")
        run_command("ip", "-n", host.namespace, "link", "set", "lo", "up")

    def _ray_start(self, host: Host, *arguments: str) -> None:
        """Ray gives up a start after 30 s, which is not long where the cores are busy."""
        done = self._ray_start_tried(host, *arguments)
        if done.returncode != 0:
            host.kill()
            shutil.rmtree(host.scratch, ignore_errors=True)
            done = self._ray_start_tried(host, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def _ray_start_tried(self, host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
        host.scratch.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            host.command(
                sys.executable,
                str(FORKED_RAY),
                "ray",
                str(host.scratch),
                "start",
                f"--node-ip-address={host.address}",
                f"--temp-dir={host.scratch}",
                "--object-store-memory=100000000",
                "--disable-usage-stats",
                *arguments,
            ),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )

    def link(self, host: Host, to: str) -> None:
        """Take a host's cable out, or put it back: ``down`` or ``up``."""
        run_command("ip", "-n", host.namespace, "link", "set", "eth0", to)

    # ------------------------------------------------------------------ what the cluster says

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The living nodes by host name, each with ``node_id`` and ``is_draining``."""
        if not self._processes:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._processes.append(self.start(self.head, f"{self.head.address}:{PORT}", "nodes", **pipes))
        teller = self._processes[0]
        assert teller.stdin is not None and teller.stdout is not None
        teller.stdin.write("\n")
        teller.stdin.flush()
        answer: dict[str, dict[str, Any]] = json.loads(teller.stdout.readline())
        return answer

    def alive(self) -> set[str]:
        return set(self.nodes())

    def draining(self) -> set[str]:
        return {name for name, node in self.nodes().items() if node["is_draining"]}

    # ------------------------------------------------------------------ what runs on it

    def start(self, host: Host, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``drive.py`` on a host."""
        return self.launch(host, str(DRIVE), *arguments, **options)

    def launch(
        self, host: Host, *arguments: str, variables: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start Python on a host."""
        environment = self.environment | dict(variables or {})
        return subprocess.Popen(host.command(sys.executable, *arguments), env=environment, text=True, **options)

    @contextlib.contextmanager
    def s3(self, *, seed: int, share: float) -> Iterator[str]:
        """A storage on S3 for all hosts, which fails of so many requests; its URI."""
        server, proxy = (f"{self.head.address}:{port}" for port in (S3_PORT, S3_PROXY_PORT))
        commands = (
            ["-m", "moto.server", "-H", self.head.address, "-p", str(S3_PORT)],
            [str(FAULTY_PROXY), server, proxy, str(seed), str(share)],
        )
        with tempfile.TemporaryFile() as log, contextlib.ExitStack() as started:
            for command in commands:
                process = subprocess.Popen(self.head.command(sys.executable, *command), stdout=log, stderr=log)
                started.callback(process.wait)
                started.callback(process.kill)
            wait_for(lambda: all(map(self._answers, (S3_PORT, S3_PROXY_PORT))))
            yield "s3://bucket/rounds?region=us-east-1&allow_bucket_creation=true"

    def _answers(self, port: int) -> bool:
        """Whether somebody listens on the head."""
        knock = f"exec 3<>/dev/tcp/{self.head.address}/{port}"
        command = self.head.command("bash", "-c", knock)
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    @contextlib.contextmanager
    def running(self, folder: Path, *specs: Mapping[str, Any]) -> Iterator[None]:
        """Runs rounds on the head, one after the other; within, the test does what it came for."""
        arguments = (f"{self.head.address}:{PORT}", "rounds", str(folder), json.dumps(specs))
        log = folder / "printed.txt"
        with log.open("w") as output:
            process = self.start(self.head, *arguments, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
            assert process.wait(timeout=ROUND_TIMEOUT_S) == 0
        except BaseException as failure:
            failure.add_note(f"what the rounds printed:\n{log.read_text()}")
            raise
        finally:
            process.kill()
            process.wait()

    def drain(self, host: Host) -> None:
        """Announce that a host is about to go, with the script that we ship, run on the host itself."""
        script = Path(__file__).resolve().parents[2] / "cluster" / "drain.sh"
        path = f"{Path(sys.executable).parent}:{self.environment['PATH']}"
        command = host.command(str(script), "60")
        self._processes.append(subprocess.Popen(command, env=self.environment | {"PATH": path}, text=True))

    def with_workers(self) -> list[Host]:
        """Hosts on which workers of a gang run."""
        return [host for host in (self.one, self.two) if host.workers()]


@contextlib.contextmanager
def folder_of_its_own(host: Host, folder: Path) -> Iterator[None]:
    """Within it what the host sees at that path is a file system of its own, as where nothing is shared."""
    run_command(*_inside(host), "mount", "-t", "tmpfs", "none", str(folder))
    try:
        yield
    finally:
        run_command(*_inside(host), "umount", "--lazy", str(folder))


def seen_by(host: Host, folder: Path) -> list[str]:
    """What a folder holds on a host."""
    return run_command(*_inside(host), "ls", "-A", str(folder)).split()


def _inside(host: Host) -> list[str]:
    """Whatever sees its files."""
    (raylet,) = host.process_ids("/raylet/raylet")
    return ["nsenter", "--target", str(raylet), "--mount"]


@pytest.fixture(scope="session")
def all_hosts() -> Iterator[Hosts]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("hosts in network namespaces need root and `ip` (iproute2)")
    # Below /tmp, since the path of a Unix socket may hold 107 characters only.
    with tempfile.TemporaryDirectory(prefix="rtp", dir="/tmp") as folder, Hosts(Path(folder)) as running:
        yield running


@pytest.fixture
def hosts(all_hosts: Hosts) -> Hosts:
    """The cluster, whole again after what the last test did to it."""
    all_hosts.mend()
    return all_hosts


@pytest.fixture(scope="session")
def drive() -> ModuleType:
    """``drive.py`` as a module."""
    found = importlib.util.spec_from_file_location("drive", DRIVE)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
