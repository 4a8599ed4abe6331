"""From what a workload's `datasets` returns to what a round's workers get their batches from.

`mode` says how one of the two modes is chosen; everything is checked before a gang starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import ray

from raytune_playbook.data.actors import answer, answer_or_error
from raytune_playbook.data.columns import Columns, Rows, num_bytes, num_examples
from raytune_playbook.data.datasets import Source, Sources, find_sources
from raytune_playbook.data.decode import HASH, Recipe, read_and_decode
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.preprocessed import Manifest
from raytune_playbook.data.materialized.store import Loaded, Loading, Saving, StoreHandle
from raytune_playbook.data.mode import Memory, Mode, chosen_mode, require_memory_for_validation
from raytune_playbook.data.not_finite import NotFinite
from raytune_playbook.data.order import permutation
from raytune_playbook.data.ray_data import require_cpu
from raytune_playbook.data.splits import Division, Hashes, division_by_hash, exact_division, overlaps
from raytune_playbook.data.streaming.read_ahead import Stream
from raytune_playbook.errors import DataError
from raytune_playbook.records.types import ExamplesRecord
from raytune_playbook.study.datasets import InputPipeline, Split

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
        is_exact: whether they are kept exactly.
        stream: the training examples where they are streamed.
        record: what stands in the round's records.
    """

    loaded: Mapping[str, Loaded]
    record: ExamplesRecord
    fractions: Mapping[str, float] | None = None
    is_exact: bool = False
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
        rows = division_of(hashes, self.fractions, data_split, is_exact=self.is_exact).rows(hashes)
        for split in ("train", "validation"):
            if not len(rows[split]):
                raise DataError(
                    f"Split: every split needs an example, but of {len(hashes)} none falls into {split!r} with "
                    f"data_split={data_split}; give it a larger share, or more examples."
                )
        return {split: rows[split] for split in ("train", "validation")}

    def not_finite(self) -> list[tuple[str, NotFinite]]:
        """A few examples of ``train`` and ``validation`` that hold NaN or infinities, each with its split.

        Of what is streamed only the fragments were looked at that the sample of training examples was drawn from.
        """
        found = [(split, each) for split, loaded in self.loaded.items() for each in loaded.not_finite]
        hashes = self.loaded["all"].hashes if self.fractions is not None else None
        if hashes is None or not found:
            return found
        rows = self.rows(0) or {}
        split_of = {example: split for split, of_split in rows.items() for example in hashes[of_split].tolist()}
        named = [(split_of.get(int(each.example[HASH][0])), each) for _, each in found]
        return [(split, each) for split, each in named if split is not None]  # those of the test set are not trained on


def division_name(split: Split) -> Literal["exact", "by hash"]:
    """How the records call the way in which a split divides."""
    return "by hash" if split.grows else "exact"


def division_of(hashes: Hashes, fractions: Mapping[str, float], number: int, *, is_exact: bool) -> Division:
    """How a `Split` divides the examples of these hashes."""
    return exact_division(hashes, fractions, number) if is_exact else division_by_hash(fractions, number)


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

    store: StoreHandle
    workload: bytes | None
    label: str | None
    num_cpus: int
    num_gangs: int
    node_bytes: int
    pipeline: InputPipeline = field(default_factory=InputPipeline)

    @property
    def recipe(self) -> Recipe:
        """What becomes of a part of the examples."""
        return Recipe(self.workload, self.label, num_cpus=self.num_cpus)

    def recipe_of(self, sources: Sources, split: str) -> Recipe:
        """The same for a split."""
        return replace(self.recipe, skips=split in sources.skips)

    @property
    def memory(self) -> Memory:
        """Where examples may be kept."""
        return Memory(self.node_bytes)


