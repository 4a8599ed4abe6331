"""What travels to the workers: the workload, and by value the code that it needs and that no node has installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import ray.cloudpickle as cloudpickle

from raytune_playbook.errors import JobFileError
from raytune_playbook.train.workload import Workload

MAX_SHIPPED_MIB = 10.0
"""A workload with its code is settings and source; larger ones carry data that belongs into `Workload.datasets`."""


def code_folder(file: Path) -> Path:
    """The folder whose modules travel with a file: its own, or that of the outermost package which it is part of."""
    folder = file.parent
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


def ship_by_value(folder: Path) -> None:
    """Have all loaded modules from a folder pickled by value."""
    for module, file in _modules_with_files():
        installed = "site-packages" in file or module.__name__.split(".")[0] == "raytune_playbook"
        if not installed and Path(file).resolve().is_relative_to(folder):
            cloudpickle.register_pickle_by_value(module)


def _modules_with_files() -> Iterator[tuple[ModuleType, str]]:
    """What was loaded from a file; `sys.modules` may hold anything else beside it, as Cython's extensions do."""
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):  # `isinstance` believes what cffi's libraries say of themselves
            # Past the module's own attribute access, which may import more, or raise, where it is lazy.
            facts = ModuleType.__getattribute__(module, "__dict__")
            file = facts.get("__file__")
            if isinstance(file, str) and facts.get("__name__") == name:
                yield module, file


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
