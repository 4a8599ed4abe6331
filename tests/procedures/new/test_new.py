"""Rules ST1, ST3 and ST5: a new job runs as it is, whatever its data are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from ray.cluster_utils import Cluster

from raytune_playbook.cli import commands, main
from raytune_playbook.data.columns import concatenated
from raytune_playbook.data.datasets import find_source
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.reading import read_in_order
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.jobs.preflight import check_values, workload_of
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.procedures.check_initial.initial import initial_values
from raytune_playbook.procedures.check_initial.simplicity import not_simple
from raytune_playbook.records.procedures import newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.rules_of_thumb import warnings
from raytune_playbook.train.workload import Values

NUM = 120


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def columns(task: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    one, two = rng.normal(5, 3, NUM), rng.normal(size=(NUM, 2, 3))
    target = 100 + 20 * (one + two[:, 0, 0]) if task == "regression" else (one > 5).astype(np.int64)
    return {"one": one, "two": two, "target": target}


def arrays(folder: Path, task: str) -> str:
    np.savez(folder / "data.npz", **columns(task))
    return "data.npz"


def csv(folder: Path, task: str) -> str:
    given = columns(task)
    labels = given["target"] if task == "regression" else np.where(given["target"] == 1, "yes", "no")
    lines = [f"{one},{label}" for one, label in zip(given["one"], labels, strict=True)]
    (folder / "data.csv").write_text("\n".join(["one,target", *lines]))
    return "data.csv"


def parquet(folder: Path, task: str) -> str:
    given = columns(task)
    (folder / "parts").mkdir()
    pq.write_table(pa.table({"one": given["one"], "label": given["target"] + 3}), folder / "parts" / "1.parquet")
    return "parts"


def images(folder: Path, task: str) -> str:
    rng = np.random.default_rng(0)
    for place in range(40):
        kind = folder / "photos" / ("cat", "dog")[place % 2]
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 5, 3)).astype(np.uint8)).save(kind / f"{place}.png")
    return "photos"


def torch_dataset(folder: Path, task: str) -> str:
    of_task = "float(x[place, 0])" if task == "regression" else "int(x[place, 0] > 0)"
    (folder / f"own_{task}.py").write_text(
        "import torch\nfrom torch.utils.data import Dataset\n\n"
        f"x = torch.randn({NUM}, 3, 2, generator=torch.Generator().manual_seed(0))[..., 0]\n\n\n"
        "class Own(Dataset):\n"
        f"    def __len__(self):\n        return {NUM}\n\n"
        f"    def __getitem__(self, place):\n        return x[place], {of_task}\n\n\n"
        "examples = Own()\n"
    )
    return f"own_{task}:examples"


VARIANTS: list[tuple[str, str, Callable[[Path, str], str] | None]] = [
    ("bundled", "classification", None),
    ("bundled", "regression", None),
    ("arrays", "classification", arrays),
    ("arrays", "regression", arrays),
    ("files", "classification", csv),
    ("files", "regression", csv),
    ("files", "classification", parquet),
    ("files", "classification", images),
    ("torch-dataset", "classification", torch_dataset),
    ("torch-dataset", "regression", torch_dataset),
]


@pytest.mark.parametrize(("data", "task", "make"), VARIANTS)
def test_st1_a_new_job_of_any_data_runs_as_it_is(here, capsys, data, task, make):
    source = [] if make is None else ["--source", make(here, task)]
    of_task = ["--task", task] if data == "bundled" else []  # else the labels tell
    assert main(["new", "my_job.py", "--data", data, *source, *of_task]) == 0
    assert "raytune-playbook check-initial my_job.py" in capsys.readouterr().out
    text = (here / "my_job.py").read_text()
    assert text.count("CHANGE") >= 12
    assert max(len(line) for line in text.splitlines() if not line.startswith("SOURCE")) <= 120
    round_ = load_job("my_job.py").round
    assert round_.name == "my_job"
    check_values(round_)
    assert warnings(round_) == []
    workload = workload_of(round_)
    values = Values(round_.defaults | initial_values(round_))
    assert not_simple(round_, values, augments=workload.augments(values)) == ()

    split = workload.datasets()
    assert isinstance(split, Split)
    recipe = Recipe(pack(workload) if workload.preprocesses() else None, label="label")
    examples = concatenated(list(read_in_order("data", find_source(split.source, "train", "the data"), recipe)))
    batch = {name: torch.from_numpy(np.array(column)) for name, column in examples.items()}
    model = workload.model(values)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = workload.loss(model, batch, values).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]  # it learns
    metrics = workload.metrics(model.eval(), batch, values)
    said = workload.predictions(model, batch, values)["label"]
    assert metrics["error"].shape == (len(batch["label"]),)
    expected = (said - batch["label"]).abs() if task == "regression" else (said != batch["label"]).float()
    assert torch.allclose(metrics["error"], expected.float(), rtol=1e-3, atol=1e-3)


def test_st5_a_newcomers_job_is_trained_and_clearly_better_than_chance(cluster: Cluster, here: Path) -> None:
    assert main(["new", "first.py"]) == 0
    arguments = ["check-initial", "first.py", "--storage", str(here / "rounds"), "--address", cluster.address]
    assert main(arguments) == 0
    record = newest_procedure(RoundStore(Storage(str(here / "rounds")), "first"), "check-initial")
    assert record is not None
    assert record.is_good
    assert record.numbers["is_simple"] is True
    assert record.numbers["value"] < 0.15


def test_on_a_terminal_what_is_not_given_is_asked(here, monkeypatch):
    monkeypatch.setattr("raytune_playbook.cli.procedures.starting._is_terminal", lambda: True)
    source = arrays(here, "classification")
    answers = CliRunner().invoke(commands, ["new", "asked.py"], input=f"arrays\n{source}\n", standalone_mode=False)
    assert answers.exception is None
    assert str(here / source) in (here / "asked.py").read_text()
    answers = CliRunner().invoke(commands, ["new", "other.py"], input="\nregression\n", standalone_mode=False)
    assert answers.exception is None
    assert "load_diabetes" in (here / "other.py").read_text()


def test_a_file_that_is_there_is_never_replaced(here, capsys):
    (here / "mine.py").write_text("mine = 1\n")
    assert main(["new", "mine.py"]) == 2
    assert "must not replace a file" in capsys.readouterr().err
    assert (here / "mine.py").read_text() == "mine = 1\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["job.txt"], "A job is a Python file"),
        (["nowhere/job.py"], "in a folder that is there"),
        (["job.py", "--data", "files"], "--data files needs a source"),
        (["job.py", "--source", "data.npz"], "--data bundled names no source"),
        (["job.py", "--data", "arrays", "--source", "none.npz"], "arrays are read from an .npz file"),
        (["job.py", "--data", "files", "--source", "none.csv"], "none.csv"),
        (["job.py", "--data", "arrays", "--source", "data.npz", "--label", "three"], "but 'three' is none; name it"),
        (["job.py", "--data", "arrays", "--source", "data.npz", "--label", "two"], "one label per example is needed"),
        (["job.py", "--data", "torch-dataset", "--source", "own"], "named as module:attribute"),
        (["job.py", "--data", "torch-dataset", "--source", "no_such_module:x"], "ModuleNotFoundError"),
        (["job.py", "--data", "torch-dataset", "--source", "math:pi"], "with a length and numbered examples"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(here, capsys, arguments, sentence):
    arrays(here, "classification")
    assert main(["new", *arguments]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not list(here.glob("**/*.py"))
