"""Job files: finding the round that one defines.

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

from raytune_playbook.engine.jobs.to_workers import code_folder, ship_by_value
from raytune_playbook.errors import InputError, JobFileError
from raytune_playbook.study.round import Round


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
