"""Rules ST1, ST3 and ST5: a new job runs as it is, whatever its data are."""

from __future__ import annotations

import io
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
from raytune_playbook.procedures.new import USUAL_LABELS
from raytune_playbook.records.procedures import newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.checks.rules_of_thumb import warnings
from raytune_playbook.study.datasets import Split
from raytune_playbook.train.workload import Values

NUM = 120


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_sets", raising=False)  # another folder's
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
    printed = capsys.readouterr().out
    assert "raytune-playbook check-initial my_job.py" in printed
    assert (source[-1] if source else {"classification": "digits", "regression": "diabetes"}[task]) in printed
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
    answers = CliRunner().invoke(
        commands, ["new", "files.py", "--data", "arrays"], input=f"{source}\n", standalone_mode=False
    )
    assert answers.exception is None
    assert str(here / source) in (here / "files.py").read_text()
    answers = CliRunner().invoke(commands, ["new", "other.py"], input="\nregression\n", standalone_mode=False)
    assert answers.exception is None
    assert "load_diabetes" in (here / "other.py").read_text()


def test_no_question_is_asked_for_a_job_that_cannot_be_written_and_none_needs_an_answer(here, monkeypatch, capsys):
    monkeypatch.setattr("raytune_playbook.cli.procedures.starting._is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["new", "nowhere/job.py"]) == 2
    assert capsys.readouterr() == (
        "",
        "A job is written into a folder that is there, but there is no 'nowhere'; make it first: mkdir -p nowhere\n",
    )
    assert main(["new", "job.py"]) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert not list(here.glob("**/*.py"))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(arrays, "the arrays in"), (csv, "the files"), (parquet, "the files"), (torch_dataset, "the Data")],
)
def test_the_kind_of_data_is_told_by_the_source(here, capsys, make, kind):
    assert main(["new", "my job.py", "--source", make(here, "classification")]) == 0
    printed = capsys.readouterr().out
    assert f"Written: my job.py, for {kind}" in printed
    assert "raytune-playbook check-initial 'my job.py'" in printed
    assert "raytune-playbook run 'my job.py'" in (here / "my job.py").read_text()


