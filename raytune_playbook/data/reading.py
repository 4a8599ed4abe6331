"""Reading and preprocessing units with Ray Data, in parallel tasks whose blocks come in the units' order.

Runs in actors of ours, so that Ray Data's settings, which belong to a process, stay out of the user's.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import ray
import ray.cloudpickle as cloudpickle
import ray.exceptions
from ray.data import DataContext, Datasource, ExecutionResources, ReadTask
from ray.data.block import Block, BlockAccessor, BlockMetadata

from raytune_playbook.data.columns import Columns, checked, concatenated, num_examples
from raytune_playbook.data.splits import example_hashes
from raytune_playbook.errors import DataError, PlaybookError, RunError

NO_CPU_S = 30.0
"""A pipeline for which no CPU is free for this long ends with a sentence."""

TASK_BYTES = 8 * 2**20
"""Units are read together in one task until they hold so much, since a task costs some 10 ms."""

Preprocess: TypeAlias = Callable[[Columns], object]
Handle: TypeAlias = Any
"""A handle to an actor, whose remote methods no static type knows."""


HASH = "_hash"
"""The column that holds what `example_hashes` makes of each example."""


class Part(Protocol):
    """What a task reads one or more of, such as a `Unit`."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def num_examples(self) -> int | None:
        """None where only reading tells."""

    @property
    def num_bytes(self) -> int:
        """An estimate, before any preprocessing."""

    def read(self) -> Columns:
        """Its examples."""


@dataclass(frozen=True)
class Recipe:
    """What becomes of a unit once it is read.

    Fields:
        workload: pickled, with a method ``preprocess``; None where the examples are used as they are.
        label: the column that must hold no NaN.
        skips: whether what cannot be read is left out, and counted.
        keeps_number: whether preprocessing must return as many examples as it was given.
        hashes: whether the column `HASH` is added: of the examples as they are read, or as they are decoded.
        key: the columns that it is made of; None for all.
        num_cpus: at most so many tasks at once.
    """

    workload: bytes | None = None
    label: str | None = None
    skips: bool = False
    keeps_number: bool = False
    hashes: Literal["read", "decoded"] | None = None
    key: tuple[str, ...] | None = None
    num_cpus: int = 1


@dataclass(frozen=True)
class Report:
    """How a task tells the actor that it works for what it did.

    Fields:
        actor: with a method ``note(of, seconds, skipped)``.
        of: names the piece of work.
    """

    actor: Handle
    of: str

    def __call__(self, seconds: dict[str, float], skipped: list[str]) -> None:
        """Nobody waits for the answer."""
        self.actor.note.remote(self.of, seconds, skipped)


@dataclass
class Notes:
    """What tasks have reported: seconds by stage, what was skipped, when they were heard last."""

    seconds: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    heard_at_s: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: dict[str, float], skipped: Sequence[str]) -> None:
        """One task's numbers."""
        with self._lock:
            self.heard_at_s = time.monotonic()
            self.skipped += skipped
            for stage, amount in seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + amount


@functools.lru_cache(maxsize=4)
def preprocessing(workload: bytes) -> Preprocess:
    """The workload's own; unpickled once per process."""
    preprocess: Preprocess = cloudpickle.loads(workload).preprocess
    return preprocess


def decode(columns: Columns, recipe: Recipe, where: str) -> Columns:
    """Preprocess what was read, and check what comes out.

    Raises:
        DataError: the preprocessing raises, or returns what cannot be trained on.
    """
    hashes = example_hashes(columns, recipe.key) if recipe.hashes == "read" else None
    decoded = _preprocessed(columns, recipe, where)
    if recipe.hashes == "decoded":
        hashes = example_hashes(decoded, recipe.key)
    return decoded if hashes is None else decoded | {HASH: hashes}


def _preprocessed(columns: Columns, recipe: Recipe, where: str) -> Columns:
    if recipe.workload is None:
        return checked(columns, where, label=recipe.label)
    number = num_examples(columns)
    try:
        decoded = preprocessing(recipe.workload)(columns)
    except PlaybookError:
        raise
    except Exception as error:  # whatever the user's code raises becomes one sentence
        raise DataError(
            f"Workload.preprocess must turn every batch into examples, but raises {type(error).__name__}: {error} on "
            f"{where}; correct it."
        ) from error
    where = f"Workload.preprocess on {where}"
    return checked(
        decoded,
        where,
        num_examples=number if recipe.keeps_number or recipe.hashes == "read" else None,
        label=recipe.label,
    )


