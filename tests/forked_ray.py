"""Ray's worker processes as forks of a process that has imported what all of them import.

A worker of Ray spends three CPU seconds on imports, and the tests start hundreds. A node that `NODE` describes runs
this file where others run Ray's own ``setup_worker.py``: it hands what it was given to the process that forks, and
ends. A worker that needs a program, a folder or libraries of its own is started as Ray does it.

Ray's library reads as it is loaded for which job and node it is there. So the first process forks one for each of
them, which loads it and is forked for their workers. None has imported anything of ours: each worker does that itself.

``forked_ray.py ray FOLDER ...`` is the command ``ray ...`` that starts such a node.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

ADDRESS = "RAYTUNE_TESTS_FORKS_AT"
"""The variable with the path of the socket at which forks are asked for."""

NODE = {"setup_worker_path": __file__}
"""What a node is started with whose workers are forks, within `forks`."""

WITHOUT_RAY = ("torch._dynamo", "torch.distributed", "pandas", "pyarrow.dataset", "pyarrow.parquet")
WITH_RAY = ("ray.data", "ray.util.state", "ray.tune", "ray.train.torch", "ray._private.runtime_env.setup_hook")
READ_BY_RAY = ("RAY_JOB_ID", "RAY_RAYLET_PID")
FOR_STARTS = ("PYTHON", "LD_", "OMP_")
"""How variables begin that count while a process starts, or while torch is imported, and no later."""


@contextlib.contextmanager
def forks(folder: Path) -> Iterator[None]:
    """Within it this process may start nodes of Ray that `NODE` describes.

    Args:
        folder: for the socket, with a short path.
    """
    server = start(folder, os.getpid())
    try:
        yield
    finally:
        del os.environ[ADDRESS]
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def start(folder: Path, lives_with: int | None) -> subprocess.Popen[bytes]:
    """Start the process that forks for nodes which this process starts from now on.

    Args:
        lives_with: the parent's process id, where it is to end with it.
    """
    address = str(folder / "forks")
    with socket.socket(socket.AF_UNIX) as asked, (folder / "forks.log").open("wb") as log:
        asked.bind(address)
        asked.listen(64)  # those who ask before everything is imported wait
        command = [sys.executable, __file__, "serve", str(asked.fileno()), str(lives_with or 0)]
        server = subprocess.Popen(
            command,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            pass_fds=[asked.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.environ[ADDRESS] = address
    return server


def ray_command(folder: Path, arguments: list[str]) -> None:
    """The command ``ray`` with forks as the workers of the node that it starts; they outlive it, as the node does."""
    from ray._private import ray_constants
    from ray.scripts import scripts

    ray_constants.SETUP_WORKER_FILENAME = __file__
    start(folder, None)
    sys.argv = ["ray", *arguments]
    scripts.main()


def ask(arguments: list[str]) -> None:
    """Have a fork go on as the worker that this process was to become."""
    name = "--serialized-runtime-env-context="
    context = json.loads(next((each.removeprefix(name) for each in arguments if each.startswith(name)), "{}"))
    variables = context.pop("env_vars", {})
    is_special = any(value not in ([], None, sys.executable) for value in context.values())
    if is_special or any(each.startswith(FOR_STARTS) or "$" in value for each, value in variables.items()):
        from ray._private.workers import setup_worker

        os.execv(sys.executable, [sys.executable, setup_worker.__file__, *arguments])
    passed_on = [each for each in arguments if not each.startswith((name, "--language="))]
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[ADDRESS])
        socket.send_fds(server, [json.dumps([os.environ[each] for each in READ_BY_RAY]).encode()], [0, 1, 2])
        assert server.recv(1) == b"?", "the process that forks has ended"
        server.sendall(json.dumps([passed_on, os.environ | variables, str(Path.cwd())]).encode())
        server.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b".", "the process that forks has ended"


def serve(asked: socket.socket, lives_with: int) -> None:
    """Hand each who asks to the process for its job and node; returns in each fork, as the worker that it is to be."""
    del sys.path[0]  # this file's folder
    load(WITHOUT_RAY)
    forking: dict[bytes, socket.socket] = {}
    asked.settimeout(2)
    while lives_with in (0, os.getppid()):
        try:
            asking, _ = asked.accept()
        except TimeoutError:
            continue
        asking.setblocking(True)
        of, files, _, _ = socket.recv_fds(asking, 256, 3)
        if not of:  # whoever asked was killed
            asking.close()
            close(files)
            continue
        if of not in forking:
            forking[of], own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                for each in (asked, asking, *forking.values()):
                    each.close()
                close(files)
                os.environ.update(zip(READ_BY_RAY, json.loads(of), strict=True))
                load_ray()
                fork(own)
                return
            own.close()
        socket.send_fds(forking[of], [b"?"], [asking.fileno(), *files])
        asking.close()
        close(files)
    sys.exit()


def fork(asked: socket.socket) -> None:
    """Fork for each who asks, and return in the fork."""
    while True:
        _, files, _, _ = socket.recv_fds(asked, 1, 4)
        if not files:
            os._exit(0)  # the process that hands on has ended
        with socket.socket(fileno=files.pop(0)) as asking, contextlib.suppress(OSError, ValueError):
            asking.sendall(b"?")
            with asking.makefile("rb") as content:
                arguments, environment, folder = json.load(content)
            if os.fork() == 0:
                break
            asking.sendall(b".")  # unless whoever asked was killed
        close(files)
    import numpy as np

    asked.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for place, file in enumerate(files):
        os.dup2(file, place)
    close(files)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    np.random.seed()
    sys.argv = arguments
    sys.path.insert(0, str(Path(arguments[0]).parent))


def load_ray() -> None:
    """Load it without drawing a random number with it: forks would all go on with the same ones."""
    from unittest import mock

    import ray.actor

    own = ray.actor.ActorClassID
    drawn = SimpleNamespace(from_random=lambda: own(os.urandom(own.size())))
    with mock.patch.object(ray.actor, "ActorClassID", drawn):
        load(WITH_RAY)


def load(modules: tuple[str, ...]) -> None:
    for name in modules:
        importlib.import_module(name)


def close(files: list[int]) -> None:
    for file in files:
        os.close(file)


if __name__ == "__main__":
    if sys.argv[1] == "ray":
        ray_command(Path(sys.argv[2]), sys.argv[3:])
    elif sys.argv[1] != "serve":
        ask(sys.argv[1:])
    else:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that have ended leave nothing
        serve(socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))
        runpy.run_path(sys.argv[0], run_name="__main__")
