"""Examples that memory holds: read and decoded once by Ray Data, then shared by all gangs of a session.

The `ExampleStore` is an actor that outlives gangs and owns what it has read: one copy of each column in the object
store of every node that asks for it, mapped by its workers without copies.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.data.columns import Columns, num_bytes, num_examples, require_alike
from raytune_playbook.data.datasets import Source
from raytune_playbook.data.decode import HASH, Handle, Notes, Part, Recipe, Report, decode, tasks_of
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.preprocessed import Manifest, Writer, finish, folder_of
from raytune_playbook.data.order import permutation
from raytune_playbook.data.ray_data import block_refs, columns_of, quiet_context, require_cpu
from raytune_playbook.errors import DataError, PlaybookError
from raytune_playbook.records.store import Storage
from raytune_playbook.study.fingerprints import content_hash

SLICE_EXAMPLES = 4096
"""As many of the examples that were given as arrays are preprocessed in one task."""

MAX_CACHED = 16


@dataclass(frozen=True)
class Loaded:
    """A split's examples in the object store.

    Fields:
        columns: references to the arrays; each in a list of one lest Ray fetch it.
        hashes: what `example_hashes` makes of each example, (num_examples,); None where it was not asked for.
        skipped: what could not be read and was left out, as the user allowed.
        read_s: how long it took; 0 where it was there from before.
    """

    columns: Mapping[str, list[Any]]
    num_examples: int
    num_bytes: int
    hashes: npt.NDArray[np.uint64] | None = None
    skipped: tuple[str, ...] = ()
    read_s: float = 0.0

    def arrays(self) -> Columns:
        """The columns, mapped read-only from the object store of this node."""
        arrays = ray.get([ref for (ref,) in self.columns.values()])
        return dict(zip(self.columns, arrays, strict=True))


@dataclass(frozen=True)
class Slice:
    """Some rows of arrays that lie in the object store."""

    arrays: list[Any]
    first: int
    last: int
    num_bytes: int
    name: str

    @property
    def num_examples(self) -> int:
        """The number of rows."""
        return self.last - self.first

    def read(self) -> Columns:
        """The rows, as views."""
        (columns,) = ray.get(self.arrays)
        return {name: values[self.first : self.last] for name, values in columns.items()}


@dataclass(frozen=True)
class BlockPart:
    """A block of a Ray Dataset."""

    block: list[Any]
    num_examples: int
    num_bytes: int
    name: str

    def read(self) -> Columns:
        """Its columns."""
        (block,) = ray.get(self.block)
        return columns_of(block)


@dataclass(frozen=True)
class Saving:
    """What `ExampleStore.save` is to write.

    Fields:
        sources: by split; ``all`` where ``fractions`` divide them.
        recipes: by split.
        named: how the records call the sources.
    """

    sources: Mapping[str, Source]
    recipes: Mapping[str, Recipe]
    named: Mapping[str, str]
    fractions: Mapping[str, float] | None
    storage: str
    workload: str
    fingerprint: str


class ExampleStore:
    """The actor; its methods return errors that are ours, lest Ray wrap them."""

    def __init__(self) -> None:
        quiet_context()
        self._lock = threading.Lock()
        self._notes: dict[str, Notes] = {}
        self._loaded: dict[str, Loaded] = {}
        self._me = ray.get_runtime_context().current_actor

    def note(self, of: str, seconds: dict[str, float], skipped: list[str]) -> None:
        """A task's numbers."""
        if (notes := self._notes.get(of)) is not None:
            notes.add(seconds, skipped)

    def load(
        self, split: str, source: Source, recipe: Recipe, *, sample: int | None = None, keeps: bool = True
    ) -> Loaded | PlaybookError:
        """Read and decode a split, unless it is here from before.

        Args:
            sample: keep only so many examples, drawn once and for all.
            keeps: whether files shall be here for the rounds to come.
        """
        key = content_hash(repr((source.identity, recipe)).encode()) if isinstance(source, Listing) else ""
        with self._lock:
            if key in self._loaded:
                return replace(self._loaded[key], read_s=0.0)
            try:
                loaded = self._load(split, source, recipe, sample)
            except PlaybookError as error:
                return error
            if key and keeps:
                while len(self._loaded) >= MAX_CACHED:
                    del self._loaded[next(iter(self._loaded))]
                self._loaded[key] = loaded
            return loaded

    def save(self, saving: Saving) -> Manifest | PlaybookError:
        """Read, decode and write all splits as Parquet files."""
        started_s = time.monotonic()
        folder = folder_of(saving.workload, saving.fingerprint)
        writer = Writer(Storage(saving.storage), folder)
        writer.clear()
        skipped: list[str] = []
        try:
            for split, source in saving.sources.items():
                reading = self._read(split, source, saving.recipes[split])
                for ref, _ in reading.blocks:
                    writer.write_block(split, dict(columns_of(ray.get(ref))), saving.fractions)
                skipped += reading.skipped()
            seconds = time.monotonic() - started_s
            return finish(writer, saving.workload, saving.fingerprint, dict(saving.named), tuple(skipped), seconds)
        except PlaybookError as error:
            writer.clear()
            return error

    def _load(self, split: str, source: Source, recipe: Recipe, sample: int | None) -> Loaded:
        started_s = time.monotonic()
        if isinstance(source, dict) and recipe.workload is None:
            return _put(decode(source, recipe, repr(split)), started_s=started_s, skipped=())
        reading = self._read(split, source, recipe)
        columns = _laid_end_to_end(list(reading.blocks))
        if sample is not None:
            rows = np.sort(permutation(num_examples(columns), 0)[:sample])
            columns = {name: values[rows] for name, values in columns.items()}
        return _put(columns, started_s=started_s, skipped=reading.skipped())

    def _read(self, split: str, source: Source, recipe: Recipe) -> _Reading:
        require_cpu(recipe.num_cpus)
        name = uuid.uuid4().hex
        notes = self._notes[name] = Notes()
        tasks = tasks_of(_parts(split, source))
        is_remote = isinstance(source, Listing) and source.is_remote
        blocks = block_refs(tasks, recipe, Report(self._me, name), is_remote=is_remote)
        return _Reading(blocks, notes, len(tasks), source.skipped if isinstance(source, Listing) else ())


