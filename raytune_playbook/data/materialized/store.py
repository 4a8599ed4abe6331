"""Examples that memory holds: read and decoded once by Ray Data, then shared by all gangs of a session.

The `ExampleStore` is an actor that outlives gangs and owns what it has read: one copy of each column in the object
store of every node that asks for it, mapped by its workers without copies.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.data.actors import RemoteMethod
from raytune_playbook.data.columns import Array, Columns, num_bytes, num_examples, require_alike
from raytune_playbook.data.datasets import Source, Sources
from raytune_playbook.data.decode import HASH, Notes, NoteTaker, Recipe, Report, decode, tasks_of
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.parts import parts_of
from raytune_playbook.data.materialized.preprocessed import Manifest, Writer, folder_of
from raytune_playbook.data.not_finite import NotFinite, not_finite
from raytune_playbook.data.order import permutation
from raytune_playbook.data.ray_data import BlockRef, quiet_context, read_blocks, require_cpu
from raytune_playbook.data.splits import Division, Hashes, division_by_hash, exact_division
from raytune_playbook.errors import DataError, PlaybookError, StorageFailure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import ColumnRecord
from raytune_playbook.study.fingerprints import content_hash

MAX_CACHED = 16

NUM_COMPARED_PARTS = 3
"""On a few examples of so many parts preprocessing is compared with itself."""


@dataclass(frozen=True)
class Loaded:
    """A split's examples in the object store.

    Fields:
        columns: references to the arrays.
        types: of the columns.
        hashes: what `example_hashes` makes of each example, (num_examples,); None where it was not asked for.
        skipped: what could not be read and was left out, as the user allowed.
        read_s: how long it took; 0 where it was there from before.
        not_finite: a few examples that hold NaN or infinities.
    """

    columns: Mapping[str, ray.ObjectRef[Array]]
    types: Mapping[str, ColumnRecord]
    num_examples: int
    num_bytes: int
    hashes: Hashes | None = None
    skipped: tuple[str, ...] = ()
    read_s: float = 0.0
    not_finite: tuple[NotFinite, ...] = ()

    def arrays(self) -> Columns:
        """The columns, mapped read-only from the object store of this node."""
        return dict(zip(self.columns, ray.get(list(self.columns.values())), strict=True))


@dataclass(frozen=True)
class Loading:
    """What `ExampleStore.load` is to read.

    Fields:
        sample: keep only so many examples, drawn once and for all; None for all of them.
        keeps: whether files shall be here for the rounds to come.
    """

    split: str
    source: Source
    recipe: Recipe
    sample: int | None = None
    keeps: bool = True


@dataclass(frozen=True)
class Saving:
    """What `ExampleStore.save` is to write.

    Fields:
        sources: one for ``all`` where ``fractions`` divide it.
        recipes: by split.
        is_exact: whether the shares are, so that all examples are read once more, before.
        storage: folder or URI.
        workload, fingerprint: what it is saved, and found, under.
    """

    sources: Sources
    recipes: Mapping[str, Recipe]
    fractions: Mapping[str, float] | None
    is_exact: bool
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
        self._me: NoteTaker = ray.get_runtime_context().current_actor

    def note(self, of: str, seconds: dict[str, float], skipped: list[str], faulty: list[NotFinite]) -> None:
        """A task's numbers."""
        if (notes := self._notes.get(of)) is not None:
            notes.add(seconds, skipped, faulty)

    def load(self, loading: Loading) -> Loaded | PlaybookError:
        """Read and decode a split, unless it is here from before."""
        source = loading.source
        key = content_hash(repr((source.identity, loading.recipe)).encode()) if isinstance(source, Listing) else ""
        with self._lock:
            if key in self._loaded:
                return replace(self._loaded[key], read_s=0.0)
            try:
                loaded = self._load(loading)
            except PlaybookError as error:
                return error
            if key and loading.keeps:
                while len(self._loaded) >= MAX_CACHED:
                    del self._loaded[next(iter(self._loaded))]
                self._loaded[key] = loaded
            return loaded

    def save(self, saving: Saving) -> Manifest | PlaybookError:
        """Read, decode and write all splits as Parquet files."""
        started_s = time.monotonic()
        writer = Writer(Storage(saving.storage), folder_of(saving.workload, saving.fingerprint))
        skipped: list[str] = []
        try:
            writer.clear()
            division = self._division(saving)
            for split, source in saving.sources.by_split.items():
                reading = self._read(split, source, saving.recipes[split])
                for block in reading.blocks:
                    writer.write_block(split, block.columns(), division)
                skipped += reading.skipped()
            writer.require_splits()
            manifest = Manifest(
                workload=saving.workload,
                fingerprint=saving.fingerprint,
                sources=dict(saving.sources.names),
                num_examples=writer.num_examples,
                num_bytes=writer.num_bytes,
                skipped=tuple(skipped),
                overlaps=writer.overlaps(),
                seconds=time.monotonic() - started_s,
                created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
            manifest.write(writer.storage)
            return manifest
        except PlaybookError as error:
            with contextlib.suppress(StorageFailure):  # what went wrong first is told
                writer.clear()
            return error

    def _division(self, saving: Saving) -> Division | None:
        """How the examples are divided; None where they are already."""
        if saving.fractions is None or not saving.is_exact:
            return None if saving.fractions is None else division_by_hash(saving.fractions)
        recipe = replace(saving.recipes["all"], only_hashes=True)
        blocks = self._read("all", saving.sources.by_split["all"], recipe).blocks
        hashes = [block.columns()[HASH].astype(np.uint64) for block in blocks]
        return exact_division(np.concatenate([np.zeros(0, np.uint64), *hashes]), saving.fractions)

    def _load(self, loading: Loading) -> Loaded:
        started_s = time.monotonic()
        split, source, recipe = loading.split, loading.source, loading.recipe
        if isinstance(source, Mapping) and recipe.workload is None:
            decoded = dict(decode(source, recipe, repr(split)))
            faulty = tuple(not_finite(decoded, "row {}".format))
            return replace(_put(split, decoded, started_s=started_s, skipped=()), not_finite=faulty)
        reading = self._read(split, source, replace(recipe, finds_not_finite=True))
        columns = _laid_end_to_end(split, list(reading.blocks))
        if loading.sample is not None:
            rows = np.sort(permutation(num_examples(columns), 0)[: loading.sample])
            columns = {name: values[rows] for name, values in columns.items()}
        loaded = _put(split, columns, started_s=started_s, skipped=reading.skipped())
        return replace(loaded, not_finite=reading.notes.not_finite)

    def _read(self, split: str, source: Source, recipe: Recipe) -> _Reading:
        require_cpu(recipe.num_cpus)
        name = uuid.uuid4().hex
        notes = self._notes[name] = Notes()
        parts = parts_of(split, source)
        recipe = replace(recipe, compared=tuple(part.name for part in parts[:NUM_COMPARED_PARTS]))
        tasks = tasks_of(parts)
        is_remote = isinstance(source, Listing) and source.is_remote
        blocks = read_blocks(tasks, recipe, Report(self._me, name), is_remote=is_remote)
        return _Reading(blocks, notes, len(tasks), source.skipped if isinstance(source, Listing) else ())


@dataclass(frozen=True)
class _Reading:
    """A source that is being read.

    Fields:
        left_out: a sentence for each file that was left out when it was listed.
    """

    blocks: Iterator[BlockRef]
    notes: Notes
    num_tasks: int
    left_out: tuple[str, ...]

    def skipped(self) -> tuple[str, ...]:
        """All that was left out; to be asked when all blocks are here."""
        return (*self.left_out, *self.notes.all_skipped(self.num_tasks))


def _laid_end_to_end(split: str, blocks: list[BlockRef]) -> dict[str, Array]:
    """All blocks in one array per column; each block is let go as soon as it is copied."""
    total = sum(block.num_examples for block in blocks)
    if not total:
        raise DataError(f"Examples are needed, but {_named(split)} has none once it is read; name others.")
    whole: dict[str, Array] = {}
    row = 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()
        columns, end = block.columns(), row + block.num_examples
        del block
        whole = whole or {name: np.empty((total, *each.shape[1:]), each.dtype) for name, each in columns.items()}
        require_alike(whole, columns, f"row {row}")
        for name, values in columns.items():
            whole[name][row:end] = values
        row = end
    return whole


def _put(split: str, arrays: dict[str, Array], *, started_s: float, skipped: tuple[str, ...]) -> Loaded:
    """Move columns into the object store one by one, so that memory never holds two copies of them all."""
    hashes = arrays.pop(HASH, None)
    if not arrays or not num_examples(arrays):
        raise DataError(f"Examples are needed, but {_named(split)} has none; give some.")
    number, size = num_examples(arrays), num_bytes(arrays)
    types = {name: ColumnRecord(dtype=str(each.dtype), shape=each.shape[1:]) for name, each in sorted(arrays.items())}
    refs = {name: ray.put(arrays.pop(name)) for name in sorted(arrays)}
    read_s = time.monotonic() - started_s
    return Loaded(refs, types, number, size, None if hashes is None else hashes.astype(np.uint64), skipped, read_s)


def _named(split: str) -> str:
    return "the source of the Split" if split == "all" else f"{split!r}"


class StoreHandle(Protocol):
    """A handle to an `ExampleStore`."""

    @property
    def __ray_ready__(self) -> RemoteMethod[[], bool]:
        """Ray's own, which any actor that lives answers."""

    @property
    def note(self) -> RemoteMethod[[str, dict[str, float], list[str], list[NotFinite]], None]:
        """As there."""

    @property
    def load(self) -> RemoteMethod[[Loading], Loaded | PlaybookError]:
        """As there."""

    @property
    def save(self) -> RemoteMethod[[Saving], Manifest | PlaybookError]:
        """As there."""


def start_store() -> StoreHandle:
    """A new store on the driver's node; it dies with the driver, which owns it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=0)(ExampleStore)
    return cast(StoreHandle, actor.options(scheduling_strategy=here, max_concurrency=8).remote())
