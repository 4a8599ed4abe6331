"""Runs the application until it is interrupted."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.records.storage import Storage
from raytune_playbook.report.serve.access import Access, is_local, own_names
from raytune_playbook.report.serve.application import POLL_S, application

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8471

STOP_TIMEOUT_S = 2
"""Requests that have begun may take so long after an interruption."""


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT


def serve(
    storage: Storage,
    address: Address,
    say: Callable[[str], None],
    *,
    needs_token: bool = True,
    poll_s: float = POLL_S,
) -> None:
    """Serve the rounds of a storage until SIGINT or SIGTERM.

    Args:
        storage: it need not hold a round yet.
        address: where to listen.
        say: is told the URL to open.
        needs_token: False lets everybody on this machine see the rounds.
        poll_s: how often a page looks whether its records have changed.

    Raises:
        SpecError: nobody is to be kept out though other machines can reach the address.
        InputError: the address cannot be listened on.
    """
    if not needs_token and not is_local(address.host):
        raise SpecError(
            f"Without a token only this machine may reach the rounds, but {address.host!r} is reached by others; leave "
            "--no-token out, or --host."
        )
    listening = _listening(address)
    port = int(listening.getsockname()[1])
    token = secrets.token_urlsafe(24) if needs_token else None
    access = Access(token, own_names(address.host), f"raytune_playbook_{port}")
    config = uvicorn.Config(
        application(storage, access, poll_s=poll_s),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    host = f"[{address.host}]" if ":" in address.host else address.host
    say(f"Rounds in {storage.uri}: http://{host}:{port}/" + (f"?token={token}" if token else ""))
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _listening(address: Address) -> socket.socket:
    """A socket that listens, bound before anything is said or served."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address.host, address.port))
            listening.listen()
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
        why = os.strerror(number) if number else str(error)
        raise InputError(
            f"The rounds are served at an address of this machine that is free, but {address.host}:{address.port} is "
            f"none ({why.lower()}); give another --port, 0 for any, or --host."
        ) from None
    return listening
