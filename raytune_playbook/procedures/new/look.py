"""A look at examples, for what a job file must know of them: how many numbers one has, and which labels there are."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from raytune_playbook.data.columns import Columns, concatenated, num_examples
from raytune_playbook.data.datasets import find_source
from raytune_playbook.data.files.find import DAMAGED
from raytune_playbook.data.files.formats import FORMATS
from raytune_playbook.data.materialized.parts import parts_of
from raytune_playbook.errors import DataError, PlaybookError, SpecError
from raytune_playbook.procedures.new import USUAL_LABELS, usual_labels_text
from raytune_playbook.study.datasets import Files

Task: TypeAlias = Literal["classification", "regression"]

Array: TypeAlias = npt.NDArray[np.generic]

MOST_EXAMPLES = 50_000
"""So many are looked at."""

MOST_CLASSES = 1000
"""More different labels than this are no classes."""


@dataclass(frozen=True)
class Look:
    """What a job file must know of its examples.

    Fields:
        inputs: the columns that a model is given; of a torch Dataset none.
        label: the column of labels; for images empty, whose labels are the names of their folders.
        num_inputs: numbers that an example has.
        classes: the labels in order; None for a regression.
        mean, std: of the numbers to predict.
        is_image: whether they are images, whose pixels go from 0 to 255.
    """

    inputs: tuple[str, ...]
    label: str
    num_inputs: int
    classes: tuple[str | int, ...] | None = None
    mean: float = 0.0
    std: float = 1.0
    is_image: bool = False

    @property
    def are_indices(self) -> bool:
        """Whether the labels are 0, 1, 2, ..., as a loss takes them."""
        return self.classes == tuple(range(len(self.classes or ())))


def look_at_arrays(source: str, label: str | None, task: Task | None) -> Look:
    """Of an ``.npz`` file with an array per column.

    Raises:
        InputError: it cannot be read, or does not tell which column holds the labels.
    """
    try:
        with np.load(source, allow_pickle=False) as arrays:
            columns = {name: arrays[name][:MOST_EXAMPLES] for name in arrays.files}
    except (*DAMAGED, AttributeError) as error:
        raise DataError(
            f"--source: arrays are read from an .npz file with one array per column, but {_why_none(source, error)}."
        ) from None
    if not columns:
        raise DataError(f"--source: arrays are needed, but {source!r} holds none; name another file.")
    lengths = {name: len(array) if array.ndim else 0 for name, array in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"--source: arrays must have one entry per example, but {source!r} has {lengths}; mend it.")
    return _look(columns, label, task)


def _why_none(source: str, error: Exception) -> str:
    """Why a file holds no arrays, and what to do."""
    form = next((each.name for each in FORMATS.values() if source.lower().endswith(each.endings)), None)
    if form not in (None, "numpy"):
        what = "an image" if form == "images" else "a table"
        return f"{source!r} is {what}, which --data files reads"
    if Path(source).is_dir():
        return f"{source!r} is a folder; name a file in it, or read all of them with --data files"
    if not Path(source).exists():
        return f"there is no {source!r}; correct the path"
    if source.endswith(".npy"):
        return f"{source!r} holds a single one; numpy.savez(file, input=..., label=...) writes more"
    return f"{source!r} is none ({_said(error)}); numpy.savez(file, input=..., label=...) writes one"


def look_at_files(source: str, label: str | None, task: Task | None) -> Look:
    """Of files, or a folder or pattern of them; raises as `look_at_arrays` does."""
    found = find_source(Files(source), "train", "the data")
    blocks, number = list[Columns](), 0
    for part in parts_of("the data", found):
        blocks.append(block := part.read())  # as it is: text is for the job's `preprocess`
        number += num_examples(block)
        if number >= MOST_EXAMPLES:
            break
    if not number:
        raise DataError(f"--source: examples are needed, but {source!r} holds none; name other files.")
    columns = concatenated(blocks)
    if {"image", "path"} <= columns.keys() and label is None:
        return _look_at_images(columns)
    return _look(columns, label, task)


def look_at_dataset(source: str, task: Task | None) -> Look:
    """Of a torch ``Dataset`` at ``module:attribute``, whose examples are (input, label); raises as the others do."""
    dataset = dataset_at(source)
    try:
        number = min(len(dataset), MOST_EXAMPLES)
        examples = [dataset[place] for place in range(number)]
    except Exception as error:  # whatever the user's code raises
        raise DataError(
            f"--source: a Dataset with a length and numbered examples is needed, but that of {source} raises "
            f"{_said(error)}; mend it, or give another."
        ) from error
    other = next((each for each in examples if not (isinstance(each, tuple | list) and len(each) == 2)), None)
    if not number or other is not None:
        what = f"a {type(other).__name__}" if number else "nothing"
        raise DataError(f"--source: examples of a Dataset must be (input, label), but {source} holds {what}; wrap it.")
    try:
        inputs, labels = (np.stack([np.asarray(part) for part in parts]) for parts in zip(*examples, strict=True))
    except Exception as error:
        raise DataError(
            f"--source: inputs of a Dataset, and labels, must become arrays of one shape, but those of {source} do not "
            f"({_said(error)}); convert them, such as to tensors of one size."
        ) from error
    return _look({"input": inputs, "label": labels}, "label", task)


def dataset_at(source: str) -> Sequence[object]:
    """What ``module:attribute`` names: a Dataset, or a function or class that makes one without arguments.

    Raises:
        SpecError: there is none.
    """
    module, _, attribute = source.partition(":")
    if not module or not attribute:
        raise SpecError(f"--source: a Dataset is named as module:attribute, but got {source!r}; correct it.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except PlaybookError:
        raise
    except (Exception, SystemExit) as error:
        raise SpecError(f"--source: {source!r} must name a Dataset, but raises {_said(error)}; correct it.") from error
    if makes_dataset(found):
        try:
            found = found()
        except PlaybookError:
            raise
        except (Exception, SystemExit) as error:
            raise SpecError(
                f"--source: {source} must make a Dataset without arguments, but raises {_said(error)}; name a Dataset, "
                "or a function without arguments that returns one."
            ) from error
    if not (hasattr(found, "__getitem__") and hasattr(found, "__len__")):
        what = f"a class ({found.__name__})" if isinstance(found, type) else f"a {type(found).__name__}"
        raise SpecError(
            f"--source: a Dataset with a length and numbered examples is needed, but {source} is {what}; "
            "give another, or a function without arguments that returns one."
        )
    dataset: Sequence[object] = found
    return dataset


def makes_dataset(found: object) -> bool:
    """Whether what ``module:attribute`` names is called for its Dataset: it is a function or a class."""
    return isinstance(found, type) or (callable(found) and not hasattr(found, "__getitem__"))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")


# ---------------------------------------------------------------------- columns


def _look(columns: Mapping[str, Array], label: str | None, task: Task | None) -> Look:
    name = _label_of(columns, label)
    inputs = tuple(each for each, column in columns.items() if each != name and column.dtype.kind in "biuf")
    if not inputs:
        raise DataError(f"--source: columns of numbers beside {name!r} are needed, but got {list(columns)}; add some.")
    num_inputs = sum(math.prod(columns[each].shape[1:]) for each in inputs)
    labels = columns[name]
    if labels.ndim != 1:
        raise DataError(f"--label: one label per example is needed, but {name!r} is {labels.shape}; name another.")
    if missing := _num_missing(labels):
        raise DataError(f"--label: each example needs a label, but {name!r} lacks {missing:,}; leave those out.")
    if (task or _task_of(labels)) == "regression":
        if labels.dtype.kind not in "biuf":
            raise DataError(f"--task regression: {name!r} must hold numbers, but holds text; choose classification.")
        numbers = labels.astype(np.float64)
        return Look(inputs, name, num_inputs, mean=_short(numbers.mean()), std=_short(numbers.std()) or 1.0)
    classes = _classes_of(labels, name)
    return Look(inputs, name, num_inputs, classes)


def _look_at_images(columns: Columns) -> Look:
    folders = sorted({Path(str(path)).parent.name for path in columns["path"]})
    if len(folders) < 2:
        raise DataError(
            "--source: an image's label is the name of its folder, but all of these are in one "
            f"({', '.join(folders)}); put each class into a folder of its own."
        )
    return Look(("image",), "", math.prod(columns["image"].shape[1:]), tuple(folders), is_image=True)


def _label_of(columns: Iterable[str], label: str | None) -> str:
    names = list(columns)
    found = label if label is not None else next((name for name in USUAL_LABELS if name in names), None)
    if found not in names or found is None:
        given = f"{found!r} is none" if found is not None else f"none of them is called {usual_labels_text()}"
        raise DataError(f"--label: a column of {', '.join(names)} holds the labels, but {given}; name it.")
    return found


def _num_missing(labels: Array) -> int:
    """Labels that are none, as in a table's empty cells."""
    if labels.dtype.kind in "OUS":
        return sum(label is None or len(str(label)) == 0 for label in labels)
    return int(np.sum(~np.isfinite(labels))) if labels.dtype.kind == "f" else 0


def _task_of(labels: Array) -> Task:
    is_whole = labels.dtype.kind in "biuUSO" or bool(np.all(np.mod(labels.astype(np.float64), 1) == 0))
    return "classification" if is_whole and len(np.unique(labels)) <= MOST_CLASSES // 10 else "regression"


def _classes_of(labels: Array, name: str) -> tuple[str | int, ...]:
    different = np.unique(labels)
    if not 2 <= len(different) <= MOST_CLASSES:
        raise DataError(
            f"--task classification: from 2 to {MOST_CLASSES} classes are needed, but {name!r} holds "
            f"{len(different)} different labels; choose regression, or another column."
        )
    return tuple(str(each) if different.dtype.kind in "USO" else int(each) for each in different)


def _short(number: float) -> float:
    return float(f"{number:.6g}")
