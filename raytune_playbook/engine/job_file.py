"""Job files: finding the round that one defines, and shipping its code to the workers.

A job file is an ordinary Python file that defines exactly one `Round`. It, and every module that it imports from its
own folder, travels to the workers by value inside the pickled workload, so that it need not be importable there.
Imports of such modules must stand at the top of their files: one inside a function runs on the worker, where the module
is unknown.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import ray.cloudpickle as cloudpickle

from raytune_playbook.errors import InputError, JobFileError
from raytune_playbook.study.round import Round
from raytune_playbook.train.workload import Workload

MAX_SHIPPED_MIB = 10.0
"""A workload with its code is settings and source; larger ones carry data that belongs into `Workload.datasets`."""


@dataclass(frozen=True)
class Job:
    """A job file that was loaded.

    Fields:
        path: of the file.
        round: what it defines.
    """

    path: Path
    round: Round


def load_job(path: str) -> Job:
    """Import a job file by its path.

    Raises:
        JobFileError: it is missing, fails to import, or does not define exactly one round.
        InputError: a rule that the round itself breaks.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file() or file.suffix != ".py":
        raise JobFileError(f"A job is a Python file that defines a Round, but {path!r} is not one; name the file.")
    module = _import(file)
    rounds = {id(value): value for value in vars(module).values() if isinstance(value, Round)}
    if len(rounds) != 1:
        raise JobFileError(
            f"A job file defines exactly one Round at its top level, but {path!r} defines {len(rounds)}; "
            "keep one per file."
        )
    ship_by_value(code_folder(file))
    return Job(path=file, round=next(iter(rounds.values())))


def _import(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise JobFileError(f"A job is a Python file that defines a Round, but {str(file)!r} is not one; name the file.")
    module = importlib.util.module_from_spec(spec)
    for folder in (code_folder(file).parent, file.parent):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))  # as `python job.py` would, for the helper modules beside it
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the user's file raises becomes one sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise JobFileError(
            f"A job file must import without an error, but {file.name} raises {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno}); correct it."
        ) from None
    return module


def code_folder(file: Path) -> Path:
    """The folder whose modules travel with a file: its own, or that of the outermost package which it is part of."""
    folder = file.parent
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


def ship_by_value(folder: Path) -> None:
    """Have all loaded modules from a folder pickled by value."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        installed = "site-packages" in str(file) or module.__name__.split(".")[0] == "raytune_playbook"
        if file and not installed and Path(file).resolve().is_relative_to(folder):
            cloudpickle.register_pickle_by_value(module)


def pack(workload: Workload) -> bytes:
    """The workload and its code, as bytes that any worker can load.

    Raises:
        JobFileError: it cannot be pickled, or is larger than `MAX_SHIPPED_MIB`.
    """
    module = sys.modules.get(type(workload).__module__)
    file = getattr(module, "__file__", None)
    if file and module and module.__name__ != "__main__":
        ship_by_value(code_folder(Path(file).resolve()))
    try:
        content: bytes = cloudpickle.dumps(workload)
    except Exception as error:  # noqa: BLE001 - pickling runs the user's code
        raise JobFileError(
            f"A workload is pickled to reach the workers, but {type(workload).__name__} cannot be "
            f"({type(error).__name__}: {error}); keep locks, handles and open files out of it."
        ) from None
    if len(content) > MAX_SHIPPED_MIB * 2**20:
        raise JobFileError(
            f"A workload with its code may take {MAX_SHIPPED_MIB:g} MiB, but {type(workload).__name__} takes "
            f"{len(content) / 2**20:.1f} MiB; load data in Workload.datasets instead of holding it."
        )
    return content
