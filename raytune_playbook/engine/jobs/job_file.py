"""Job files: finding the round that one defines.

A job file is an ordinary Python file that defines exactly one `Round`. It, and every module that it imports from its
own folder, travels to the workers by value inside the pickled workload, so that it need not be importable there. A file
that is part of a package is one of its modules, and may import others relatively. Imports of modules that travel must
stand at the top of their files: one inside a function runs on the worker, where the module is unknown.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from raytune_playbook.engine.jobs.to_workers import ship_by_value
from raytune_playbook.engine.jobs.users_code import users_code
from raytune_playbook.errors import JobFileError
from raytune_playbook.study.round import Round
from raytune_playbook.submission.staging import code_folder, require_job_file


@dataclass(frozen=True)
class Job:
    """A job file that was loaded.

    Fields:
        path: of the file.
        round: what it defines.
        module: the file as it was imported; in it the round has its name.
    """

    path: Path
    round: Round
    module: ModuleType


def load_job(path: str) -> Job:
    """Import a job file by its path.

    Raises:
        JobFileError: it is missing, fails to import, or does not define exactly one round.
        InputError: a rule that the round itself breaks.
    """
    require_job_file(Path(path))
    file = Path(path).expanduser().resolve()
    module = _import(file)
    rounds = {id(value): value for value in vars(module).values() if isinstance(value, Round)}
    if len(rounds) != 1:
        raise JobFileError(
            f"A job file defines exactly one Round at its top level, but {path!r} defines {len(rounds)}; "
            "keep one per file."
        )
    ship_by_value(code_folder(file))
    return Job(path=file, round=next(iter(rounds.values())), module=module)


def _import(file: Path) -> ModuleType:
    for folder in (code_folder(file).parent, file.parent):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))  # as `python job.py` would, for the helper modules beside it
    with _as_a_program(file), users_code(f"A job file must import without an error, but {file.name}", JobFileError):
        package = _package_of(file)
        spec = importlib.util.spec_from_file_location(f"{package}.{file.stem}" if package else f"job_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise JobFileError(
                f"A job is a Python file that defines a Round, but {str(file)!r} is not one; name the file."
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module
        spec.loader.exec_module(module)
    return module


def _package_of(file: Path) -> str:
    """The package that a job file is part of, imported, so that its relative imports work; empty without one."""
    outermost = code_folder(file)
    if not (outermost / "__init__.py").is_file():
        return ""
    name = ".".join((outermost.name, *file.parent.relative_to(outermost).parts))
    package = importlib.import_module(name)
    if file.parent not in [Path(folder).resolve() for folder in package.__path__]:
        raise JobFileError(
            f"A job file that is part of a package is imported as one of its modules, but {name!r} is another package "
            f"({', '.join(package.__path__)}); rename the folder {file.parent}."
        )
    return name


@contextlib.contextmanager
def _as_a_program(file: Path) -> Iterator[None]:
    """Without arguments, as `python job.py` is: ours are none of the job's, nor does argparse print a usage like ours.

    Raises:
        JobFileError: the file wants arguments.
    """

    def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise JobFileError(
            f"A job file is imported without arguments, but {file.name} asks for some (argparse: {message}); give them "
            "defaults, or parse them under `if __name__ == '__main__':`."
        )

    arguments, error = sys.argv, argparse.ArgumentParser.error
    sys.argv = [str(file)]
    argparse.ArgumentParser.error = refuse  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        sys.argv = arguments
        argparse.ArgumentParser.error = error  # type: ignore[method-assign]
