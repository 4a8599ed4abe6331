"""``jobs/notebook_walk.py``, and other cells, in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

jupytext = pytest.importorskip("jupytext", reason="needs jupytext to read a notebook's cells")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient to run a notebook")
pytest.importorskip("ipykernel", reason="needs ipykernel to run a notebook")

WALK = Path(__file__).parents[1] / "jobs" / "notebook_walk.py"
PLOTLY = "application/vnd.plotly.v1+json"


def executed(text: str, folder: Path) -> list:
    """The cells of code of a notebook after a kernel has run them in a folder."""
    notebook = jupytext.reads(text, fmt="py:percent")
    nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell) -> dict:
    """What a cell's last expression shows."""
    return cell.outputs[-1]["data"]


def test_the_walk_runs_as_a_notebook(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    cells = executed(WALK.read_text(), tmp_path)
    asked, ran, result, best, table, *plots, proposed = cells
    store = RoundStore(Storage(str(tmp_path / "rounds")), "notebook_walk")
    trials = trials_of(store.trials())

    assert "8 trials in 2 studies" in shown(asked)["text/plain"]
    printed = "".join(output.text for output in ran.outputs if output.output_type == "stream")
    assert len(ran.outputs) == sum(output.output_type == "stream" for output in ran.outputs)  # no displays beside it
    assert "Trials: 8 completed." in printed and f"Report: {store.uri}" in printed
    assert "\x1b" not in printed and "Missing packages" not in printed
    assert "Trials: 8 completed." in shown(result)["text/plain"]
    winner = best_trial(trials, store.round().objective)
    assert winner is not None
    assert shown(best)["text/plain"].startswith(f"{winner.text}: completed with {winner.objective:.4g}")
    assert all(f"{trial.objective:.6f}" in shown(table)["text/plain"] for trial in trials)
    assert len(plots) == 3
    for plot in plots:
        assert shown(plot)[PLOTLY]["data"]
    assert shown(proposed)["text/plain"].startswith("notebook_walk")
    for cell in cells:
        assert "object at 0x" not in str(cell.outputs)


CLASS = """
class Line(Workload):
    def datasets(self):
        return {{}}
    def model(self, values):
        return None
    def loss(self, model, batch, values):  {comment}
        return (model(batch["x"]) - batch["y"]).{distance}()
"""

CELLS = f"""
# %%
from raytune_playbook import Workload
{CLASS.format(distance="square", comment="")}
first = Line().spec()
# %%
{CLASS.format(distance="abs", comment="")}
second = Line().spec()
# %%
{CLASS.format(distance="abs", comment="# in words")}
third = Line().spec()
# %%
first.source_hash == second.source_hash, first.code_hash == second.code_hash
# %%
second.source_hash == third.source_hash, second.code_hash == third.code_hash
"""


def test_a_workload_of_a_cell_is_told_from_its_earlier_self(tmp_path):
    *_, other, commented = executed(CELLS, tmp_path)
    assert shown(other)["text/plain"] == "(False, False)"
    assert shown(commented)["text/plain"] == "(False, True)"
