"""What the driver, the pool, a gang's host and its workers say to each other: small frozen types that pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TypeAlias

from raytune_playbook.records.types import Machine
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End

TrialKey: TypeAlias = tuple[str, str]
"""(study, trial key)."""


@dataclass(frozen=True)
class AttemptName:
    """Which attempt at a trial of which round a message is about; what names one that has ended is dropped.

    Fields:
        attempt: counts the trial's attempts in this run of its round, from 1.
    """

    round_id: str
    key: TrialKey
    attempt: int


@dataclass(frozen=True)
class NothingYet:
    """The answer to a question that was answered after a while without what it asks for: ask again."""


@dataclass(frozen=True)
class NoMoreTrials:
    """The answer to a worker that is to return."""


class Wish(Enum):
    """The answer to a worker's heartbeat: what its host wants it to do."""

    GO_ON = "go on"
    STOP = "stop"
    EXIT = "exit"


@dataclass(frozen=True)
class Started:
    """The answer of a host whose workers are ready.

    Fields:
        num_starts: how many times it has started workers.
        took_s: what this start took; 0 when they were ready before.
    """

    num_starts: int
    took_s: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """One attempt at one trial, as a host hands it to its workers.

    Fields:
        number: counts the assignments of one host, from 1; with its generation it names the attempt between the host
            and its workers.
        round_id: names the round's workload and data, which workers fetch from the pool once.
        logs: folder of the trial's log files, as a URI of the storage.
        log_name: their common name, without the rank.
        keeps_checkpoints: False for a check, which leaves nothing in the storage.
    """

    number: int
    round_id: str
    trial: TrialSpec
    attempt: int
    logs: str
    log_name: str
    keeps_checkpoints: bool

    @property
    def name(self) -> AttemptName:
        return AttemptName(self.round_id, (self.trial.study, self.trial.key), self.attempt)


@dataclass(frozen=True)
class Hello:
    """What a worker says when it is ready.

    Fields:
        cores: how many it may use on its host, the other workers there included.
    """

    rank: int
    node_id: str
    host_name: str
    process_id: int
    torch: str
    cpu_capability: str
    device: str
    cores: int


@dataclass(frozen=True)
class WorkerEnd:
    """How one worker's part of an attempt ended.

    Fields:
        end: None when it raised.
        traceback: the whole traceback when it raised.
        error: its last line; for an `InputError` its sentence.
        is_input_error: the workload or a value breaks a rule.
        is_storage_failure: what it raised is that the storage takes no more.
        lacks_examples: what it raised is that the examples are no longer in the cluster's memory.
        num_reports: how many times this worker reported rows.
        leak: a sentence when the worker should be replaced.
    """

    rank: int
    end: End | None
    num_reports: int
    traceback: str | None = None
    error: str | None = None
    is_input_error: bool = False
    is_storage_failure: bool = False
    lacks_examples: bool = False
    leak: str | None = None


class Cause(StrEnum):
    """Why an attempt ended, in the words of its record; what follows is the retry rule's business (`retry`)."""

    COMPLETED = "completed"
    INFEASIBLE = "infeasible"
    STOPPED = "stopped"
    EXCEPTION = "exception"
    WORKER_DIED = "worker died"
    NODE_LOST = "node lost"
    STORAGE_FAILED = "storage failed"
    EXAMPLES_LOST = "examples lost"


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended.

    Fields:
        restarts_gang: the gang is not usable as it is.
        num_attempts: at its trial, this one included; known once the trial has ended for good, and 0 before.
    """

    cause: Cause
    end: End | None = None
    traceback: str | None = None
    error: str | None = None
    is_input_error: bool = False
    machine: Machine = field(default_factory=Machine)
    restarts_gang: bool = False
    warning: str | None = None
    num_attempts: int = 0
