"""How a job file names the workload of another one: by its class and settings, or as that file's."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType

from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.errors import JobFileError
from raytune_playbook.procedures.propose.python_text import Node, call, literal
from raytune_playbook.procedures.propose.source import WorkloadSource
from raytune_playbook.submission.staging import code_folder


def workload_source(job: Job) -> WorkloadSource:
    """The workload of a job's round, for a job file beside it.

    Raises:
        JobFileError: only the job file has it, and no other file can import that.
    """
    workload = job.round.workload
    cls = type(workload)
    module = sys.modules.get(cls.__module__)
    where = _module_name(job) if module is job.module else cls.__module__
    is_there = module is not None and getattr(module, cls.__qualname__, None) is cls
    if is_there and _is_importable(where) and (node := _constructed(workload)) is not None:
        return WorkloadSource((f"from {where} import {cls.__name__}",), node, is_users=_is_users(module, job))
    name = next(name for name, value in vars(job.module).items() if value is job.round)
    # By its module, for a second round at the top of a job file would make two of them.
    where = _module_name(job)
    if _is_importable(where):
        return WorkloadSource((f"import {where}",), f"{where}.{name}.workload", is_users=True)
    imported = f"importlib.import_module({literal(where)})"  # as of `my-job.py`
    return WorkloadSource(("import importlib",), f"{imported}.{name}.workload", is_users=True)


def _constructed(workload: object) -> Node | None:
    """A call that makes an equal workload; None where none is found: what it holds cannot be written as source."""
    cls, holds = type(workload), vars(workload)
    settings: dict[str, Node] = {}
    try:
        parameters = inspect.signature(cls).parameters.values()
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            value = holds.get(parameter.name, parameter.default)
            if _is_equal(value, parameter.default):
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY or not isinstance(value, bool | int | float | str | None):
                return None
            settings[parameter.name] = literal(value)
        made = vars(cls(**{name: holds[name] for name in settings}))
    except Exception:  # noqa: BLE001 - its constructor is the user's code, and wants more than is known
        return None
    is_equal = made.keys() == holds.keys() and all(_is_equal(made[name], holds[name]) for name in made)
    return call(cls.__name__, (), settings) if is_equal else None


def _is_equal(one: object, other: object) -> bool:
    """Whether two values are of one type and surely equal: arrays and models are not compared."""
    return one is other or (type(one) is type(other) and (one == other) is True)


def _module_name(job: Job) -> str:
    """How a file beside the job file imports it."""
    if "." in job.path.stem:
        raise JobFileError(
            f"The next job file imports the workload of this one, but Python imports no file called {job.path.name!r}; "
            "copy it to a name without dots, write the changes into it by hand (--dry-run shows them), and rename its "
            "round."
        )
    package = code_folder(job.path)
    if not (package / "__init__.py").is_file():
        return job.path.stem
    return ".".join([package.name, *job.path.parent.relative_to(package).parts, job.path.stem])


def _is_importable(module: str) -> bool:
    return all(part.isidentifier() for part in module.split("."))


def _is_users(module: ModuleType | None, job: Job) -> bool:
    """Whether a module travels with the job."""
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(code_folder(job.path))
