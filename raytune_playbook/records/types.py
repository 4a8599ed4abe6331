"""The records that a round leaves behind; `raytune_playbook.records.columns` has their form as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeAlias

from pydantic import Field

from raytune_playbook.study.frozen import FrozenSpec
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import WorkloadSpec
from raytune_playbook.study.trial import TrialSpec


class Outcome(StrEnum):
    """How a trial ended; None in a record means that it has not."""

    COMPLETED = "completed"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


Role: TypeAlias = Literal["scientific", "nuisance", "fixed"]

PIPELINE_STAGES = ("read", "remote read", "decode", "shuffle", "collate", "transfer")
"""What the input pipeline is busy with to make training batches."""


class ColumnRecord(FrozenSpec):
    """A column of examples.

    Fields:
        dtype: as numpy calls it.
        shape: of one example.
    """

    dtype: str
    shape: tuple[int, ...]


class ExamplesRecord(FrozenSpec):
    """What a round trained on, and how it got there.

    Fields:
        mode: ``materialized`` (in memory, one copy per node) or ``streaming`` (read anew every epoch).
        sources: by split, where the examples came from; ``all`` where a `Split` divided them.
        num_examples, num_bytes: by split, preprocessed; of what is streamed an estimate of the bytes.
        skipped: a sentence for each file or part that could not be read and was left out, as the user allowed.
        overlaps: a sentence for each two splits that hold equal examples; None where that was not looked for.
        window_examples, window_bytes: of streaming; the bytes are an estimate.
        stream_bytes: the most memory that one gang's stream takes, estimated from them.
        pipeline_cpus: whole CPUs for reading and preprocessing, beside the gangs.
        preprocessed: where examples that were preprocessed before are stored; None where they were not.
        division: how a `Split` divided them, in ``exact`` shares or ``by hash`` alone; None where none did, and in
            records of earlier versions, where it was by hash.
        columns: by column, the type and shape of one example; empty in records of earlier versions.
        read_s: seconds that reading took; 0 where an earlier round of the session had done it.
    """

    mode: Literal["materialized", "streaming"]
    sources: dict[str, str]
    num_examples: dict[str, int]
    num_bytes: dict[str, int]
    skipped: tuple[str, ...] = ()
    overlaps: tuple[str, ...] | None = ()
    window_examples: int | None = None
    window_bytes: int | None = None
    stream_bytes: int | None = None
    pipeline_cpus: int = 1
    preprocessed: str | None = None
    division: Literal["exact", "by hash"] | None = None
    columns: dict[str, ColumnRecord] = Field(default_factory=dict)
    read_s: float = 0.0


class Part(FrozenSpec):
    """That a round is part of a procedure of the playbook's, which itself says what it came to.

    Fields:
        procedure: the name of its command.
        round: whose procedure it is.
        command: reproduces the procedure, and with it the round.
        job: the job file that the procedure was given; None for a round of the Python API.
    """

    procedure: str
    round: str
    command: str
    job: str | None = None

    @property
    def text(self) -> str:
        """In words: ``stability of digits``."""
        return f"{self.procedure} of {self.round}"


class RoundRecord(FrozenSpec):
    """What ``round.json`` holds: written before the first trial; only an extension changes it, by more trials.

    Fields beside the round's own: ``roles`` (hyperparameter -> role), ``caveats`` (rule SD3), ``warnings`` (rules of
    thumb that it goes against), ``studies`` (their names), ``job`` (the job file's path, None for a round of the Python
    API), ``command`` (reproduces it), ``commit`` (of the code; the uncommitted difference stands in
    ``uncommitted.diff``), ``versions`` (of what decides bits), ``created_at`` (UTC), ``examples`` (None in rounds of
    earlier versions) and ``part_of`` (the procedure that ran it; None for a round of its own).
    """

    name: str
    goal: str
    roles: dict[str, Role]
    reasons: dict[str, str]
    caveats: list[str]
    warnings: list[str]
    objective: Objective
    budget: Budget
    resources: Resources
    seed: int
    fingerprint: str
    workload: WorkloadSpec
    studies: list[str]
    job: str | None
    command: str
    commit: str | None
    uncommitted: bool
    versions: dict[str, str]
    created_at: str
    examples: ExamplesRecord | None = None
    part_of: Part | None = None


class RoundState(StrEnum):
    """How a round stands; a stopped one is to be resumed."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class RoundStatus(FrozenSpec):
    """What ``status.json`` holds: rewritten by the driver while the round goes on.

    Fields:
        reason: one sentence, where it is neither running nor finished.
        retry_helps: of a failed one, whether running it again as it is may succeed.
        driver: host and process that writes the records.
        seen_at_s: seconds since the epoch of the driver's last sign of life.
    """

    state: RoundState
    reason: str = ""
    retry_helps: bool = True
    driver: str
    seen_at_s: float
    num_done: int = Field(ge=0)
    num_trials: int = Field(ge=0)


