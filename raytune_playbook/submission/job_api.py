"""The cluster's job API: its address, its token, and one clear sentence for every way a request can fail."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from raytune_playbook.errors import SubmissionError
from raytune_playbook.records.places import credentials_refused, without_credentials

__all__ = ["Target", "UnreachableError", "ask", "default_address", "find_target", "find_token", "require_id"]

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0

_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_NO_ANSWER_OF_RAYS = (KeyError, TypeError, ValueError)
"""What Ray's client raises over an answer that its dashboard does not give: no JSON, or other fields."""

_environment_lock = threading.Lock()
_T = TypeVar("_T")


class UnreachableError(SubmissionError):
    """The cluster did not answer; it may later."""


@dataclass(frozen=True)
class Token:
    """A token and the words that say where it came from. The words go into messages, the value never does."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"Token(source={self.source!r})"


def default_address(environment: Mapping[str, str] = os.environ) -> str:
    """The dashboard's URL that Ray's environment variables name, in Ray's order.

    Raises:
        SubmissionError: Neither variable is set.
    """
    for name in _ADDRESS_VARIABLES:
        if environment.get(name):
            return environment[name]
    raise SubmissionError(
        "A submission needs the cluster's address, but none was given and RAY_API_SERVER_ADDRESS is not set; give the "
        "dashboard's URL, for example http://127.0.0.1:8265."
    )


@dataclass(frozen=True)
class Target:
    """A checked address and the token for it."""

    url: str
    token: Token | None

    @property
    def is_exposed(self) -> bool:
        """Whether requests cross a network unencrypted."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def find_target(address: str | None, token: str | None) -> Target:
    """Checks an address, and finds the token for it, before anything is sent.

    Args:
        address: The dashboard's URL, or None for `default_address()`.
        token: The cluster's token, or None for the one that Ray itself would use.

    Raises:
        SubmissionError: The address is not a URL, or a token breaks a rule, or its file cannot be read.
    """
    url = (address if address is not None else default_address()).rstrip("/")
    rule = (
        f"A cluster's address is its dashboard's URL, such as http://127.0.0.1:8265, got {without_credentials(url)!r}; "
        "give it with http:// or https://, a host and a port."
    )
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, only when read
    except ValueError:
        raise SubmissionError(rule) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise SubmissionError(rule)
    if (refusal := credentials_refused(url)) is not None:
        raise SubmissionError(refusal)
    return Target(url, _token(token, "the token given") if token else find_token(os.environ))


def require_id(submission_id: str) -> None:
    """Refuse what is no submission's id: it goes into a URL, where it would lead elsewhere.

    Raises:
        SubmissionError: it has other characters, or none.
    """
    if not re.fullmatch(r"[\w.-]+", submission_id) or not submission_id.strip("."):
        raise SubmissionError(
            f"A submission's id is of letters, digits, '_', '-' and '.', but got {submission_id!r}; take the one that "
            "`submit` printed."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_token(environment: Mapping[str, str]) -> Token | None:
    """The token that Ray itself would use; None where authentication is off or there is no token.

    Raises:
        SubmissionError: it can be none, or the file that was named cannot be read.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if environment.get("RAY_AUTH_TOKEN"):
        return _token(environment["RAY_AUTH_TOKEN"].strip(), "RAY_AUTH_TOKEN")
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if not named:
            return None
        raise SubmissionError(
            f"RAY_AUTH_TOKEN_PATH must name a readable file with the cluster's token, got {named} "
            f"({error.__class__.__name__}); correct it or unset it."
        ) from None
    return _token(value, str(path)) if value else None


def _token(value: str, source: str) -> Token:
    """A token that a header of HTTP can hold."""
    if not (value.isascii() and value.isprintable()):
        raise SubmissionError(
            f"A token is one line of ASCII characters, but {source} holds others; take the cluster's "
            "(`ray get-auth-token` on its head node), and set it anew."
        )
    return Token(value, source)


class _Client(JobSubmissionClient):
    """Ray's client with time limits: its own requests wait for as long as the operating system lets them."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        options.setdefault("timeout", (CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
        return super()._do_request(method, endpoint, **options)


@contextmanager
def _without_ray_addresses() -> Iterator[None]:
    """Hides the variables that would override the address given; Ray reads them when a client is made."""
    with _environment_lock:
        hidden = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(hidden)


def ask(target: Target, question: Callable[[JobSubmissionClient], _T]) -> _T:
    """Connects and asks.

    Raises:
        UnreachableError: The cluster does not answer, or answers that it cannot just now.
        SubmissionError: The cluster refuses, or what answers is none.
    """
    try:
        return question(_connect(target))
    except AuthenticationError:
        raise SubmissionError(_refusal(target)) from None
    except _NO_ANSWER_OF_RAYS:  # before OSError, which requests' error about broken JSON is as well
        raise _no_dashboard(target) from None
    except OSError as error:  # requests' exceptions and Ray's ConnectionError are OSErrors
        raise UnreachableError(
            f"The cluster must be reachable for its job API, but {target.url} does not answer "
            f"({error.__class__.__name__}); check the address, that the cluster is up, and any port forwarding."
        ) from None
    except RuntimeError as error:  # the job server's own refusals, such as an unknown or a repeated id
        if (unknown := re.search(r"failed with status code 404: (.*does not exist)", str(error))) is not None:
            raise SubmissionError(
                f"A job is asked about where it was handed to, but {unknown[1]} at {target.url}, which may be a "
                "new cluster; look at the id and the address, or submit the job again."
            ) from None
        refusal = UnreachableError if "failed with status code 5" in str(error) else SubmissionError
        raise refusal(
            f"The cluster at {target.url} refuses the request: {_reason(str(error))} Correct what was asked for, or "
            "look into the log of its dashboard."
        ) from None


def _connect(target: Target) -> JobSubmissionClient:
    """A client whose cluster has answered with its Ray version."""
    # Ray's client tells of each upload at level INFO, past the terminal's progress line.
    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
    headers = {"Authorization": f"Bearer {target.token.value}"} if target.token else None
    try:
        with _without_ray_addresses():
            return _Client(target.url, headers=headers)
    except (*_NO_ANSWER_OF_RAYS, RuntimeError):  # another server's answer: no JSON, no version, not found
        raise _no_dashboard(target) from None


def _no_dashboard(target: Target) -> SubmissionError:
    return SubmissionError(
        f"A cluster's address is the URL of its Ray dashboard, but what answers at {target.url} is not one; "
        "check the host and the port (Ray's default is 8265)."
    )


def _reason(answer: str) -> str:
    """The last telling line of a job server's answer, which may hold whole tracebacks."""
    lines = [line.strip() for line in answer.replace("\\n", "\n").splitlines()]
    telling = [line for line in lines if len(line) > 3]
    return telling[-1].rstrip("'\". ")[-500:] + "." if telling else "it gave no reason."


def _refusal(target: Target) -> str:
    if target.token is None:
        return (
            f"The cluster at {target.url} needs a token, but none was found; set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH to a file with the cluster's token."
        )
    return (
        f"The token must be the cluster's own, but {target.url} refuses the one from {target.token.source}; "
        "take the cluster's token (`ray get-auth-token` on its head node) and set RAY_AUTH_TOKEN to it."
    )
