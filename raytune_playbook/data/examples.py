"""From what a workload's `datasets` returns to what a round's workers get their batches from.

Decides between the two modes, materialized and streaming; everything is checked before a gang starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import ray

from raytune_playbook.data.columns import Columns, num_bytes, num_examples
from raytune_playbook.data.datasets import Given, Source, sources_of
from raytune_playbook.data.decode import Handle, Recipe, read_and_decode
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.preprocessed import Manifest
from raytune_playbook.data.materialized.store import Loaded, Saving
from raytune_playbook.data.order import Rows, permutation
from raytune_playbook.data.ray_data import as_data_error, require_cpu
from raytune_playbook.data.splits import overlaps, split_rows
from raytune_playbook.data.streaming.read_ahead import Stream
from raytune_playbook.errors import DataError, PlaybookError
from raytune_playbook.records.types import ExamplesRecord
from raytune_playbook.study.datasets import InputPipeline, Split

GIB = 2**30
MATERIALIZED_SHARE = 0.5
"""Of the smallest node's object store, which holds other things too."""

MAX_TRAINING_SAMPLE = 1000
"""How many training examples every evaluation scores beside the validation set (rule EV7)."""

SAMPLED_FRAGMENTS = 8
"""Out of so many fragments that sample is drawn where the training examples are streamed."""


@dataclass(frozen=True)
class Examples:
    """What a round's workers get their batches from; travels to them with the round.

    Fields:
        loaded: ``train`` and ``validation``, or ``all`` of a `Split`; of a stream ``train`` is a fixed sample.
        fractions: of a `Split`; None where the splits were given.
        stream: the training examples where they are streamed.
        record: what stands in the round's records.
    """

    loaded: Mapping[str, Loaded]
    record: ExamplesRecord
    fractions: Mapping[str, float] | None = None
    stream: Stream | None = None

    def arrays(self) -> dict[str, Columns]:
        """The columns of ``train`` and ``validation``, mapped read-only from the object store of this node."""
        if self.fractions is None:
            return {split: loaded.arrays() for split, loaded in self.loaded.items()}
        return dict.fromkeys(("train", "validation"), self.loaded["all"].arrays())

    def rows(self, data_split: int) -> dict[str, Rows] | None:
        """Which rows of a `Split` are in ``train`` and ``validation``; None where the splits were given.

        Raises:
            DataError: one of them has none.
        """
        hashes = self.loaded["all"].hashes if self.fractions is not None else None
        if self.fractions is None or hashes is None:
            return None
        rows = split_rows(hashes, self.fractions, data_split)
        for split in ("train", "validation"):
            if not len(rows[split]):
                raise DataError(
                    f"Split: every split needs an example, but of {len(hashes)} none falls into {split!r} with "
                    f"data_split={data_split}; give it a larger share, or more examples."
                )
        return {split: rows[split] for split in ("train", "validation")}


@dataclass(frozen=True)
class Preparation:
    """How examples are prepared: by whom, and with what.

    Fields:
        store: the session's `ExampleStore`.
        workload: pickled, where it preprocesses examples; else None.
        label: the column that must hold no NaN.
        num_cpus: the pipeline's.
        num_gangs: among which they are divided where each streams its own examples.
        node_bytes: the object store of the smallest node.
    """

    store: Handle
    workload: bytes | None
    label: str | None
    num_cpus: int
    num_gangs: int
    node_bytes: int
    pipeline: InputPipeline = field(default_factory=InputPipeline)

    def recipe(self, **changes: Any) -> Recipe:
        """What becomes of a fragment, but for what is changed."""
        return replace(Recipe(self.workload, self.label, num_cpus=self.num_cpus), **changes)

    def recipe_of(self, given: Given, split: str, **changes: Any) -> Recipe:
        """What becomes of a split's fragments."""
        return self.recipe(skips=split in given.skips, **changes)


