"""``raytune-playbook new JOB``: a job file to start from, which runs as it is (rules ST1, ST3 and ST5)."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Literal, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined

from raytune_playbook.errors import JobFileError, SpecError
from raytune_playbook.procedures.new.look import (
    Look,
    Task,
    look_at_arrays,
    look_at_dataset,
    look_at_files,
    makes_dataset,
)

Kind: TypeAlias = Literal["bundled", "arrays", "files", "torch-dataset"]

KINDS: tuple[Kind, ...] = ("bundled", "arrays", "files", "torch-dataset")

TASKS: tuple[Task, ...] = ("classification", "regression")

_NAMES = ("Budget", "Discrete", "Files", "Float", "Objective", "Resources", "Round", "Split", "Workload")

_BUNDLED: dict[Task, tuple[str, Look, str]] = {
    "classification": (
        "load_digits",
        Look((), "label", 64, tuple(range(10))),
        "a validation error of 2 to 6%, by chance 90%",
    ),
    "regression": (
        "load_diabetes",
        Look((), "label", 10, None, mean=152.133, std=77.0057),
        "a validation error (the mean absolute one) of about 45, by chance about 66",
    ),
}
"""scikit-learn's handwritten digits, and its diabetes."""


def new(
    path: str | Path,
    *,
    data: str | None = None,
    source: str | None = None,
    task: str | None = None,
    label: str | None = None,
) -> Path:
    """Write a job file to start from: it runs as it is, and says at each place what to change.

    Args:
        path: of the file, which must not be there yet.
        data: ``bundled`` (scikit-learn's digits or diabetes), ``arrays``, ``files`` or ``torch-dataset``; None for
            what the source is, and bundled without one.
        source: an ``.npz`` file of arrays; a path, URI or pattern of files; or ``module:attribute`` of a Dataset.
        task: None to tell by the labels.
        label: the column that holds the labels; None for one of a usual name, such as ``label`` or ``target``.

    Returns:
        The file.

    Raises:
        InputError: it is there already, or cannot be written; or the data cannot be read. Nothing was written.
    """
    file = new_file(path)
    data = data or kind_of(source)
    kind = next((each for each in KINDS if each == data), None)
    of_task = next((each for each in TASKS if each == task), None)
    if kind is None or of_task != task:
        raise SpecError(
            f"data is one of {', '.join(KINDS)} and task one of {', '.join(TASKS)}, but got {data!r} and {task!r}; "
            "name one of them."
        )
    if (source is None) != (data == "bundled"):
        what = f"needs none, but got {source!r}; drop one" if data == "bundled" else "needs one; say where the data are"
        raise SpecError(f"--source: --data {data} {what} (see raytune-playbook new --help).")
    text = _text(file, kind, source, of_task, label)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise JobFileError(f"The job must be written, but {str(path)!r} cannot be ({error}); name another.") from None
    return file


def new_file(path: str | Path) -> Path:
    """Where a new job is to be written.

    Raises:
        JobFileError: it cannot be there, or something is there already.
    """
    file = Path(path).expanduser()
    if file.suffix != ".py":
        raise JobFileError(f"A job is a Python file, but got {str(path)!r}; name one that ends in .py.")
    if not file.parent.is_dir():
        raise JobFileError(
            f"A job is written into a folder that is there, but there is no {str(file.parent)!r}; make it first: "
            f"{shlex.join(['mkdir', '-p', str(file.parent)])}"
        )
    if file.exists():
        raise JobFileError(f"A new job must not replace a file, but {str(path)!r} is there already; name another.")
    return file


def kind_of(source: str | None) -> Kind:
    """The kind of data that a source is: an ``.npz`` file holds arrays, ``module:attribute`` names a Dataset."""
    if source is None:
        return "bundled"
    if "://" not in source and source.lower().endswith(".npz"):
        return "arrays"
    is_named = re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", source) is not None
    return "torch-dataset" if is_named and not Path(source).exists() else "files"


def data_text(data: str | None, source: str | None, task: str | None) -> str:
    """Which data a job reads, for a sentence about it."""
    kind = data or kind_of(source)
    if kind == "bundled":
        bundled = _BUNDLED[next((each for each in TASKS if each == task), "classification")][0]
        return f"scikit-learn's bundled {bundled.removeprefix('load_')}; --data and --source name your own"
    return {"arrays": "the arrays in", "files": "the files", "torch-dataset": "the Dataset"}[kind] + f" {source}"


def _text(file: Path, data: Kind, source: str | None, task: Task | None, label: str | None) -> str:
    bundled, module, attribute = "", "", ""
    expected = "the better width's best trial is clearly better than chance, as check-initial shows first"
    if data == "bundled" or source is None:
        bundled, look, expected = _BUNDLED[task or "classification"]
    elif data == "torch-dataset":
        look = look_at_dataset(source, task)
        module, _, attribute = source.partition(":")
    else:
        source = source if "://" in source else str(Path(source).expanduser().absolute())
        look = (look_at_arrays if data == "arrays" else look_at_files)(source, label, task)
    name = re.sub(r"[^A-Za-z0-9]+", "_", file.stem).strip("_") or "job"
    is_regression = look.classes is None
    templates = Environment(
        loader=PackageLoader("raytune_playbook.procedures.new", "."),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("job.py.j2").render(
        kind=data,
        file=shlex.quote(file.name),
        names=", ".join(name for name in _NAMES if data == "files" or name != "Files"),
        name=name,
        goal="Does a wider network do better?",
        machine="2 CPU cores, no GPU; about a minute" if bundled else "see what check-initial says of its time",
        expected=expected,
        bundled=bundled,
        module=module,
        attribute=attribute,
        is_function=bool(module) and _is_function(module, attribute),
        look=look,
        classes=_classes_text(look),
        inputs=list(look.inputs) if data in ("arrays", "files") and not look.is_image else None,
        source=repr(source),
        label=repr(look.label),
        numbered=lambda expression: _numbered(expression, look),
        workload="".join(part.capitalize() for part in name.split("_")) + "Workload",
        learning_rate=0.01,
        low=0.001 if is_regression else 0.005,
        high=0.1 if is_regression else 0.5,
        batch_size=32 if is_regression else 64,
        steps=200,
        interval=20,
    )


def _classes_text(look: Look) -> str | None:
    if look.classes is None:
        return None
    return f"list(range({len(look.classes)}))" if look.are_indices else repr(list(look.classes))


def _numbered(expression: str, look: Look) -> str:
    """Labels as a loss takes them."""
    if look.classes is None:
        return f"{expression}.astype(np.float32)"
    if look.are_indices:
        return f"{expression}.astype(np.int64)"
    return f"np.searchsorted(CLASSES, {expression})"  # they are in order


def _is_function(module: str, attribute: str) -> bool:
    return makes_dataset(getattr(importlib.import_module(module), attribute))
