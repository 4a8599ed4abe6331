"""Every exception that the package raises on purpose.

::

    PlaybookError
    ├── InputError            bad input, found before anything starts or is written (exit code 2)
    │   ├── JobFileError      a job file that is missing, broken, or holds no round
    │   ├── SpaceError        a search space or point that cannot be sampled
    │   ├── SpecError         a round or study that the playbook, or plain logic, refuses
    │   ├── DataError         examples that cannot be read, preprocessed or trained on
    │   ├── StorageError      a storage that cannot be read or written, or a round that is not there
    │   │   └── StorageAwayError *  a storage that does not answer, or refuses, when the command begins
    │   ├── CapacityError     resources that the cluster can never hold
    │   │   └── NoClusterError *    no cluster answers where one was named
    │   └── SubmissionError   a job that cannot be handed to a cluster
    ├── RunError *            the run itself failed (exit code 1); its records are kept and `resume` goes on
    │   ├── StorageFailure *  the storage is full, read-only or away by now
    │   └── WorkloadError     the job's own code raises, so that trying again would only raise again
    └── Infeasible            raised by a workload: this point cannot be trained, and that is a result

Where an asterisk stands another try of the same command may succeed though nobody has changed anything (`retry_helps`).
A message is one sentence or two: the rule, what was given, what to do. The command line prints it without a traceback.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CapacityError",
    "DataError",
    "Infeasible",
    "InputError",
    "JobFileError",
    "NoClusterError",
    "PlaybookError",
    "RunError",
    "SpaceError",
    "SpecError",
    "StorageAwayError",
    "StorageError",
    "StorageFailure",
    "SubmissionError",
    "WorkloadError",
]


NOT_RETRIED = "it is not retried, since no other try can mend it"
"""What is said of a run where `retry_helps` is false, to whoever starts failed jobs again."""


class PlaybookError(Exception):
    """The root: `except PlaybookError` catches whatever this package raises on purpose.

    Fields:
        retry_helps: whether the same command may succeed at another try, on another cluster or a little later, though
            nobody has changed the job.
    """

    retry_helps: ClassVar[bool] = False


class InputError(PlaybookError):
    """What was given is wrong; nothing was started or written."""


class JobFileError(InputError):
    """The job file is missing, cannot be imported, or does not define exactly one round."""


class SpaceError(InputError):
    """A hyperparameter's range, a search space, or a request for points breaks a rule."""


class SpecError(InputError):
    """A round, study, objective, budget or resources breaks a rule."""


class DataError(InputError):
    """Examples cannot be read, preprocessed or trained on; the message names the file and the part of it."""


class StorageError(InputError):
    """The storage cannot be read or written, or holds something else than what was asked for."""


class StorageAwayError(StorageError):
    """The storage does not answer, or refuses, when the command begins."""

    retry_helps = True


class CapacityError(InputError):
    """The cluster can never hold what the round asks for."""


class NoClusterError(CapacityError):
    """No cluster answers where one was named."""

    retry_helps = True


class SubmissionError(InputError):
    """The cluster's job API cannot be reached or refuses the job."""


class RunError(PlaybookError):
    """The run failed after it had started; finished trials stand in its records."""

    retry_helps = True


class StorageFailure(RunError, OSError):  # noqa: N818 - what failed is the storage, and not what was asked of it
    """The storage takes or gives no more: its disk is full, it became read-only, or it is out of reach."""


class WorkloadError(RunError):
    """The job's own code raises: in the check before trial 0, or in most trials."""

    retry_helps = False


class Infeasible(PlaybookError):  # noqa: N818 - the field's own word; it is an outcome, not a bug
    """A workload raises this when a point cannot be trained; the trial ends `Infeasible(reason)`, never retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
