"""What a workload's `datasets` returned, looked at but not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import ray.data

from raytune_playbook.data.columns import Columns, from_arrow
from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.errors import SpecError
from raytune_playbook.study.datasets import SPLITS, Files, Split

Source: TypeAlias = Listing | Columns | ray.data.Dataset


def _require_splits(datasets: object) -> dict[str, object]:
    if not isinstance(datasets, Mapping):
        raise SpecError(
            "Workload.datasets must return a mapping of splits, or a Split of one source, but it returns "
            f"{type(datasets).__name__}; return {{'train': ..., 'validation': ...}}."
        )
    missing = [split for split in ("train", "validation") if split not in datasets]
    if missing:
        raise SpecError(
            f"Workload.datasets: 'train' and 'validation' are needed, but {missing[0]!r} is missing among "
            f"{sorted(datasets)}; return both, or a Split."
        )
    return {split: datasets[split] for split in SPLITS if split in datasets}


@dataclass(frozen=True)
class Given:
    """What a workload's `datasets` returned, looked at but not read.

    Fields:
        sources: by split; ``all`` for a `Split`.
        skips: the splits of which unreadable parts may be left out.
        named: how the records call the sources.
    """

    sources: Mapping[str, Source]
    skips: frozenset[str]
    named: Mapping[str, str]


def sources_of(datasets: object) -> Given:
    """Find out what is there.

    Raises:
        InputError: a split is missing, or is of a kind that cannot be read.
    """
    splits = {"all": datasets.source} if isinstance(datasets, Split) else _require_splits(datasets)
    files = {
        split: Files(str(source)) if isinstance(source, str | Path) else source for split, source in splits.items()
    }
    skips = {split for split, source in files.items() if isinstance(source, Files) and source.on_unreadable == "skip"}
    sources = {split: _source(split, source) for split, source in files.items()}
    return Given(sources, frozenset(skips), {split: _named(source) for split, source in files.items()})


def _source(split: str, source: object) -> Source:
    match source:
        case Files():
            return list_fragments(source)
        case ray.data.Dataset():
            return source
        case pa.Table():
            return from_arrow(source, repr(split))
        case Mapping():
            return {str(name): np.asarray(values) for name, values in source.items()}
    raise SpecError(
        f"Workload.datasets: {split!r} must be arrays by column, an Arrow table, Files, a URI or a Ray Dataset, but is "
        f"{type(source).__name__}; return one of these."
    )


def _named(source: object) -> str:
    match source:
        case Files():
            return source.uris if isinstance(source.uris, str) else ", ".join(source.uris)
        case ray.data.Dataset():
            return "a Ray Dataset"
        case pa.Table():
            return "an Arrow table"
    return "arrays"
