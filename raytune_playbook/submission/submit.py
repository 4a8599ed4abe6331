"""Hands a job file to a running cluster through Ray's job API, and follows it there.

The cluster runs the command that a laptop runs, `raytune-playbook run JOB --storage STORAGE`, so a submitted round and
a local one are the same round. A job ends with its cluster; submitted again with the same storage it resumes.

=================== ==============================================================================================
address             the dashboard's URL, `http://HOST:8265`; the address given wins over Ray's environment variables
token               given, else `RAY_AUTH_TOKEN`, else the file `RAY_AUTH_TOKEN_PATH`, else `~/.ray/auth_token`;
                    none is looked for where `RAY_AUTH_MODE=disabled`
=================== ==============================================================================================
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from raytune_playbook.errors import SubmissionError
from raytune_playbook.submission.job_api import UnreachableError, ask, default_address, find_target
from raytune_playbook.submission.staging import stage_job, stage_package

__all__ = ["JobStatus", "default_address", "logs", "status", "submit", "wait"]

POLL_INTERVAL_S = 2.0
UNREACHABLE_LIMIT_S = 60.0
"""For how long `wait` and followed `logs` sit out a cluster that does not answer."""

_INSTALLED = ("raytune-playbook", "run")
_SHIPPED = ("python", "-m", "raytune_playbook", "run")
_T = TypeVar("_T")


@dataclass(frozen=True)
class JobStatus:
    """Where a submitted job stands."""

    submission_id: str
    state: str
    """`PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`."""
    message: str
    """Ray's own words about the state, with the log's last lines where the job failed."""
    exit_code: int | None
    """The job's exit code; None until it has ended, or where it was stopped."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")


def submit(
    job_path: str | Path,
    address: str | None,
    *,
    storage: str,
    token: str | None = None,
    arguments: Sequence[str] = (),
    entrypoint: Sequence[str] | None = None,
    ship_package: bool = False,
    submission_id: str | None = None,
) -> str:
    """Submits a job file; it runs on the cluster's head node as `raytune-playbook run JOB --storage STORAGE`.

    What travels: the Python files beside the job file and of the packages beside it (see `shipping`).

    Args:
        job_path: The job file.
        address: The dashboard's URL, or None for `default_address()`.
        storage: An absolute path or a URI that every node of the cluster reaches.
        token: The cluster's token; None looks where Ray looks.
        arguments: Further arguments of the command, after `--storage STORAGE`.
        entrypoint: The command before the job file, None for the installed `raytune-playbook run`.
        ship_package: Also ship this package's source, for a cluster that has its dependencies but not the package.
        submission_id: An id of your own; None lets Ray choose one.

    Returns:
        The submission id.

    Raises:
        JobFileError: There is no such Python file.
        SubmissionError: The storage or the address breaks a rule, or the cluster cannot be reached or refuses.
    """
    if "://" not in storage and not storage.startswith("/"):
        raise SubmissionError(
            f"A submitted job's storage must be an absolute path or a URI that every node of the cluster reaches, "
            f"got {storage!r}; give for example s3://bucket/rounds or /mnt/storage."
        )
    target = find_target(address, token)
    if target.token is None and target.is_exposed:
        raise SubmissionError(
            f"A job runs code on the cluster, so a plain http address other than this machine's needs a token, but "
            f"none was found for {target.url}; set RAY_AUTH_TOKEN to the cluster's token, or forward the port and "
            "give http://127.0.0.1:PORT."
        )
    command = entrypoint if entrypoint is not None else _SHIPPED if ship_package else _INSTALLED
    with tempfile.TemporaryDirectory(prefix="raytune-playbook-") as staging:
        job_folder = Path(staging) / "job"
        job_folder.mkdir()
        job_name = stage_job(Path(job_path), job_folder)
        runtime_env: dict[str, Any] = {"working_dir": str(job_folder)}
        if ship_package:
            runtime_env["py_modules"] = [str(stage_package(Path(staging)))]
        line = shlex.join([*command, job_name, "--storage", storage, *arguments])
        return ask(
            target,
            lambda client: client.submit_job(
                entrypoint=line, runtime_env=runtime_env, submission_id=submission_id, metadata={"job_file": job_name}
            ),
        )


def status(submission_id: str, address: str | None, *, token: str | None = None) -> JobStatus:
    """Where a submitted job stands.

    Raises:
        SubmissionError: The cluster cannot be reached, refuses, or has no such job.
    """
    details = ask(find_target(address, token), lambda client: client.get_job_info(submission_id))
    return JobStatus(
        submission_id=submission_id,
        state=details.status.value,
        message=details.message or "",
        exit_code=details.driver_exit_code,
    )


def wait(
    submission_id: str,
    address: str | None,
    *,
    token: str | None = None,
    timeout_s: float | None = None,
    poll_interval_s: float = POLL_INTERVAL_S,
) -> JobStatus:
    """Waits until a job has ended, however it ended; a cluster that is away for a minute is sat out.

    Raises:
        SubmissionError: `timeout_s` has passed (the job goes on), or as `status`.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        now = _patiently(lambda: status(submission_id, address, token=token), poll_interval_s)
        if now.is_final:
            return now
        if deadline is not None and time.monotonic() >= deadline:
            raise SubmissionError(
                f"The job {submission_id} is still {now.state} after the {timeout_s:g} s to wait for it; it goes on, "
                "so wait longer or read its logs."
            )
        time.sleep(poll_interval_s)


def logs(
    submission_id: str,
    address: str | None,
    *,
    token: str | None = None,
    follow: bool = False,
    poll_interval_s: float = POLL_INTERVAL_S,
) -> Iterator[str]:
    """Yields what the job has written, in pieces whose ends are not line ends; `follow` goes on until the job ends.

    The log is fetched anew each time rather than streamed: a run is quiet by default, so its log is small, and no
    dropped connection can end the following.

    Raises:
        SubmissionError: As `status`, when the first piece is asked for or while following.
    """
    target = find_target(address, token)
    num_seen = 0
    while True:
        # The status is asked for first, so that what is written just before the end is still fetched.
        is_over = not follow or _patiently(
            lambda: status(submission_id, address, token=token).is_final, poll_interval_s
        )
        text = _patiently(lambda: ask(target, lambda client: client.get_job_logs(submission_id)), poll_interval_s)
        if len(text) > num_seen:
            yield text[num_seen:]
            num_seen = len(text)
        if is_over:
            return
        time.sleep(poll_interval_s)


def _patiently(question: Callable[[], _T], poll_interval_s: float) -> _T:
    """Asks again while the cluster does not answer, for `UNREACHABLE_LIMIT_S` at most."""
    give_up = time.monotonic() + UNREACHABLE_LIMIT_S
    while True:
        try:
            return question()
        except UnreachableError:
            if time.monotonic() >= give_up:
                raise
        time.sleep(poll_interval_s)
