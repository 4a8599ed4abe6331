"""What travels with a submitted job: its own Python files, and on request this package's source.

A job file may sit in a folder that holds gigabytes, so nothing is shipped by accident: the Python files beside the job
file, the Python files of the package folders beside it, those of the package that it is part of, and nothing else. They
are copied into an empty folder first, because Ray uploads a folder whole and leaves out what a `.gitignore` names.
"""

from __future__ import annotations

import ast
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from raytune_playbook.errors import JobFileError, SubmissionError

__all__ = [
    "MAX_SHIPPED_BYTES",
    "code_folder",
    "require_job_file",
    "require_python",
    "stage_job",
    "stage_package",
    "staged_name",
]

MAX_SHIPPED_BYTES = 10_000_000
"""The most bytes that may travel with one job, and the most that the package's own source may take."""

_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


def require_job_file(path: Path) -> None:
    """Refuse what can be no job.

    Raises:
        JobFileError: there is no such Python file.
    """
    if path.suffix != ".py" or not path.expanduser().is_file():
        raise JobFileError(f"A job is a Python file that defines a Round, but {str(path)!r} is not one; name the file.")


def require_python(path: Path) -> None:
    """Refuse a job file that Python could not even begin to run; nothing of it runs, for its packages may be elsewhere.

    Raises:
        JobFileError: it is no Python, there is nothing in it, or it cannot be read.
    """
    rule = f"A job is a Python file that defines a Round, but {str(path)!r}"
    try:
        with warnings.catch_warnings(action="ignore"):  # of doubtful escapes, which the run says itself
            parsed = ast.parse(path.expanduser().read_bytes(), str(path))
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        raise JobFileError(f"{rule} is no valid Python: {error.msg}{where}; correct it.") from None
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes; what is nested too deeply
        raise JobFileError(f"{rule} is no valid Python ({type(error).__name__}); correct it.") from None
    except OSError as error:
        raise JobFileError(f"{rule} cannot be read ({error.strerror}); allow access.") from None
    if not any(isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in ast.walk(parsed)):
        raise JobFileError(f"{rule} imports nothing, and so defines none; write one (`raytune-playbook new JOB.py`).")


def code_folder(file: Path) -> Path:
    """The folder whose modules travel with a file: its own, or that of the outermost package which it is part of."""
    folder = file.parent
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


def staged_name(job_path: Path) -> Path:
    """How a staged job file is called: its name alone, or its path from the folder of the package it is part of.

    A job file that is a link keeps the name it was given, whatever its target is called.
    """
    home = job_path.expanduser().resolve().parent
    return (home / job_path.name).relative_to(_root(home))


def _root(home: Path) -> Path:
    """The folder from which the paths of a job's staged files begin; the job lies in ``home``."""
    source = code_folder(home / "job.py")
    return source.parent if (source / "__init__.py").is_file() else home


def stage_job(job_path: Path, folder: Path, *, max_bytes: int = MAX_SHIPPED_BYTES) -> str:
    """Copies a job file and its helper modules into `folder`.

    Args:
        job_path: The job file. Its siblings `*.py` and sibling packages (folders with an `__init__.py`) come along, and
            all of the package that it is part of.
        folder: An existing, empty folder.
        max_bytes: The most bytes to copy.

    Returns:
        The job file's path relative to `folder`.

    Raises:
        JobFileError: There is no such Python file.
        SubmissionError: The files are larger than `max_bytes` together.
    """
    require_job_file(job_path)
    job_path = job_path.expanduser()
    home = job_path.resolve().parent
    source, name = code_folder(home / job_path.name), staged_name(job_path)
    _copy(
        iter(dict.fromkeys([*_python_files(source), *_python_files(home)])),
        _root(home),
        folder,
        max_bytes,
        too_large=(
            f"The Python files that travel with a job may hold {max_bytes:,} bytes, but those of {source} hold more; "
            "move the job file and its helper modules to a folder of their own."
        ),
    )
    shutil.copyfile(job_path, folder / name)
    return str(name)


def stage_package(folder: Path, *, max_bytes: int = MAX_SHIPPED_BYTES) -> Path:
    """Copies this package's source into `folder`.

    Returns:
        The copied package's folder, whose name is the package's.

    Raises:
        SubmissionError: The package is larger than `max_bytes`.
    """
    target = folder / _PACKAGE_FOLDER.name
    target.mkdir()
    _copy(
        _all_files(_PACKAGE_FOLDER),
        _PACKAGE_FOLDER,
        target,
        max_bytes,
        too_large=(
            f"The package's source may hold {max_bytes:,} bytes to travel with a job, but {_PACKAGE_FOLDER} holds "
            "more; install the package on the cluster and submit without shipping it."
        ),
    )
    return target


def _python_files(folder: Path) -> Iterator[Path]:
    """The Python files of a folder and of the packages in it, in a fixed order; links to folders are not followed."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file():
            if path.suffix == ".py":
                yield path
        elif (path / "__init__.py").is_file() and not path.is_symlink():
            yield from _python_files(path)


def _all_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is neither hidden nor compiled, in a fixed order."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _all_files(path)
        elif path.is_file():
            yield path


def _copy(files: Iterator[Path], source: Path, target: Path, max_bytes: int, *, too_large: str) -> None:
    """Copies files with their relative paths; raises `SubmissionError(too_large)` before the byte past `max_bytes`."""
    num_bytes = 0
    for path in files:
        num_bytes += path.stat().st_size
        if num_bytes > max_bytes:
            raise SubmissionError(too_large)
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
