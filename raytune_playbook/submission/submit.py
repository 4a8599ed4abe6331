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
from typing import TypeVar

from ray.job_submission import JobStatus as State
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    stop_never,
    wait_fixed,
)

from raytune_playbook.errors import SubmissionError
from raytune_playbook.records.places import place_refused
from raytune_playbook.submission.job_api import UnreachableError, ask, default_address, find_target, require_id
from raytune_playbook.submission.staging import require_job_file, require_python, stage_job, stage_package, staged_name

__all__ = ["Job", "JobStatus", "cancel", "default_address", "logs", "status", "submit", "wait"]

POLL_INTERVAL_S = 2.0
UNREACHABLE_LIMIT_S = 60.0
"""For how long `wait` and followed `logs` sit out a cluster that does not answer."""
CANCEL_LIMIT_S = 60.0
"""For how long `cancel` waits for the end; Ray gives a job 3 s before it kills it."""

_INSTALLED = ("raytune-playbook", "run")
_SHIPPED = ("python", "-m", "raytune_playbook", "run")
_T = TypeVar("_T")


@dataclass(frozen=True)
class JobStatus:
    """Where a submitted job stands."""

    submission_id: str
    state: State
    message: str
    """Ray's own words about the state, with the log's last lines where the job failed."""
    exit_code: int | None
    """The job's exit code, -N where signal N ended it; None until it has ended, or where it was cancelled or lost."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state.is_terminal()


@dataclass(frozen=True)
class Job:
    """What is submitted: it runs on the cluster's head node as `raytune-playbook run JOB --storage STORAGE`.

    Fields:
        path: the job file. The Python files beside it and of its package travel too (see `staging`).
        storage: an absolute path or a URI that every node of the cluster reaches.
        arguments: further arguments of the command, after `--storage STORAGE`.
        entrypoint: the command before the job file; None for the installed `raytune-playbook run`.
        ship_package: also ship this package's source, for a cluster that has its dependencies but not the package.
        submission_id: an id of your own; None lets Ray choose one.
    """

    path: str | Path
    storage: str
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    ship_package: bool = False
    submission_id: str | None = None

    @property
    def command(self) -> list[str]:
        """What runs on the cluster."""
        usual = _SHIPPED if self.ship_package else _INSTALLED
        return [
            *(usual if self.entrypoint is None else self.entrypoint),
            str(staged_name(Path(self.path))),
            "--storage",
            self.storage,
            *self.arguments,
        ]


def submit(job: Job, address: str | None, *, token: str | None = None) -> str:
    """Submits a job.

    Args:
        job: What to run.
        address: The dashboard's URL, or None for `default_address()`.
        token: The cluster's token; None looks where Ray looks.

    Returns:
        The submission id.

    Raises:
        JobFileError: There is no such Python file, or it is none that Python can run.
        SubmissionError: The storage or the address breaks a rule, or the cluster cannot be reached or refuses.
    """
    require_job_file(Path(job.path))
    require_python(Path(job.path))
    if (refusal := place_refused(job.storage)) is not None:
        raise SubmissionError(f"--storage: {refusal}")
    if "://" not in job.storage and not job.storage.startswith("/"):
        raise SubmissionError(
            f"A submitted job's storage must be an absolute path or a URI that every node of the cluster reaches, "
            f"got {job.storage!r}; give for example s3://bucket/rounds or /mnt/storage."
        )
    if job.submission_id is not None:
        require_id(job.submission_id)
    target = find_target(address, token)
    if target.token is None and target.is_exposed:
        raise SubmissionError(
            f"A job runs code on the cluster, so a plain http address other than this machine's needs a token, but "
            f"none was found for {target.url}; set RAY_AUTH_TOKEN to the cluster's token, or forward the port and "
            "give http://127.0.0.1:PORT."
        )
    with tempfile.TemporaryDirectory(prefix="raytune-playbook-") as staging:
        job_folder = Path(staging) / "job"
        job_folder.mkdir()
        job_name = stage_job(Path(job.path), job_folder)
        modules = {"py_modules": [str(stage_package(Path(staging)))]} if job.ship_package else {}
        return ask(
            target,
            lambda client: _text(
                client.submit_job(
                    entrypoint=shlex.join(job.command),
                    runtime_env={"working_dir": str(job_folder), **modules},
                    submission_id=job.submission_id,
                    metadata={"job_file": job_name},
                )
            ),
        )


def status(submission_id: str, address: str | None, *, token: str | None = None) -> JobStatus:
    """Where a submitted job stands.

    Raises:
        SubmissionError: There can be no such id, or the cluster cannot be reached, refuses, or has no such job.
    """
    require_id(submission_id)
    details = ask(find_target(address, token), lambda client: client.get_job_info(submission_id))
    return JobStatus(
        submission_id=submission_id,
        state=details.status,
        message=_text(details.message or ""),
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
    until_final = Retrying(
        retry=retry_if_result(lambda now: not now.is_final),
        stop=stop_never if timeout_s is None else stop_after_delay(timeout_s),
        wait=wait_fixed(poll_interval_s),
    )
    try:
        ended: JobStatus = until_final(
            lambda: _patiently(lambda: status(submission_id, address, token=token), poll_interval_s)
        )
        return ended
    except RetryError as error:
        now = error.last_attempt.result()
        raise SubmissionError(
            f"The job {submission_id} is still {now.state} after the {timeout_s:g} s to wait for it; it goes on, "
            "so wait longer or read its logs."
        ) from None


def cancel(
    submission_id: str, address: str | None, *, token: str | None = None, poll_interval_s: float = POLL_INTERVAL_S
) -> None:
    """Ends a job, and returns when it has ended. What its round has recorded stays.

    Raises:
        SubmissionError: The job has ended by itself, or does not end; or as `status`.
    """
    target = find_target(address, token)
    now = status(submission_id, address, token=token)
    deadline_s = time.monotonic() + CANCEL_LIMIT_S
    while not now.is_final:
        if time.monotonic() > deadline_s:
            raise SubmissionError(
                f"A job that is cancelled should end, but {submission_id} is still {now.state} after "
                f"{CANCEL_LIMIT_S:g} s; look at the cluster, and cancel it again."
            )
        # Asked each time: a job that still waits for its process cannot be stopped yet.
        ask(target, lambda client: client.stop_job(submission_id))
        time.sleep(poll_interval_s)
        now = status(submission_id, address, token=token)
    if now.state is not State.STOPPED:
        raise SubmissionError(
            f"A job must wait or run to be cancelled, but {submission_id} has ended by itself: {now.state}; "
            "nothing is left to cancel."
        )


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
    require_id(submission_id)
    target = find_target(address, token)

    def is_over() -> bool:
        return not follow or status(submission_id, address, token=token).is_final

    def fetched() -> str:
        return ask(target, lambda client: _text(client.get_job_logs(submission_id)))

    # The status is asked for first, so that what is written just before the end is still fetched. A cluster that has
    # not answered yet is not away: its address is wrong.
    ended, text, num_seen = is_over(), fetched(), 0
    while True:
        if len(text) > num_seen:
            yield text[num_seen:]
            num_seen = len(text)
        if ended:
            return
        time.sleep(poll_interval_s)
        ended, text = _patiently(is_over, poll_interval_s), _patiently(fetched, poll_interval_s)


def _text(answer: object) -> str:
    """What a cluster says, as any terminal can show it.

    Raises:
        TypeError: it is no text, so that what answers is no job server.
    """
    if not isinstance(answer, str):
        raise TypeError(type(answer).__name__)
    return answer.encode(errors="replace").decode()


def _patiently(question: Callable[[], _T], poll_interval_s: float) -> _T:
    """Asks again while the cluster does not answer, for `UNREACHABLE_LIMIT_S` at most."""
    while_unreachable = Retrying(
        retry=retry_if_exception_type(UnreachableError),
        stop=stop_after_delay(UNREACHABLE_LIMIT_S),
        wait=wait_fixed(poll_interval_s),
        reraise=True,
    )
    return while_unreachable(question)
