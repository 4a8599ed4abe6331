"""Tracebacks as the terminal shows them, from such as Python makes, and as workers on other machines make them."""

from __future__ import annotations

import traceback

import pytest
import torch

from raytune_playbook.report.tracebacks import from_users_code, is_library
from raytune_playbook.train.precision import mean_loss

OURS = """\
  File "/opt/venv/lib/python3.12/site-packages/raytune_playbook/engine/gang/worker.py", line 152, in _run
    end = train(
          ^^^^^^
"""
TORCH = """\
  File "/opt/venv/lib/python3.12/site-packages/torch/nn/modules/module.py", line 1778, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
  File "/opt/venv/lib/python3.12/site-packages/torch/nn/modules/linear.py", line 134, in forward
    return F.linear(input, self.weight, self.bias)
"""
MINE = """\
  File "/home/me/jobs/moons.py", line 31, in loss
    return F.cross_entropy(model(batch["point"]), batch["label"])
                           ^^^^^^^^^^^^^^^^^^^^^
"""
HEAD, ERROR = "Traceback (most recent call last):\n", "RuntimeError: shapes cannot be multiplied\n  (48x3 and 4x8)\n"
ALIKE = HEAD + OURS + MINE + TORCH + ERROR
LEFT = HEAD + OURS + "RuntimeError: Connection closed by peer\n"


def test_it_begins_at_the_users_first_frame_and_stands_once_for_all_workers():
    shown = from_users_code(f"rank 0:\n{ALIKE}\nrank 1:\n{ALIKE}")
    called = "".join(TORCH.splitlines(keepends=True)[2:])  # without the frame through which every module is called
    assert shown == (HEAD + MINE + called + ERROR).rstrip()
    assert from_users_code(ALIKE) == shown


def test_ranks_that_differ_are_named_and_the_one_whose_code_raised_is_shown():
    shown = from_users_code(f"rank 0:\n{LEFT}\nrank 1:\n{ALIKE}\nrank 2:\n{LEFT}")
    assert shown.startswith(f"On rank 1:\n{HEAD}{MINE}")
    assert shown.endswith(
        "\nOn rank 0 instead: RuntimeError: Connection closed by peer\n"
        "On rank 2 instead: RuntimeError: Connection closed by peer"
    )


def test_each_of_a_chain_is_shortened():
    between = "\nThe above exception was the direct cause of the following exception:\n\n"
    shown = from_users_code(HEAD + OURS + MINE + "KeyError: 'point'\n" + between + ALIKE)
    assert shown.count(MINE) == 2
    assert "gang/worker.py" not in shown
    assert between in shown


def test_what_is_not_the_users_stays_whole():
    assert from_users_code(LEFT) == LEFT.rstrip()
    assert from_users_code("no batch for 5 s; the gang was restarted") == "no batch for 5 s; the gang was restarted"


def test_of_a_traceback_that_python_makes():
    def users() -> None:
        mean_loss(None)

    try:
        torch.no_grad()(users)()
    except AttributeError:
        text = traceback.format_exc()
    assert "decorate_context" in text
    shown = from_users_code(text).splitlines()
    assert shown[0] == HEAD.rstrip()
    assert shown[1].endswith("in test_of_a_traceback_that_python_makes")
    assert shown[-1].startswith("AttributeError: ")
    assert any("in mean_loss" in line for line in shown)  # what the user's code called is shown


@pytest.mark.parametrize(
    ("path", "is_of_library"),
    [
        ("/usr/lib/python3.11/contextlib.py", True),
        ("/usr/lib/python3/dist-packages/torch/nn/functional.py", True),
        ("/opt/lib/python3.11/site-packages/ray/train/v2/api.py", True),
        ("<frozen importlib._bootstrap>", True),
        ("/opt/lib/python3.11/site-packages/raytune_playbook/train/loop.py", True),
        ("/opt/lib/python3.11/site-packages/raytune_playbook/workloads/digits.py", False),  # as a user's own
        ("/home/me/raytune_playbook/jobs/moons.py", False),
        ("/opt/lib/python3.11/site-packages/company/model.py", False),
        ("<ipython-input-3>", False),
    ],
)
def test_whose_file_it_is(path, is_of_library):
    assert is_library(path) is is_of_library