def prepare(datasets: object, how: Preparation) -> Examples:
    """Read and decode the examples, or find out how to stream them.

    Args:
        datasets: a mapping of ``train`` and ``validation`` (and ``test``) to arrays by column, Arrow tables, `Files`,
            URIs or Ray Datasets; or a `Split` of one of them.

    Raises:
        InputError: they cannot be read, preprocessed or trained on; the message names the place.
    """
    sources = find_sources(datasets)
    sizes = {split: _decoded_bytes(split, sources, how) for split in sources.by_split}
    if isinstance(datasets, Split):
        return _divided(datasets, sources, sizes["all"], how)
    can_stream = isinstance(sources.by_split["train"], Listing)
    if chosen_mode(how.pipeline.mode, sum(sizes.values()), how.memory, can_stream=can_stream) == "streaming":
        return _streamed(sources, sizes, how)
    loaded = {
        split: _load(how, Loading(split, source, replace(how.recipe_of(sources, split), hashes="decoded")))
        for split, source in sources.by_split.items()
    }
    hashes = {split: each.hashes for split, each in loaded.items() if each.hashes is not None}
    kept = {split: replace(loaded[split], hashes=None) for split in ("train", "validation")}
    overlapping = [overlap.sentence for overlap in overlaps(hashes)]
    return Examples(kept, _record("materialized", kept, sources, how, overlapping=overlapping))


def save(sources: Sources, how: Preparation, *, split: Split | None, storage: str, names: tuple[str, str]) -> Manifest:
    """Preprocess examples once and save them as Parquet files; see `raytune_playbook.data.materialized.preprocessed`.

    Args:
        split: what divides them; None where the splits were given.
        storage: folder or URI.
        names: of the workload, and the fingerprint under which they are saved.

    Raises:
        InputError: they cannot be read or preprocessed.
    """
    recipes = {
        name: replace(recipe, hashes="decoded") if split is None else replace(recipe, hashes="read", key=_key(split))
        for name, recipe in ((name, how.recipe_of(sources, name)) for name in sources.by_split)
    }
    fractions = None if split is None else split.fractions
    is_exact = split is not None and not split.grows
    return answer_or_error(how.store.save.remote(Saving(sources, recipes, fractions, is_exact, storage, *names)))


# ---------------------------------------------------------------------- how large it is


def _decoded_bytes(split: str, sources: Sources, how: Preparation) -> int:
    """How much memory a split takes once decoded, estimated from its first fragment where it lies in files."""
    source = sources.by_split[split]
    if isinstance(source, ray.data.Dataset):
        return 0  # only its execution tells
    if not isinstance(source, Listing):
        return num_bytes(source)
    require_cpu(how.num_cpus)
    for fragment in source.fragments:
        probed = _probe(fragment, how.recipe_of(sources, split))
        if probed.num_examples and source.num_examples is not None:
            return probed.num_bytes * source.num_examples // probed.num_examples
        if probed.num_examples:
            return probed.num_bytes * sum(each.num_bytes for each in source.fragments) // max(1, fragment.num_bytes)
    return 0  # nothing can be read, or all is pruned


@dataclass(frozen=True)
class _Decoded:
    """A fragment's size once decoded."""

    num_examples: int
    num_bytes: int


def _probe(fragment: Fragment, recipe: Recipe) -> _Decoded:
    """Decode one fragment, which also shows at once what is wrong with it."""
    return answer(ray.remote(num_cpus=1, max_retries=0)(_decoded_size).remote(fragment, recipe))


def _decoded_size(fragment: Fragment, recipe: Recipe) -> _Decoded:
    columns = read_and_decode([fragment], recipe, None, is_remote=False)
    return _Decoded(0, 0) if columns is None else _Decoded(num_examples(columns), num_bytes(columns))


def _require_numbers(train: Source) -> Listing:
    if isinstance(train, Listing) and train.num_examples is not None:
        return train
    given = f"{train.fragments[0].file.uri} does not" if isinstance(train, Listing) else "they lie in memory"
    raise DataError(
        "Streaming needs training examples in files that say how many they hold (Parquet, NumPy or images), but "
        f"{given}; write them as Parquet with `raytune-playbook preprocess`, or use InputPipeline(mode='materialized')."
    )


