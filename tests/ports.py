"""Ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

AFTER_RAYS_WORKERS = 20_000
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port on which nothing listens, and which stays free until a server has started.

    The system gives none of these to outgoing connections, of which Ray opens many at any time, and Ray none to its
    workers, which would take what is sent to them and not answer.
    """
    first = int(OUTGOING.read_text().split()[0]) if OUTGOING.exists() else 32_768
    chosen = random.SystemRandom()  # tests seed the other one
    while True:
        port = chosen.randrange(AFTER_RAYS_WORKERS, first)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
