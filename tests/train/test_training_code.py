"""Rules BA9, AD1: what a measurement is bound to changes with whatever trains, and with nothing else of a job file."""

from __future__ import annotations

import ast
import gc
import importlib
import linecache
import sys
import threading
from pathlib import Path

import pytest
import torch

from raytune_playbook.train.training_code import cell_of, training_code

JOB = """
\"\"\"Which width?\"\"\"
import math
from helper_of_job import Block

WIDTH = 16
SIZES = [1, 2]
SIZES.append(3)
LOW = 0.1


def scaled(x):
    return x * math.pi * WIDTH


class Net:
    \"\"\"A net.\"\"\"

    def __init__(self, *layers):
        self.blocks = [Block(scaled(each)) for each in layers]


class Other:
    pass


round = Round(name="job", workload=Net(1, 2), nuisance={"learning_rate": Float(LOW, 1.0)}, fixed={})

if __name__ == "__main__":
    print("run")
"""
HELPER = "class Block:\n    def __init__(self, size):\n        self.size = size\n"


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function from a job file and the module beside it to what trains."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(job: str = JOB, helper: str = HELPER) -> str:
        (tmp_path / "job.py").write_text(job)
        (tmp_path / "helper_of_job.py").write_text(helper)
        importlib.invalidate_caches()
        importlib.import_module("helper_of_job")
        return training_code((tmp_path / "job.py").resolve(), "Net")

    yield of
    sys.modules.pop("helper_of_job", None)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("fixed={}", 'fixed={"batch_size": 16}'),  # as batch-size says
        ('name="job"', 'name="job_2"'),
        ("LOW = 0.1", "LOW = 0.2"),  # which the round alone uses
        ("WIDTH = 16", "WIDTH  =  16  # of a layer"),
        ("Which width?", "Which depth?"),
        ("A net.", "The net."),
        ("class Other:", "class Another:"),
        ('print("run")', 'print("ran")'),
    ],
)
def test_ba9_what_does_not_train_changes_nothing(code, was, now):
    assert JOB.count(was) == 1
    assert code(JOB.replace(was, now)) == code()


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("WIDTH = 16", "WIDTH = 32"),  # by way of a function
        ("x * math", "x + math"),
        ("import math", "import cmath as math"),
        ("for each in layers", "for each in layers[1:]"),
        ("Net(1, 2)", "Net(1, 3)"),  # what the round makes of it
        ("SIZES.append(3)", "SIZES.append(4)"),  # it may do anything
        ("class Net:", "@Other\nclass Net:"),
    ],
)
def test_ba9_what_trains_changes_it(code, was, now):
    assert JOB.count(was) == 1
    assert code(JOB.replace(was, now)) != code()


def test_ba9_modules_beside_the_job_count_and_their_comments_do_not(code):
    assert code(helper=f"# A block.\n{HELPER}") == code()
    assert code(helper=HELPER.replace("= size", "= 2 * size")) != code()


def test_ba9_modules_of_a_package_that_import_each_other_relatively_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "nets_of_job"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts" / "__init__.py").write_text("from ..sizes import SIZE\n")
    (package / "sizes.py").write_text("SIZE = 1\n")
    (package / "blocks.py").write_text("from . import parts\nclass Block: pass\n")
    (tmp_path / "job.py").write_text("from nets_of_job.blocks import Block\nclass Net(Block): pass\n")
    importlib.invalidate_caches()
    importlib.import_module("nets_of_job.blocks")
    before = training_code(tmp_path / "job.py", "Net")
    (package / "sizes.py").write_text("SIZE = 2\n")
    assert training_code(tmp_path / "job.py", "Net") != before
    for name in [name for name in sys.modules if name.partition(".")[0] == "nets_of_job"]:
        del sys.modules[name]


@pytest.mark.parametrize("decorator", ["", "@torch.no_grad()"])
def test_a_cell_is_the_one_of_its_methods_whatever_decorates_them(decorator):
    cell = f"class Net:\n    {decorator}\n    def model(self, values):\n        return values\n"
    cells = {"<cell 1>": cell, "<cell 2>": "class Other: ...\n"}
    linecache.cache.update({name: (len(text), None, text.splitlines(True), name) for name, text in cells.items()})
    names: dict[str, type] = {"torch": torch}
    try:
        exec(compile(cell, "<cell 1>", "exec"), names)
        assert cell_of(names["Net"]) == cell
    finally:
        for name in cells:
            del linecache.cache[name]


def test_ba9_another_thread_that_parses_meanwhile_changes_nothing(code):
    expected, left = code(), 5

    def parse_elsewhere(phase: str, _: object) -> None:
        nonlocal left
        if phase == "start" and left:
            left -= 1
            thread = threading.Thread(target=ast.parse, args=("x = 1",))
            thread.start()
            thread.join()

    thresholds = gc.get_threshold()
    gc.callbacks.append(parse_elsewhere)
    gc.set_threshold(50)  # so that it happens while a tree is built
    try:
        assert code() == expected
    finally:
        gc.callbacks.remove(parse_elsewhere)
        gc.set_threshold(*thresholds)
    assert not left
