"""Kept models scored on whole splits, and each look at the test set on record (rules AD6, EV8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from raytune_playbook.cli import main
from raytune_playbook.data.columns import to_arrow
from raytune_playbook.data.splits import exact_division, example_hashes
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.trained.load import load_model
from raytune_playbook.engine.trained.score import score
from raytune_playbook.errors import DataError, InputError
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.scores import read_scores
from raytune_playbook.report.page.page import write_page
from tests.engine.trained.conftest import JOB

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def of_images(pixels):
    """The images and labels of `pictures` as its workload preprocesses them, and which are in which split."""
    image, label = pixels.astype(np.float32) / 255, np.repeat([1, 0], 40)
    hashes = example_hashes({"image": pixels})
    return image, label, exact_division(hashes, FRACTIONS).rows(hashes)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_ev8_a_score_is_that_of_all_examples_of_the_split(pictures, split):
    store, pixels = pictures
    image, label, rows = of_images(pixels)
    found = score(store, "0", split)
    with torch.no_grad():
        logits = load_model(store, "0")(torch.from_numpy(image[rows[split]]))
    target = torch.from_numpy(label[rows[split]])
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none").double()
    wrong = (logits.argmax(1) != target).double()
    assert found.num_examples == len(target) == {"train": 48, "validation": 16, "test": 16}[split]
    expected = {"loss": losses.mean(), "standard_error.loss": losses.std() / len(losses) ** 0.5}
    expected |= {"error": wrong.mean(), "standard_error.error": wrong.std() / len(wrong) ** 0.5}
    assert found.metrics == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)
    assert (found.study, found.trial, found.split, found.data_split) == ("all", "00000", split, 0)
    assert found.source.endswith("/images")
    assert read_scores(store) == [found]


def test_ad6_every_look_at_the_test_set_is_on_record_and_shown(pictures, tmp_path, capsys):
    store, _ = pictures
    arguments = ["predict", "pictures", "0", "--split", "test", "--storage", store.storage.uri]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("The test split by all/00000 at step ")
    assert ", 16 examples: loss " in first
    assert "The test set was looked at once;" in first
    output = tmp_path / "out" / "test.parquet"
    assert main([*arguments, "--step", "10", "--output", str(output)]) == 0
    assert "The test set was looked at twice;" in capsys.readouterr().out
    assert pq.read_table(output)["row"].to_pylist() == list(range(16))
    # No job or data set is lost to a mistyped --output, and what is refused is no look.
    (tmp_path / "job.py").write_text("round = 1")
    assert main([*arguments, "--output", str(tmp_path / "job.py")]) == 2
    assert "name another file" in capsys.readouterr().err
    assert (tmp_path / "job.py").read_text() == "round = 1"
    looks = read_scores(store)
    assert [look.split for look in looks] == ["test", "test"]
    assert 10 in {look.step for look in looks}
    page = Path(write_page(store)).read_text()
    assert "The test set was looked at twice;" in page
    assert "10</td>" in page
    assert main(["rounds", "--storage", store.storage.uri]) == 0
    assert "test seen" in capsys.readouterr().out


def test_ad6_a_look_at_another_split_is_none_at_the_test_set(pictures, capsys):
    store, _ = pictures
    assert main(["predict", "pictures", "0", "--split", "validation", "--storage", store.storage.uri]) == 0
    assert main(["rounds", "--storage", store.storage.uri]) == 0
    printed = capsys.readouterr().out
    assert "AD6" not in printed
    assert "test seen" not in printed
    assert "The test set was not looked at." in Path(write_page(store)).read_text()


def test_ad6_the_test_set_is_not_looked_at_while_its_round_runs(pictures):
    store, _ = pictures
    with claimed(driving(store), say=pytest.fail):
        words = r"looked at only at the end \(rule AD6\), but .+ runs 'pictures'; wait for it, or end it with"
        with pytest.raises(InputError, match=words):
            score(store, "0")
        assert read_scores(store) == []
        assert score(store, "0", "validation").num_examples == 16
    assert score(store, "0").num_examples == 16


def test_a_split_that_is_not_there_or_not_as_it_was_is_one_sentence(store, tmp_path):
    with pytest.raises(InputError, match="A split must be one of the workload's, but it has no 'test'; return one"):
        score(store, "0")
    with pytest.raises(InputError, match="A split is one of train, validation, test, but got 'tests'; name one"):
        score(store, "0", "tests")
    workload = load_job(store.round().job).round.workload
    fewer = {
        "train": workload.datasets()["train"],
        "validation": {n: c[:40] for n, c in workload.datasets()["validation"].items()},
    }
    workload.datasets = lambda: fewer
    with pytest.raises(DataError, match="but validation holds 40 where there were 41; restore them"):
        score(store, "0", "validation", workload=workload)
    assert read_scores(store) == []


def test_ev8_the_validation_score_of_the_best_checkpoint_is_what_its_round_measured(store):
    measured = store.measurements("all", "00000").to_pylist()
    step = store.trials("all")["best_checkpoint_step"].to_pylist()[0]
    (row,) = [row for row in measured if (row["step"], row["split"]) == (step, "validation_full")]
    found = score(store, "0", "validation")
    assert (found.step, found.num_examples) == (step, 41)
    assert found.metrics == pytest.approx({name: row[name] for name in ("error", "standard_error.error")})


def test_examples_that_were_preprocessed_before_the_round_are_scored_from_there(make_store, tmp_path):
    store, x = make_store(JOB), np.random.default_rng(3).normal(size=(300, 2, 3)).astype(np.float32)
    label = (x[:, 0, 0] > 0).astype(np.int64)
    (folder := tmp_path / "rounds" / "preprocessed" / "Pairs-abc").joinpath("test").mkdir(parents=True)
    pq.write_table(to_arrow({"x": x, "label": label}), folder / "test" / "0.parquet", row_group_size=100)
    record = store.round()
    examples = record.examples.model_copy(update={"preprocessed": str(folder)})
    store.create(record.model_copy(update={"examples": examples}), store.studies(), notes="", diff="")
    found = score(store, "0")
    with torch.no_grad():
        wrong = load_model(store, "0")(torch.from_numpy(x)).argmax(1).numpy() != label
    assert (found.num_examples, found.source) == (300, f"{folder}/test")
    assert found.metrics["error"] == pytest.approx(wrong.mean())


@pytest.mark.parametrize(
    "options", [[], ["--data", "x"], ["--output", "y"], ["--data", "x", "--split", "test"], ["--split", "nonsense"]]
)
def test_either_data_or_a_split_is_one_sentence(options, capsys):
    assert main(["predict", "pairs", "0", *options]) == 2
    printed = capsys.readouterr().err
    assert "--split" in printed
    assert printed.count("\n") == 1
