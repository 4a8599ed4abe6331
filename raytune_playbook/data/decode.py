"""What one task of the pipeline does: read some parts, preprocess and check them, and tell how long it took."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import ray.cloudpickle as cloudpickle

from raytune_playbook.data.actors import RemoteMethod
from raytune_playbook.data.columns import Columns, checked, concatenated, num_examples, require_alike
from raytune_playbook.data.divisions import require_same_in_any_division
from raytune_playbook.data.files.find import UnreadableError
from raytune_playbook.data.files.images import IMAGE_COLUMNS, IMAGE_PATH
from raytune_playbook.data.not_finite import NotFinite, first_few, not_finite
from raytune_playbook.data.splits import example_hashes
from raytune_playbook.errors import DataError, PlaybookError, RunError

Preprocess: TypeAlias = Callable[[Columns], object]

TASK_BYTES = 8 * 2**20
"""Parts are read together in one task until they hold so much, since a task costs some 10 ms."""

NOTES_TIMEOUT_S = 30.0

HASH = "_hash"
"""The column that holds what `example_hashes` makes of each example."""


class Part(Protocol):
    """What a task reads one or more of: a `Fragment` of files, some rows of arrays, or a block of a Ray Dataset."""

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

    def place(self, row: int) -> str:
        """How messages call the place of one of them."""


@dataclass(frozen=True)
class Recipe:
    """What becomes of a part once it is read.

    Fields:
        workload: pickled, with a method ``preprocess``; None where the examples are used as they are.
        label: the column that must hold no NaN.
        skips: whether what cannot be read is left out, and counted.
        keeps_number: whether preprocessing must return as many examples as it was given.
        hashes: whether the column `HASH` is added: of the examples as they are read, or as they are decoded.
        key: the columns that it is made of; None for all.
        only_hashes: whether nothing else is wanted, and so nothing preprocessed.
        num_cpus: at most so many tasks at once.
        compared: names of the parts on a few examples of which preprocessing is compared with itself.
        finds_not_finite: whether examples that hold NaN or infinities are reported.
    """

    workload: bytes | None = None
    label: str | None = None
    skips: bool = False
    keeps_number: bool = False
    hashes: Literal["read", "decoded"] | None = None
    key: tuple[str, ...] | None = None
    only_hashes: bool = False
    num_cpus: int = 1
    compared: tuple[str, ...] = ()
    finds_not_finite: bool = False


class NoteTaker(Protocol):
    """The actor that a task works for."""

    @property
    def note(self) -> RemoteMethod[[str, dict[str, float], list[str], list[NotFinite]], None]:
        """Takes the name of the piece of work, the seconds by stage, a sentence for each part left out, and what of the
        rest is not finite."""


@dataclass(frozen=True)
class Report:
    """How a task tells the actor that it works for what it did.

    Fields:
        of: names the piece of work.
    """

    actor: NoteTaker
    of: str

    def __call__(self, seconds: dict[str, float], skipped: list[str], faulty: list[NotFinite]) -> None:
        """Nobody waits for the answer."""
        self.actor.note.remote(self.of, seconds, skipped, faulty)


@dataclass
class Notes:
    """What tasks have reported.

    Fields:
        seconds: by stage.
        skipped: a sentence for each part that was left out.
        not_finite: a few examples that hold NaN or infinities.
        num_begun, num_ended: of tasks.
        heard_at_s: when a task was heard last.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    not_finite: tuple[NotFinite, ...] = ()
    num_begun: int = 0
    num_ended: int = 0
    heard_at_s: float = field(default_factory=time.monotonic)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, seconds: dict[str, float], skipped: Sequence[str], faulty: Sequence[NotFinite] = ()) -> None:
        """One task's numbers at its end; without any, at its beginning."""
        with self._changed:
            self.heard_at_s = time.monotonic()
            self.num_begun += not seconds
            self.num_ended += bool(seconds)
            self.not_finite = first_few([*self.not_finite, *faulty])
            self.skipped += [each for each in skipped if each not in self.skipped]  # a task may be run again by Ray
            for stage, amount in seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + amount
            self._changed.notify_all()

    def all_skipped(self, num_tasks: int, timeout_s: float = NOTES_TIMEOUT_S) -> tuple[str, ...]:
        """What was left out, once so many tasks have told: their blocks may be here before their notes.

        Raises:
            RunError: they do not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.num_ended >= num_tasks, timeout_s):
                raise RunError(
                    f"What was left out of the examples must be counted, but {num_tasks - self.num_ended} task(s) have "
                    "not told; run it again."
                )
            return tuple(self.skipped)


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
    hashes = None
    if recipe.hashes == "read":
        hashes = example_hashes(columns if recipe.key else _without_image_paths(columns), recipe.key)
        if recipe.only_hashes:
            return {HASH: hashes}
    decoded = _preprocessed(columns, recipe, where)
    if recipe.hashes == "decoded":
        hashes = example_hashes(decoded, recipe.key)
    return decoded if hashes is None else {**decoded, HASH: hashes}


def _without_image_paths(columns: Columns) -> Columns:
    """Image files are equal by what they show, and their paths are no numbers to train on."""
    of_images = columns.keys() == set(IMAGE_COLUMNS)
    return {name: values for name, values in columns.items() if not (of_images and name == IMAGE_PATH)}


def _preprocessed(columns: Columns, recipe: Recipe, where: str) -> Columns:
    if recipe.workload is None:
        return checked(_without_image_paths(columns), where, label=recipe.label)
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


def read_and_decode(parts: Sequence[Part], recipe: Recipe, report: Report | None, *, is_remote: bool) -> Columns | None:
    """Some parts' examples, ready to train on; None where all were skipped."""
    if report is not None:
        report({}, [], [])  # this task has a CPU
    seconds, skipped = {"read": 0.0, "decode": 0.0}, []
    blocks: list[Columns] = []
    faulty: list[NotFinite] = []
    for part in parts:
        started_s = time.perf_counter()
        try:
            columns = part.read()
        except UnreadableError as error:
            if not recipe.skips:
                raise
            skipped.append(str(error))
            continue
        if not num_examples(columns):
            continue
        read_s = time.perf_counter()
        if part.name in recipe.compared and recipe.workload is not None:
            preprocess = functools.partial(_preprocessed, recipe=recipe, where=f"some examples of {part.name}")
            require_same_in_any_division(preprocess, columns, part.name)
        decoded = decode(columns, recipe, part.name)
        if recipe.finds_not_finite:
            is_whole = num_examples(decoded) == num_examples(columns)
            faulty += not_finite(decoded, part.place if is_whole else _place_after_pruning(part))
        seconds["read"] += read_s - started_s
        seconds["decode"] += time.perf_counter() - read_s
        if num_examples(decoded):
            require_alike(blocks[0] if blocks else decoded, decoded, part.name)
            blocks.append(decoded)
    if is_remote:
        seconds["remote read"] = seconds.pop("read")
    if report is not None:
        report(seconds, skipped, faulty)
    return concatenated(blocks) if blocks else None


def _place_after_pruning(part: Part) -> Callable[[int], str]:
    return lambda row: f"row {row} of what Workload.preprocess makes of {part.name}"


def tasks_of(parts: Sequence[Part], *, max_examples: float = math.inf) -> list[list[Part]]:
    """Consecutive parts grouped so that each task has enough to do: at most `TASK_BYTES`, and so many examples.

    A part beyond a limit makes a task of its own.
    """
    tasks: list[list[Part]] = []
    size = number = 0
    for part in parts:
        size, number = size + part.num_bytes, number + (part.num_examples or 0)
        if not tasks or size > TASK_BYTES or number > max_examples:
            tasks.append([])
            size, number = part.num_bytes, part.num_examples or 0
        tasks[-1].append(part)
    return tasks
