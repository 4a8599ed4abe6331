"""From what `Workload.datasets` returned to the source of each split's examples, looked at but not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import ray.data

from raytune_playbook.data.columns import Columns, as_column, from_arrow
from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.errors import SpecError
from raytune_playbook.study.datasets import SPLITS, Files, Split

Source: TypeAlias = Listing | Columns | ray.data.Dataset
"""What a split's examples come from: files that were listed, arrays by column, or a Ray Dataset."""


@dataclass(frozen=True)
class Sources:
    """Where each split's examples come from.

    Fields:
        by_split: ``all`` for a `Split`, which divides one source.
        skips: the splits of which unreadable parts may be left out.
        names: how the records call the sources, by split.
    """

    by_split: Mapping[str, Source]
    skips: frozenset[str]
    names: Mapping[str, str]


def find_sources(datasets: object) -> Sources:
    """Find out what is there: files are listed, and nothing is read.

    Args:
        datasets: what `Workload.datasets` returned.

    Raises:
        InputError: a split is missing, or is something that cannot be read.
    """
    given = {"all": datasets.source} if isinstance(datasets, Split) else _require_splits(datasets)
    skips = {split for split, each in given.items() if isinstance(each, Files) and each.on_unreadable == "skip"}
    by_split = {split: find_source(each, f"Workload.datasets: {split!r}", repr(split)) for split, each in given.items()}
    return Sources(by_split, frozenset(skips), {split: name_of(each) for split, each in given.items()})


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


def find_source(given: object, what: str, name: str) -> Source:
    """Find out what one source is: files are listed, and nothing is read.

    Args:
        what: was given, for messages.
        name: of the source, for messages about its examples.

    Raises:
        InputError: it is something that cannot be read.
    """
    match given:
        case str() | Path():
            return list_fragments(Files(str(given)))
        case Files():
            return list_fragments(given)
        case ray.data.Dataset():
            return given
        case pa.Table():
            return from_arrow(given, name)
        case Mapping():
            return {str(column): as_column(values) for column, values in given.items()}
    raise SpecError(
        f"{what} must be arrays by column, an Arrow table, Files, a URI or a Ray Dataset, but is "
        f"{type(given).__name__}; give one of these."
    )


def name_of(given: object) -> str:
    """How the records call a source."""
    match given:
        case str() | Path():
            return str(given)
        case Files():
            return given.uris if isinstance(given.uris, str) else ", ".join(given.uris)
        case ray.data.Dataset():
            return "a Ray Dataset"
        case pa.Table():
            return "an Arrow table"
    return "arrays"
