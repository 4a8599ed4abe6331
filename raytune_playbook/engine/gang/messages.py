"""What the driver, the pool, a gang's host and its workers say to each other: small frozen types that pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from raytune_playbook.records.types import Machine
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End

Handle: TypeAlias = Any
"""A handle to an actor of ours; Ray makes its remote methods at run time, so no static type knows them."""

Row: TypeAlias = Mapping[str, float | int | str | None]

TrialKey: TypeAlias = tuple[str, str]
"""(study, trial key)."""


@dataclass(frozen=True)
class Assignment:
    """One attempt at one trial, as a host hands it to its workers.

    Fields:
        number: counts the assignments of one host, from 1.
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
        num_reports: how many times this worker reported rows.
        leak: a sentence when the worker should be replaced.
    """

    rank: int
    end: End | None
    num_reports: int
    traceback: str | None = None
    error: str | None = None
    is_input_error: bool = False
    leak: str | None = None


Cause: TypeAlias = Literal["completed", "infeasible", "stopped", "exception", "worker died", "node lost"]


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended, for the retry rule (DESIGN decision 2).

    Fields:
        cause: ``stopped`` is neither counted nor final; ``node lost`` is retried and not counted; ``exception`` and
            ``worker died`` are counted.
        restarts_gang: the gang is not usable as it is.
    """

    cause: Cause
    end: End | None = None
    traceback: str | None = None
    error: str | None = None
    is_input_error: bool = False
    machine: Machine = field(default_factory=Machine)
    restarts_gang: bool = False
    warning: str | None = None
