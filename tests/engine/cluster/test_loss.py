"""Whether a cluster is lost, and what says so when the driver cannot; without Ray."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from ray.exceptions import ActorDiedError

from raytune_playbook.engine.cluster.loss import ClusterAddress

SENTENCE = 'It\'s over: 100% of "it"; $HOME \\n stays.'


def test_what_takes_no_connection_is_named():
    with socket.create_server(("127.0.0.1", 0)) as controller, socket.create_server(("127.0.0.1", 0)) as node:
        address = ClusterAddress(controller.getsockname(), node.getsockname())
        assert address.lost() is None
        assert address.lost_with(ValueError("the user's")) is None
        node.close()
        host, port = address.node
        assert address.lost() == f"this machine's node at {host}:{port} takes no connection"
        controller.close()
        assert (address.lost() or "").startswith("its controller at 127.0.0.1:")


def test_what_ray_raised_waits_for_a_node_that_is_dying():
    with socket.create_server(("127.0.0.1", 0)) as node:
        address = ClusterAddress(node.getsockname(), node.getsockname())
        looks = []

        def lost(self: ClusterAddress) -> str | None:
            looks.append(self)
            return "its node is gone" if len(looks) == 3 else None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClusterAddress, "lost", lost)
            try:
                try:
                    raise ActorDiedError
                except ActorDiedError:
                    raise RuntimeError("the input pipeline failed") from None
            except RuntimeError as error:
                assert address.lost_with(error) == "its node is gone"


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [("os._exit(1)", 1, SENTENCE + "\n"), ("os.kill(os.getpid(), 9)", -9, SENTENCE + "\n"), ("pass", 0, "")],
)
def test_a_process_that_is_ended_all_at_once_is_spoken_for(end, code, said):
    program = (
        "import os, sys\nfrom raytune_playbook.engine.cluster.loss import told_if_killed\n"
        f"with told_if_killed(sys.argv[1]): {end}"
    )
    ended = subprocess.run([sys.executable, "-c", program, SENTENCE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)


def test_ctrl_c_is_no_such_end():
    program = (
        "import signal\nfrom raytune_playbook.engine.cluster.loss import told_if_killed\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n    with told_if_killed('killed'): print('ready', flush=True); signal.pause()\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout.readline() == "ready\n"
    os.killpg(running.pid, signal.SIGINT)
    assert running.communicate(timeout=60)[0] == "interrupted\n"