# ---------------------------------------------------------------------- the two modes


def _load(how: Preparation, loading: Loading) -> Loaded:
    # The test set is read to look for overlaps, and not for training (rule AD6).
    return answer_or_error(how.store.load.remote(replace(loading, keeps=loading.split != "test")))


def _streamed(sources: Sources, sizes: Mapping[str, int], how: Preparation) -> Examples:
    train = _require_numbers(sources.by_split["train"])
    require_memory_for_validation(sizes["validation"], how.memory)
    total = train.num_examples or 0
    window = min(how.pipeline.window_examples, total)
    window_bytes = sizes["train"] * window // max(1, total)
    recipe = replace(how.recipe, keeps_number=True)
    num_cpus = max(1, how.num_cpus // max(1, how.num_gangs))
    stream = Stream(
        train.fragments, replace(recipe, num_cpus=num_cpus), window, window_bytes, is_remote=train.is_remote
    )
    chosen = sorted(permutation(len(train.fragments), 0)[:SAMPLED_FRAGMENTS])
    some = replace(train, fragments=tuple(train.fragments[number] for number in chosen), skipped=())
    validation = Loading("validation", sources.by_split["validation"], how.recipe_of(sources, "validation"))
    loaded = {
        "train": _load(how, Loading("train", some, recipe, sample=MAX_TRAINING_SAMPLE)),
        "validation": _load(how, validation),
    }
    record = _record("streaming", loaded, sources, how, overlapping=None)
    changes = {
        "num_examples": record.num_examples | {"train": total},
        "num_bytes": record.num_bytes | {"train": sizes["train"]},
        "pipeline_cpus": num_cpus,
        "window_examples": window,
        "window_bytes": window_bytes,
        "stream_bytes": stream.memory_bytes,
        "skipped": (*train.skipped, *record.skipped),
    }
    return Examples(loaded, record.model_copy(update=changes), stream=stream)


def _divided(split: Split, sources: Sources, size: int, how: Preparation) -> Examples:
    if how.pipeline.mode == "streaming":
        raise DataError(
            "A Split divides examples in memory, but InputPipeline(mode='streaming') was asked for; write the splits "
            "apart with `raytune-playbook preprocess`, which divides them once."
        )
    chosen_mode(how.pipeline.mode, size, how.memory, can_stream=False)  # refuses what memory does not hold
    recipe = replace(how.recipe_of(sources, "all"), hashes="read", key=_key(split))
    whole = _load(how, Loading("all", sources.by_split["all"], recipe))
    record = _record("materialized", {"all": whole}, sources, how, overlapping=())
    examples = Examples({"all": whole}, record, fractions=split.fractions, is_exact=not split.grows)
    counted = {name: len(rows) for name, rows in (examples.rows(0) or {}).items()}
    update = {"num_examples": counted, "division": division_name(split)}
    return replace(examples, record=record.model_copy(update=update))


def _key(split: Split) -> tuple[str, ...] | None:
    return None if split.key is None else tuple(split.key)


def _record(
    mode: Mode,
    loaded: Mapping[str, Loaded],
    sources: Sources,
    how: Preparation,
    *,
    overlapping: Sequence[str] | None,
) -> ExamplesRecord:
    return ExamplesRecord(
        mode=mode,
        sources=dict(sources.names),
        num_examples={split: each.num_examples for split, each in loaded.items()},
        num_bytes={split: each.num_bytes for split, each in loaded.items()},
        columns=dict(next(iter(loaded.values())).types),
        skipped=tuple(sentence for each in loaded.values() for sentence in each.skipped),
        overlaps=None if overlapping is None else tuple(overlapping),
        pipeline_cpus=how.num_cpus,
        read_s=sum(each.read_s for each in loaded.values()),
    )