@dataclass(frozen=True)
class _Reading:
    """A source that is being read.

    Fields:
        left_out: a sentence for each file that was left out when it was listed.
    """

    blocks: Iterator[tuple[Any, int]]
    notes: Notes
    num_tasks: int
    left_out: tuple[str, ...]

    def skipped(self) -> tuple[str, ...]:
        """All that was left out; to be asked when all blocks are here."""
        return (*self.left_out, *self.notes.all_skipped(self.num_tasks))


def _parts(split: str, source: Source) -> Sequence[Part]:
    """What tasks read of a source; arrays are put into the object store for them, a Ray Dataset is executed."""
    if isinstance(source, Listing):
        return source.fragments
    if isinstance(source, ray.data.Dataset):
        source.context.execution_options.preserve_order = True  # of this actor's copy
        source.context.enable_progress_bars = False
        blocks = [
            block
            for bundle in source.iter_internal_ref_bundles()
            for block in zip(bundle.block_refs, bundle.metadata, strict=True)
        ]
        return [
            BlockPart([ref], metadata.num_rows or 0, metadata.size_bytes or 0, f"block {number} of {split!r}")
            for number, (ref, metadata) in enumerate(blocks)
        ]
    ref, number, size = ray.put(source), num_examples(source), num_bytes(source)
    slices = [(start, min(start + SLICE_EXAMPLES, number)) for start in range(0, number, SLICE_EXAMPLES)]
    return [
        Slice([ref], start, end, size * (end - start) // number, f"rows {start} to {end - 1} of {split!r}")
        for start, end in slices
    ]


def _laid_end_to_end(refs: list[tuple[Any, int]]) -> Columns:
    """All blocks in one array per column; each block is let go as soon as it is copied."""
    total = sum(number for _, number in refs)
    if not total:
        raise DataError("Examples are needed, but the files hold none; name others.")
    columns: Columns = {}
    row = 0
    refs.reverse()
    while refs:
        ref, number = refs.pop()
        part = columns_of(ray.get(ref))
        del ref
        columns = columns or {name: np.empty((total, *v.shape[1:]), v.dtype) for name, v in part.items()}
        require_alike([columns, part])
        for name, values in part.items():
            columns[name][row : row + number] = values
        row += number
    return columns


def _put(columns: Columns, *, started_s: float, skipped: tuple[str, ...]) -> Loaded:
    hashes = columns.pop(HASH, None)
    if not columns or not num_examples(columns):
        raise DataError("Examples are needed, but there are none; name others.")
    number, size = num_examples(columns), num_bytes(columns)
    refs = {name: [ray.put(columns.pop(name))] for name in sorted(columns)}
    read_s = time.monotonic() - started_s
    return Loaded(refs, number, size, None if hashes is None else hashes.astype(np.uint64), skipped, read_s)


def start_store() -> Handle:
    """A new store on the driver's node; it dies with the driver, which owns it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=0)(ExampleStore)
    return actor.options(scheduling_strategy=here, max_concurrency=8).remote()