def read_and_decode(units: Sequence[Part], recipe: Recipe, report: Report | None, *, is_remote: bool) -> Columns | None:
    """Some units' examples, ready to train on; None where all were skipped."""
    if report is not None:
        report({}, [])  # this task has a CPU
    seconds, skipped, parts = {"read": 0.0, "decode": 0.0}, [], []
    for unit in units:
        started_s = time.perf_counter()
        try:
            columns = unit.read()
        except DataError as error:
            if not recipe.skips:
                raise
            skipped.append(str(error))
            continue
        read_s = time.perf_counter()
        decoded = decode(columns, recipe, unit.name)
        seconds["read"] += read_s - started_s
        seconds["decode"] += time.perf_counter() - read_s
        if num_examples(decoded):
            parts.append(decoded)
    if is_remote:
        seconds["remote read"] = seconds.pop("read")
    if report is not None:
        report(seconds, skipped)
    return concatenated(parts) if parts else None


def tasks_of(units: Sequence[Part], *, max_examples: float = math.inf) -> list[list[Part]]:
    """Consecutive units grouped so that each task has enough to do: at most `TASK_BYTES`, and so many examples.

    A unit beyond a limit makes a task of its own.
    """
    tasks: list[list[Part]] = []
    size = number = 0
    for unit in units:
        size, number = size + unit.num_bytes, number + (unit.num_examples or 0)
        if not tasks or size > TASK_BYTES or number > max_examples:
            tasks.append([])
            size, number = unit.num_bytes, unit.num_examples or 0
        tasks[-1].append(unit)
    return tasks


class _UnitSource(Datasource):
    """Ray Data's view of the tasks."""

    def __init__(self, tasks: list[list[Part]], recipe: Recipe, report: Report | None, *, is_remote: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray's own has no annotations
        self._tasks, self._recipe, self._report, self._is_remote = tasks, recipe, report, is_remote

    def get_name(self) -> str:
        return "Examples"

    def estimate_inmemory_data_size(self) -> int | None:
        return sum(unit.num_bytes for task in self._tasks for unit in task) or None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        return [self._task(units) for units in self._tasks]

    def _task(self, units: list[Part]) -> ReadTask:
        recipe, report, is_remote = self._recipe, self._report, self._is_remote

        def read() -> list[Block]:
            columns = read_and_decode(units, recipe, report, is_remote=is_remote)
            return [] if columns is None else [BlockAccessor.batch_to_block(columns)]

        numbers = [unit.num_examples for unit in units]
        number = None if None in numbers else sum(each or 0 for each in numbers)
        size = sum(unit.num_bytes for unit in units)
        return ReadTask(read, BlockMetadata(number, size, None, None))


def block_refs(
    tasks: list[list[Part]], recipe: Recipe, report: Report | None, *, is_remote: bool
) -> Iterator[tuple[Any, int]]:
    """References to blocks with their numbers of examples, in the order of the units, as tasks make them.

    Raises:
        DataError: of the first unit that cannot be read or decoded.
    """
    if not tasks:
        return
    context = quiet_context()
    context.execution_options.resource_limits = ExecutionResources(cpu=recipe.num_cpus)
    source = _UnitSource(tasks, recipe, report, is_remote=is_remote)
    dataset = ray.data.read_datasource(source, override_num_blocks=len(tasks))
    bundles = iter(dataset.iter_internal_ref_bundles())
    try:
        for bundle in bundles:
            for ref, metadata in zip(bundle.block_refs, bundle.metadata, strict=True):
                yield ref, metadata.num_rows or 0
    except ray.exceptions.RayError as error:
        raise as_data_error(error) from None


def quiet_context() -> DataContext:
    """Ray Data's settings in this process: in order, and quiet."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    return context


def as_data_error(error: BaseException) -> PlaybookError:
    """What a task raised, as a sentence of ours."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        for each in (cause, seen):
            if isinstance(each, PlaybookError):
                return type(each)(str(each).partition("\n")[0])  # Ray Data adds lines about its retries
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return RunError(f"The input pipeline failed: {lines[-1] if lines else type(error).__name__}.")


def columns_of(block: Block) -> Columns:
    """A block's columns, where it can without a copy."""
    columns = BlockAccessor.for_block(block).to_numpy()
    return columns if isinstance(columns, dict) else {"": columns}


def require_cpu(num_cpus: int, timeout_s: float = NO_CPU_S) -> None:
    """Wait until a task of the pipeline's can run.

    Raises:
        RunError: none could for ``timeout_s``.
    """
    probe = ray.remote(num_cpus=1, max_retries=0)(_nothing).remote()
    ready, _ = ray.wait([probe], timeout=timeout_s)
    if ready:
        return
    ray.cancel(probe, force=True)
    free, has = (f"{each.get('CPU', 0.0):g}" for each in (ray.available_resources(), ray.cluster_resources()))
    raise RunError(
        f"The input pipeline needs {num_cpus} whole CPU(s) beside the gangs (Resources.pipeline_cpus), but none was "
        f"free for {timeout_s:.0f} s ({free} of the cluster's {has} are); leave it one: fewer gangs (num_gangs), "
        "smaller workers (cpus_per_worker), or end what else runs on the cluster."
    )


def _nothing() -> None:
    pass