def prepare(datasets: object, how: Preparation) -> Examples:
    """Read and decode the examples, or find out how to stream them.

    Args:
        datasets: a mapping of ``train`` and ``validation`` (and ``test``) to arrays by column, Arrow tables, `Files`,
            URIs or Ray Datasets; or a `Split` of one of them.

    Raises:
        InputError: they cannot be read, preprocessed or trained on; the message names the place.
    """
    given = sources_of(datasets)
    sizes = {split: _decoded_bytes(split, given, how) for split in given.sources}
    if isinstance(datasets, Split):
        return _divided(datasets, given, sizes["all"], how)
    train = given.sources["train"]
    if _streams(sum(sizes.values()), train, how):
        return _streamed(given, sizes, how)
    loaded = {
        split: _load(split, source, how, how.recipe_of(given, split, hashes="decoded"))
        for split, source in given.sources.items()
    }
    hashes = {split: each.hashes for split, each in loaded.items() if each.hashes is not None}
    kept = {split: replace(loaded[split], hashes=None) for split in ("train", "validation")}
    overlapping = [overlap.sentence for overlap in overlaps(hashes)]
    return Examples(kept, _record("materialized", kept, given, how, overlapping=overlapping))


def save(given: Given, how: Preparation, *, split: Split | None, storage: str, names: tuple[str, str]) -> Manifest:
    """Preprocess examples once and save them as Parquet files; see `raytune_playbook.data.materialized.preprocessed`.

    Args:
        split: what divides them; None where the splits were given.
        storage: folder or URI.
        names: of the workload, and the fingerprint under which they are saved.

    Raises:
        InputError: they cannot be read or preprocessed.
    """
    key, hashed = (None, "decoded") if split is None else (split.key, "read")
    recipes = {name: how.recipe_of(given, name, hashes=hashed, key=key) for name in given.sources}
    fractions = None if split is None else split.fractions
    saving = Saving(given.sources, recipes, given.named, fractions, storage, *names)
    return _answered(how.store.save.remote(saving), Manifest)


# ---------------------------------------------------------------------- how large it is


def _decoded_bytes(split: str, given: Given, how: Preparation) -> int:
    """How much memory a split takes once decoded, estimated from its first fragment where it lies in files."""
    source = given.sources[split]
    if isinstance(source, ray.data.Dataset):
        return 0  # only its execution tells
    if not isinstance(source, Listing):
        return num_bytes(source)
    require_cpu(how.num_cpus)
    for fragment in source.fragments:
        probed, decoded_bytes = _probe(fragment, how.recipe(skips=split in given.skips))
        if probed and source.num_examples is not None:
            return decoded_bytes * source.num_examples // probed
        if probed:
            return (
                decoded_bytes * sum(fragment.num_bytes for fragment in source.fragments) // max(1, fragment.num_bytes)
            )
    return 0  # nothing can be read, or all is pruned


def _probe(fragment: Fragment, recipe: Recipe) -> tuple[int, int]:
    """The number of examples of a fragment, and their bytes once decoded; also shows at once what is wrong with it."""
    probing = ray.remote(num_cpus=1, max_retries=0)(_size_of).remote(fragment, recipe)
    try:
        size: tuple[int, int] = ray.get(probing)
    except ray.exceptions.RayError as error:
        raise as_data_error(error) from None
    return size


def _size_of(fragment: Fragment, recipe: Recipe) -> tuple[int, int]:
    columns = read_and_decode([fragment], recipe, None, is_remote=False)
    return (0, 0) if columns is None else (num_examples(columns), num_bytes(columns))


def _streams(total_bytes: int, train: Source, how: Preparation) -> bool:
    fits = total_bytes <= MATERIALIZED_SHARE * how.node_bytes
    if how.pipeline.mode == "streaming" or (how.pipeline.mode == "auto" and not fits and isinstance(train, Listing)):
        return True
    if not fits:
        raise DataError(
            f"Examples in memory may take half of the smallest node's object store, {how.node_bytes / 2 / GIB:.1f} "
            f"GiB, but these take {total_bytes / GIB:.1f} GiB; give them as Parquet files, which can be streamed "
            "(InputPipeline(mode='streaming')), or give the nodes more memory."
        )
    return False


def _require_numbers(train: Source) -> Listing:
    if isinstance(train, Listing) and train.num_examples is not None:
        return train
    given = f"{train.fragments[0].file.uri} does not" if isinstance(train, Listing) else "they lie in memory"
    raise DataError(
        "Streaming needs training examples in files that say how many they hold (Parquet, NumPy or images), but "
        f"{given}; write them as Parquet with `raytune-playbook preprocess`, or use InputPipeline(mode='materialized')."
    )


