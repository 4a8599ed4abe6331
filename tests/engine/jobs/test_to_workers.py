"""What travels to the workers: code by value, within a limit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from torch import Tensor, nn

from raytune_playbook import Batch, InputError, Values, Workload
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.jobs.to_workers import code_folder, pack

MIB = 2**20


class Carrier(Workload):
    """Carries bytes, as a workload does that reads its data too early."""

    def __init__(self, num_bytes: int) -> None:
        self._content = bytes(num_bytes)

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        raise NotImplementedError

    def model(self, values: Values) -> nn.Module:
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        raise NotImplementedError


def test_a_workload_may_take_10_mib_with_its_code():
    code = len(pack(Carrier(0)))
    assert code < 100_000
    fits = 10 * MIB - code - 1_000
    assert fits < len(pack(Carrier(fits))) <= 10 * MIB
    too_large = "A workload with its code may take 10 MiB, but Carrier takes 10.0 MiB; load data in Workload.datasets"
    with pytest.raises(InputError, match=re.escape(too_large)):
        pack(Carrier(10 * MIB))


def test_what_cannot_be_pickled_is_refused():
    workload = Carrier(0)
    workload.handle = (each for each in ())
    with pytest.raises(InputError, match="is pickled to reach the workers, but Carrier cannot be"):
        pack(workload)


def test_a_package_travels_from_its_outermost_folder(tmp_path):
    file = tmp_path / "package" / "inner" / "job.py"
    file.parent.mkdir(parents=True)
    assert code_folder(file) == file.parent
    for folder in (file.parent, file.parent.parent):
        (folder / "__init__.py").touch()
    assert code_folder(file) == tmp_path / "package"


JOB = """
import numpy as np
from torch import nn
from helper_beside_the_job import WIDTH
from raytune_playbook import Budget, Float, Objective, Round, Workload

class Line(Workload):
    def datasets(self):
        return {}
    def model(self, values):
        return nn.Linear(WIDTH, 1)
    def loss(self, model, batch, values):
        return model(batch["x"][:, None]).square()

round = Round(
    name="line", goal="Does it travel?", workload=Line(), nuisance={"learning_rate": Float(0.01, 0.1)},
    objective=Objective(metric="loss"), budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
)
"""


def test_a_job_file_and_the_modules_beside_it_are_loaded_where_they_are_not(tmp_path):
    (tmp_path / "helper_beside_the_job.py").write_text("WIDTH = 7\n")
    (tmp_path / "job.py").write_text(JOB)
    try:
        packed = pack(load_job(str(tmp_path / "job.py")).round.workload)
    finally:
        sys.path.remove(str(tmp_path))
    (tmp_path / "helper_beside_the_job.py").unlink()
    load = "import sys, ray.cloudpickle as c; print(c.loads(sys.stdin.buffer.read()).model(None).in_features)"
    done = subprocess.run([sys.executable, "-c", load], input=packed, capture_output=True, check=False, timeout=240)
    assert done.stdout.split() == [b"7"], done.stderr.decode()


class Unready(ModuleType):
    """A lazy module: any use of it imports what is not there."""

    def __getattribute__(self, name: str) -> object:
        raise ImportError("not now")


class Library:
    """Says that it is a module, as the libraries of cffi do, and has nothing of one."""

    __class__ = ModuleType


def test_what_is_no_module_or_not_ready_is_passed_over(tmp_path, monkeypatch):
    """Cython's extensions leave objects without a `__name__` in `sys.modules`, others lazy modules and more."""
    (tmp_path / "job.py").write_text(JOB.replace("from helper_beside_the_job import WIDTH", "WIDTH = 7"))
    unnamed = SimpleNamespace(__file__=str(tmp_path / "unnamed.py"))
    alias = ModuleType("another_name")
    alias.__file__ = str(tmp_path / "alias.py")
    odd = {
        "unnamed": unnamed,
        "nothing": None,
        "unready": Unready("unready"),
        "number": 3,
        "an_alias": alias,
        "library": Library(),
    }
    for name, content in odd.items():
        monkeypatch.setitem(sys.modules, f"{__name__}.{name}", content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(pack(load_job(str(tmp_path / "job.py")).round.workload)) < 100_000
