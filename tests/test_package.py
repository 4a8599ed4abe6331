"""The package's public face."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import raytune_playbook


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_neither_ray_nor_torch():
    program = """
import sys
import raytune_playbook
from raytune_playbook import Budget, Categorical, Float, Infeasible, Objective, Resources, Round
print(sorted({"ray", "torch", "pyarrow", "sklearn"} & set(sys.modules)))
"""
    assert printed(program) == "[]"


def test_records_analysis_and_report_are_read_without_ray_and_torch():
    program = """
import importlib, pkgutil, sys
import raytune_playbook
for room in ("study", "records", "analysis", "report", "search"):
    package = importlib.import_module(f"raytune_playbook.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
print(sorted({"ray", "torch"} & set(sys.modules)))
"""
    assert printed(program) == "[]"


def test_all_is_sorted_and_every_name_resolves():
    names = raytune_playbook.__all__
    assert names == sorted(set(names))
    assert all(getattr(raytune_playbook, name) is not None for name in names)
    # Nothing public stands outside of it but modules of the package.
    found = {name for name in vars(raytune_playbook) if not name.startswith("_")} - set(names)
    modules = {name for name in found if f"raytune_playbook.{name}" in sys.modules}
    assert found - modules <= {"annotations", "importlib", "TYPE_CHECKING"}


def test_every_file_that_is_no_module_is_installed():
    """An installation for editing has them all, and a real one those that pyproject.toml names."""
    package = Path(raytune_playbook.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["raytune_playbook"]
    named = {path for pattern in patterns for path in package.glob(pattern)}
    found = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert found == named


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(raytune_playbook, "tune")


def test_run_is_callable_after_every_submodule_was_imported():
    """No submodule may hide a public name."""
    program = """
import importlib, pkgutil
import raytune_playbook
for module in pkgutil.walk_packages(raytune_playbook.__path__, "raytune_playbook."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
names = set(raytune_playbook.__all__) - {"Batch"}  # an alias of a type
print([name for name in sorted(names) if not callable(getattr(raytune_playbook, name))])
print(raytune_playbook.run.__module__)
"""
    assert printed(program).splitlines() == ["[]", "raytune_playbook.engine.rounds.run"]