# ---------------------------------------------------------------------- the two modes


def _load(split: str, source: Source, how: Preparation, recipe: Recipe, *, sample: int | None = None) -> Loaded:
    # The test set is read to look for overlaps, and not for training (rule AD6).
    loading = how.store.load.remote(split, source, recipe, sample=sample, keeps=split != "test")
    return _answered(loading, Loaded)


Answer = TypeVar("Answer")


def _answered(pending: Any, kind: type[Answer]) -> Answer:
    try:
        answer = ray.get(pending)
    except ray.exceptions.RayError as error:
        raise as_data_error(error) from None
    if isinstance(answer, PlaybookError):
        raise answer
    if not isinstance(answer, kind):
        raise TypeError(f"the store answered with {type(answer).__name__}")
    return answer


def _streamed(given: Given, sizes: Mapping[str, int], how: Preparation) -> Examples:
    train, validation = _require_numbers(given.sources["train"]), given.sources["validation"]
    if sizes["validation"] > MATERIALIZED_SHARE * how.node_bytes:
        raise DataError(
            "Validation examples are kept in memory, in at most half of the smallest node's object store "
            f"({how.node_bytes / 2 / GIB:.1f} GiB), but take {sizes['validation'] / GIB:.1f} GiB; validate on fewer."
        )
    total = train.num_examples or 0
    window = min(how.pipeline.window_examples, total)
    window_bytes = sizes["train"] * window // max(1, total)
    recipe = how.recipe(keeps_number=True, num_cpus=max(1, how.num_cpus // max(1, how.num_gangs)))
    stream = Stream(train.fragments, recipe, window, window_bytes, is_remote=train.is_remote)
    chosen = sorted(permutation(len(train.fragments), 0)[:SAMPLED_FRAGMENTS])
    some = replace(train, fragments=tuple(train.fragments[number] for number in chosen), skipped=())
    loaded = {
        "train": _load("train", some, how, how.recipe(keeps_number=True), sample=MAX_TRAINING_SAMPLE),
        "validation": _load("validation", validation, how, how.recipe_of(given, "validation")),
    }
    record = _record("streaming", loaded, given, how, overlapping=None)
    changes = {
        "num_examples": record.num_examples | {"train": total},
        "num_bytes": record.num_bytes | {"train": sizes["train"]},
        "pipeline_cpus": recipe.num_cpus,
        "window_examples": window,
        "window_bytes": window_bytes,
        "stream_bytes": stream.memory_bytes,
        "skipped": (*train.skipped, *record.skipped),
    }
    return Examples(loaded, record.model_copy(update=changes), stream=stream)


def _divided(split: Split, given: Given, size: int, how: Preparation) -> Examples:
    if how.pipeline.mode == "streaming":
        raise DataError(
            "A Split divides examples in memory, but InputPipeline(mode='streaming') was asked for; write the splits "
            "apart with `raytune-playbook preprocess`, which divides them once."
        )
    _streams(size, {}, how)
    whole = _load("all", given.sources["all"], how, how.recipe_of(given, "all", hashes="read", key=split.key))
    examples = Examples(
        {"all": whole}, _record("materialized", {"all": whole}, given, how, overlapping=()), fractions=split.fractions
    )
    counted = {name: len(rows) for name, rows in (examples.rows(0) or {}).items()}
    return replace(examples, record=examples.record.model_copy(update={"num_examples": counted}))


def _record(
    mode: Literal["materialized", "streaming"],
    loaded: Mapping[str, Loaded],
    given: Given,
    how: Preparation,
    *,
    overlapping: Sequence[str] | None,
) -> ExamplesRecord:
    return ExamplesRecord(
        mode=mode,
        sources=dict(given.named),
        num_examples={split: each.num_examples for split, each in loaded.items()},
        num_bytes={split: each.num_bytes for split, each in loaded.items()},
        skipped=tuple(sentence for each in loaded.values() for sentence in each.skipped),
        overlaps=None if overlapping is None else tuple(overlapping),
        pipeline_cpus=how.num_cpus,
        read_s=sum(each.read_s for each in loaded.values()),
    )
