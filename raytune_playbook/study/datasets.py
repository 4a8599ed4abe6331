"""Examples as a workload gives them (arrays, `Files`, a `Split`), and how a round wants them to reach its workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, SupportsFloat, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import FrozenSpec

Columns: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
"""Examples by column; every array has the shape (num_examples, ...)."""

OnUnreadable: TypeAlias = Literal["refuse", "skip"]

SPLITS = ("train", "validation", "test")

DEFAULT_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Of a `Split` for which no share is given."""


@dataclass(frozen=True)
class Files:
    """Examples in files, read by Ray Data in parallel and in the order of their names.

    Args:
        uris: a path or URI, or several: files, folders (all files below them that have an ending of the format), or
            patterns in which ``*`` stands for any part of a name and ``**`` for any folders.
        format: ``"parquet"``; ``"csv"``; ``"numpy"`` (``.npz`` with one array per column, or ``.npy``, whose column is
            called ``data``); ``"images"`` (one example per file: ``image`` as height x width x channels, and ``path``).
            None to tell by the endings. `raytune_playbook.data.files.formats` lists them.
        columns: the only ones that are read (rule PI2: drop unused columns at the read); None for all.
        on_unreadable: ``"refuse"``, or ``"skip"`` files and row groups that cannot be read; the report counts them.

    Raises:
        SpecError: no name is given, or ``on_unreadable`` is neither of these.
    """

    uris: str | Sequence[str]
    format: str | None = None
    columns: Sequence[str] | None = None
    on_unreadable: OnUnreadable = "refuse"

    def __post_init__(self) -> None:
        is_one = isinstance(self.uris, str | os.PathLike)
        uris = _texts("Files.uris", self.uris)
        object.__setattr__(self, "uris", uris[0] if is_one else uris)
        if self.columns is not None:
            object.__setattr__(self, "columns", _texts("Files.columns", self.columns))
        _require_choice("Files.on_unreadable", self.on_unreadable, get_args(OnUnreadable))


def _texts(field: str, given: object) -> tuple[str, ...]:
    """One text or a list of texts, as a tuple; a `pathlib.Path` is as good as its text."""
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    texts = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in several]
    names = tuple(text for text in texts if isinstance(text, str) and text)
    if not names or len(names) < len(texts):
        raise SpecError(f"{field}: a name or a list of names is needed, but got {given!r}; correct it.")
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise SpecError(f"{field}: each name may come once, but {twice!r} comes twice; drop one.")
    return names


def _require_choice(field: str, given: object, choices: tuple[object, ...]) -> None:
    if given not in choices:
        raise SpecError(f"{field} must be one of {', '.join(map(repr, choices))}, but got {given!r}; correct it.")


@dataclass(frozen=True)
class Split:
    """One source of examples, divided into train, validation and test by a hash of each example.

    Equal examples share a split, and the order of the examples doesn't matter. The shares are as asked, up to half a
    group of equal examples; when others are added, only as many examples move as keep them so. The hyperparameter
    ``data_split`` asks for another division into train and validation (data sampling variance); the test set stays as
    it is (rule AD6).

    Args:
        source: arrays by column, an Arrow table, `Files`, a URI or a Ray Dataset.
        train, validation, test: their shares, which sum to one; 0.8, 0.1 and 0.1 where none of them is given, and where
            one is given those that are not are 0.
        key: the columns that make an example what it is, such as a patient's number; None for all.
        grows: whether examples will be added. Then each example's hash alone decides, so that none ever moves, least of
            all out of the test set; the shares are those asked for on average only, with binomial spread.

    Raises:
        SpecError: the shares are not positive (``test`` may be 0), or don't sum to one.
    """

    source: object
    train: float | None = None
    validation: float | None = None
    test: float | None = None
    key: Sequence[str] | None = None
    grows: bool = False

    def __post_init__(self) -> None:
        given = {split: getattr(self, split) for split in SPLITS}
        if all(share is None for share in given.values()):
            given = dict(DEFAULT_SHARES)
        shares = {split: 0.0 if share is None else share for split, share in given.items()}
        if not (
            all(map(_is_share, shares.values()))
            and abs(sum(shares.values()) - 1) < 1e-9
            and shares["train"]
            and shares["validation"]
        ):
            raise SpecError(
                "Split: shares of train and validation above zero, and of all three summing to one, are needed, but "
                f"got {shares['train']}, {shares['validation']} and {shares['test']}; give all three, since one that "
                "is left out beside others is 0."
            )
        for split, share in shares.items():
            object.__setattr__(self, split, share)
        if self.key is not None:
            object.__setattr__(self, "key", _texts("Split.key", self.key))

    @property
    def fractions(self) -> dict[str, float]:
        """The shares by split."""
        return {split: getattr(self, split) for split in SPLITS}


def _is_share(given: object) -> bool:
    return isinstance(given, SupportsFloat) and 0 <= float(given) <= 1  # false for NaN, too


class InputPipeline(FrozenSpec):
    """How training examples reach the workers.

    Fields:
        mode: ``"materialized"`` reads and decodes the examples once per session and keeps them in the object store, one
            copy per node; ``"streaming"`` reads them anew every epoch, window by window; ``"auto"`` materializes what
            takes at most half of the smallest node's object store.
        window_examples: of streaming: the files' order is shuffled, and then the examples within consecutive windows of
            so many. Larger windows shuffle better and take more memory.
    """

    mode: Literal["auto", "materialized", "streaming"] = "auto"
    window_examples: int = Field(default=65_536, gt=0)