def test_the_help_names_every_usual_label(here, capsys):
    assert main(["new", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in USUAL_LABELS:
        assert name in text[text.index("--label COLUMN") :]
        np.savez(here / "data.npz", **{"one": np.arange(20.0), name: np.arange(20) % 2})
        assert main(["new", f"{name}_job.py", "--source", "data.npz"]) == 0


OWN_DATASETS = """
import torch
from torch.utils.data import Dataset, IterableDataset

class Own(Dataset):
    def __init__(self, items=((torch.zeros(2), 0), (torch.ones(2), 1)), num=2):
        self.items, self.num = items, num
    def __len__(self):
        if self.num is None:
            raise RuntimeError("no length")
        return self.num
    def __getitem__(self, place):
        return self.items[place]

class OfFolder(Own):
    def __init__(self, folder): ...

class Stream(IterableDataset):
    def __iter__(self):
        return iter(())

class LongStream(Stream):
    def __len__(self):
        return 3

def of_folder(folder): ...
def raising(): raise FileNotFoundError("no such data")
def ending(): raise SystemExit(3)
def a_list(): return [1, 2]

stream, long_stream, three, empty, no_length = Stream(), LongStream(), 3, Own(num=0), Own(num=None)
too_long, dicts = Own(num=3), Own(({"a": 1, "b": 2},) * 2)
sizes, text = Own(((torch.zeros(2), 0), (torch.zeros(3), 1))), Own((("a", 0), ("b", 1)))
missing = Own(((torch.zeros(2), float("nan")), (torch.zeros(2), 1.0)))
none = Own(((torch.zeros(2), None), (torch.zeros(2), 1)))
"""


@pytest.mark.parametrize(
    ("attribute", "sentence"),
    [
        ("OfFolder", "must make a Dataset without arguments, but raises TypeError"),
        ("of_folder", "must make a Dataset without arguments, but raises TypeError"),
        ("raising", "must make a Dataset without arguments, but raises FileNotFoundError: no such data"),
        ("ending", "must make a Dataset without arguments, but raises SystemExit: 3"),
        ("nothing", "must name a Dataset, but raises AttributeError"),
        ("three", "with a length and numbered examples is needed, but own_sets:three is a int"),
        ("a_list", "examples of a Dataset must be (input, label), but own_sets:a_list holds a int"),
        ("dicts", "examples of a Dataset must be (input, label), but own_sets:dicts holds a dict"),
        ("empty", "holds nothing"),
        ("no_length", "raises RuntimeError: no length"),
        ("too_long", "raises IndexError: tuple index out of range"),
        ("stream", "with a length and numbered examples is needed, but own_sets:stream is a Stream"),
        ("long_stream", "raises NotImplementedError"),
        ("sizes", "must become arrays of one shape"),
        ("text", "columns of numbers beside 'label' are needed"),
        ("missing", "each example needs a label, but 'label' lacks 1"),
        ("none", "each example needs a label, but 'label' lacks 1"),
    ],
)
def test_what_is_no_dataset_of_inputs_and_labels_is_refused_in_one_sentence(here, capsys, attribute, sentence):
    (here / "own_sets.py").write_text(OWN_DATASETS)
    assert main(["new", "job.py", "--data", "torch-dataset", "--source", f"own_sets:{attribute}"]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not (here / "job.py").exists()


def test_a_class_makes_its_dataset(here, capsys):
    (here / "own_sets.py").write_text(OWN_DATASETS)
    assert main(["new", "job.py", "--data", "torch-dataset", "--source", "own_sets:Own"]) == 0
    assert "dataset = Own()" in (here / "job.py").read_text()
    workload = workload_of(load_job("job.py").round)
    assert workload.datasets().source["label"].tolist() == [0, 1]


def test_a_file_that_is_there_is_never_replaced(here, capsys):
    (here / "mine.py").write_text("mine = 1\n")
    assert main(["new", "mine.py"]) == 2
    assert "must not replace a file" in capsys.readouterr().err
    assert (here / "mine.py").read_text() == "mine = 1\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["job.txt"], "A job is a Python file"),
        (["nowhere/job.py"], "there is no 'nowhere'; make it first: mkdir -p nowhere"),
        (["job.py", "--data", "files"], "--data files needs one; say where"),
        (["job.py", "--data", "bundled", "--source", "data.npz"], "--data bundled needs none, but got 'data.npz'"),
        (["job.py", "--data", "arrays", "--source", "none.npz"], "/none.npz'; correct the path"),
        (["job.py", "--data", "arrays", "--source", "data.csv"], "/data.csv' is a table, which --data files reads"),
        (["job.py", "--data", "arrays", "--source", "."], "' is a folder"),
        (["job.py", "--data", "arrays", "--source", "one.npy"], "/one.npy' holds a single one"),
        (["job.py", "--data", "arrays", "--source", "cut.npz"], "/cut.npz' is none (BadZipFile"),
        (["job.py", "--data", "arrays", "--source", "empty.npz"], "/empty.npz' is none (EOFError"),
        (["job.py", "--source", "gap.csv"], "each example needs a label, but 'label' lacks 1"),
        (["job.py", "--source", "nan.npz"], "each example needs a label, but 'label' lacks 1"),
        (["job.py", "--data", "files", "--source", "none.csv"], "none.csv"),
        (["job.py", "--data", "arrays", "--source", "data.npz", "--label", "three"], "but 'three' is none; name it"),
        (["job.py", "--data", "arrays", "--source", "data.npz", "--label", "two"], "one label per example is needed"),
        (["job.py", "--data", "torch-dataset", "--source", "own"], "named as module:attribute"),
        (["job.py", "--data", "torch-dataset", "--source", "no_such_module:x"], "ModuleNotFoundError"),
        (["job.py", "--data", "torch-dataset", "--source", "math:pi"], "with a length and numbered examples"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(here, capsys, arguments, sentence):
    (here / "cut.npz").write_bytes((here / arrays(here, "classification")).read_bytes()[:100])
    (here / "empty.npz").touch()
    csv(here, "classification")
    (here / "gap.csv").write_text("one,label\n1,yes\n2,\n3,no\n")
    np.save(here / "one.npy", np.arange(3))
    np.savez(here / "nan.npz", one=np.arange(3.0), label=np.array([0.0, np.nan, 1.0]))
    assert main(["new", *arguments]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not list(here.glob("**/*.py"))