@dataclass(frozen=True)
class Attempt:
    """One try at a trial; written before it starts, so that a crash leaves its trace.

    Fields:
        number: from 1.
        gang: the gang that ran it.
        started_at: UTC, ISO 8601.
        ended: None while it runs; then how it ended in a word or two, such as ``completed`` or ``node lost``.
        first_step: how many steps had been trained when it began: 0, or its checkpoint's; None while it is not known,
            as of an attempt that was lost.
        traceback: of an attempt that failed.
        source_hash: of the workload's source file, as in `WorkloadSpec`: a trial that is resumed or retried may be
            trained by other code than it was, or than its study's others; None in records of older versions.
    """

    number: int
    gang: str
    started_at: str
    ended: str | None = None
    traceback: str | None = None
    first_step: int | None = None
    source_hash: str | None = None


@dataclass(frozen=True)
class Machine:
    """The facts that a trial's bits depend on beside its specification (DESIGN decision 3), and where it ran.

    Fields:
        hosts, cores: of each worker in the order of ranks: the name of its host, and how many cores it may use there.
    """

    torch: str = ""
    cpu_capability: str = ""
    device: str = ""
    num_workers: int = 0
    threads_per_worker: int = 0
    hosts: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()

    def same_bits(self, other: Machine) -> bool:
        """Whether two machines give the same bits; host names and numbers of cores do not matter."""
        return replace(self, hosts=(), cores=()) == replace(other, hosts=(), cores=())


@dataclass(frozen=True)
class TimeByPart:
    """Where the time of training steps goes: what each part took, in seconds (rule PI1).

    Each field is a column of the tables of trials and of measurements, and a part that
    `raytune_playbook.train.clock` times.

    Fields:
        wait_s: waiting for data.
        transfer_s: copying it to the device.
        sync_s: collectives between workers.
        augment_s: random augmentation.
        compute_s: computing, which is the rest.
    """

    wait_s: float = 0.0
    transfer_s: float = 0.0
    sync_s: float = 0.0
    augment_s: float = 0.0
    compute_s: float = 0.0

    def __add__(self, other: TimeByPart) -> TimeByPart:
        return TimeByPart(*(a + b for a, b in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[float, ...]:
        return tuple(vars(self).values())  # a tenth of what `dataclasses.astuple` takes

    @property
    def total_s(self) -> float:
        return sum(self._parts)

    @property
    def input_s(self) -> float:
        """Seconds in which the steps had no batch to compute on."""
        return self.wait_s + self.transfer_s + self.augment_s


@dataclass(frozen=True)
class Training:
    """What the training of one trial came to, in its last attempt and in those of which that one went on.

    Fields:
        num_steps: steps whose effect the trained model holds, whichever attempt made them.
        num_parameters: of the model; None where it is not known, as of other tools' trials.
        train_s: seconds in all: those of the last attempt, and those of earlier ones up to the checkpoint from which
            it went on. What was lost after a checkpoint is not counted, here and in all that follow.
        time_by_part: of the training steps, up to the last reporting interval; None in records of older versions. What
            a worker says is its own; a trial's record has that of the worker which waited longest for its batches: in
            its collectives the others wait for it.
        evaluations_s: what all evaluations took; None in records of older versions.
        stages: what that worker's input pipeline was busy with, in seconds by one of `PIPELINE_STAGES`.
        best_checkpoint_step: of the best checkpoint that is kept, which is the best step unless checkpoints are rarer
            than evaluations (rule CK3); None where none is kept.
        peak_memory_bytes: the most memory that a worker took in the last attempt, as
            `raytune_playbook.train.process.memory.PeakMemory` tells it, of the worker that took most; None where that
            is not known, as in records of older versions.
    """

    num_steps: int
    num_parameters: int | None
    train_s: float
    time_by_part: TimeByPart | None = None
    evaluations_s: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    best_checkpoint_step: int | None = None
    peak_memory_bytes: int | None = None

    @property
    def input_s(self) -> float:
        """Seconds in which the steps had no batch to compute on; 0 where that is not known."""
        return 0.0 if self.time_by_part is None else self.time_by_part.input_s


@dataclass(frozen=True)
class TrialRecord:
    """One trial, running or ended.

    Fields:
        outcome: None until the trial has ended for good.
        reason: why it is infeasible, in words that begin with the kind of reason (rule IN3).
        objective: the objective's value by the study's own objective; None unless completed.
        best_step: the step at which the metric was best.
        training: None until the trial has ended for good, and of one that failed.
        checkpoint_bytes: the most that its kept checkpoints take; None until it has ended for good, and where it is not
            known, as in records of older versions.
        checkpoints_deleted: whether they were, to keep the round within ``Budget.max_checkpoint_gib``.
    """

    spec: TrialSpec
    outcome: Outcome | None = None
    reason: str | None = None
    objective: float | None = None
    best_step: int | None = None
    training: Training | None = None
    checkpoint_bytes: int | None = None
    checkpoints_deleted: bool = False
    attempts: tuple[Attempt, ...] = ()
    machine: Machine = field(default_factory=Machine)

    @property
    def tracebacks(self) -> list[str]:
        """Of every attempt that failed."""
        return [attempt.traceback for attempt in self.attempts if attempt.traceback]
