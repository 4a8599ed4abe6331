"""Evaluation on several workers against plain numpy and scikit-learn on all examples at once.

Groups of 2 and 3 workers evaluate over gloo once, and are compared with one process. Rules EV1, EV3, EV4, EV5, EV6, EV8
and BN3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare, evaluation_rows
from raytune_playbook.study.evaluation_settings import CHOSEN, FULL_VALIDATION, ROW
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.evaluation import WEIGHT, evaluate, examine, in_order, rescore
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Columns, Values, Workload
from tests.workers import Notes, Workers, found_by

FLOAT32 = Values({"precision": "float32"})
SIZES = (2, 3)
NUMS = (2, 5, 37, 64)
BATCH_SIZES = (1, 4, 13, 100)


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 6)).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1)
    label[0] = 2  # never none of the rare class
    # Few different scores, so that there are ties.
    score = (x[:, 1] + rng.normal(size=num)).round(1).astype(np.float32)
    return {"x": x, "label": label, "score": score, "guess": rng.integers(0, 3, num), "cost": rng.normal(size=num) ** 3}


ARRAYS = {"train": examples(90, 0), "validation": examples(61, 1)}


class Scored(Workload):
    """Three classes, of which 2 is rare, and 7 never occurs; average precision of the rare one."""

    def defaults(self) -> Mapping[str, Value]:
        return {"batch_size": 12, "learning_rate": 0.2}

    def datasets(self) -> Mapping[str, Columns]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits = model(batch["x"])
        error = (logits.argmax(1) != batch["label"]).float()
        return {"loss": F.cross_entropy(logits, batch["label"], reduction="none"), "error": error}

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        probabilities = model(batch["x"]).softmax(1)
        return {"label": probabilities.argmax(1), "probability": probabilities}

    def classes(self) -> Mapping[int, str]:
        return {2: "rare", 0: "common", 7: "unseen"}

    def set_metrics(self, predictions: Columns, labels: np.ndarray) -> Mapping[str, float]:
        return {"average_precision": average_precision_score(labels == 2, predictions["probability"][:, 2])}


class Given(Scored):
    """The same with metrics and predictions that are columns of the examples, so that nothing is computed."""

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        return {"cost": torch.where(batch[WEIGHT] > 0, batch["cost"], math.nan)}

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        return {"label": batch["guess"], "score": batch["score"], "half": batch["x"].bfloat16()}

    def set_metrics(self, predictions: Columns, labels: np.ndarray) -> Mapping[str, float]:
        assert predictions["half"].shape == (len(labels), 6)
        # The second depends on the order of the examples.
        return {
            "average_precision": average_precision_score(labels == 2, predictions["score"]),
            "in_order": float(np.polyval(predictions["score"].astype(np.float64) / 4, 0.99)),
        }


def given_batches(num: int, batch_size: int, group: Group) -> Iterator[Batch]:
    columns = {name: torch.from_numpy(column) for name, column in examples(num, num).items()}
    for rows, weights in evaluation_rows(num, BatchShare(batch_size, group.rank, group.size)):
        added = {WEIGHT: torch.from_numpy(weights), ROW: torch.from_numpy(rows)}
        yield {name: column[rows] for name, column in columns.items()} | added


def given(group: Group) -> dict[tuple[int, int], dict[str, float]]:
    return {
        (num, size): evaluate(
            TrialModel(Given(), nn.Identity(), FLOAT32, group), given_batches(num, size, group), with_errors=True
        )
        for num in NUMS
        for size in BATCH_SIZES
    }


# ------------------------------------------------------------------ a model, and a whole trial


def trial_of(**values: Value) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=3,
        seed=1,
        values=Scored().hyperparameters() | values,
        max_train_steps=20,
        evaluation_interval_steps=10,
        divergence_factor=2.0,
        objective=Objective(),
    )


def data_of(trial: TrialSpec, group: Group) -> SharedBatches:
    return SharedBatches(TrialExamples(ARRAYS), trial, BatchShare(12, group.rank, group.size), group.device)


def model_of(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = Scored().model(FLOAT32)
    model[1].running_mean += torch.rand(8)
    return model


def modelled(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for size in (12, 17, 64):
        trial = trial_of(evaluation_batch_size=size)
        batches = data_of(trial, group).evaluation_batches("validation")
        found[f"evaluated {size}"] = evaluate(TrialModel(Scored(), model_of(0), Values(trial.values), group), batches)
    data = data_of(trial_of(evaluation_sample=20), group)
    found["examined"] = examine(TrialModel(Scored(), model_of(0), FLOAT32, group), data.evaluation_batches(CHOSEN))
    models = ((step, TrialModel(Scored(), model_of(step), FLOAT32, group)) for step in (10, 20))
    found["rescored"] = rescore(models, lambda: data.evaluation_batches(FULL_VALIDATION))
    return found


def trained(group: Group) -> dict[str, Any]:
    trial, notes, saved = trial_of(evaluation_sample=20, batch_norm="sync"), Notes(), {}
    end = train(TrialRun(Scored(), trial, data_of(trial, group), group, notes), save_predictions=saved.__setitem__)
    return {"outcome": end.outcome, "rows": [row for row in notes.rows if row["split"] != "step"], "saved": saved}


def twice(group: Group) -> str | None:
    """What is said where the workers evaluate the same examples."""
    try:
        in_order({ROW: torch.arange(3)}, torch.ones(3, dtype=torch.bool), group)
    except RuntimeError as error:
        return str(error)
    return None


def experiments(group: Group) -> dict[str, Any]:
    return {"given": given(group), **modelled(group), "trained": trained(group), "twice": twice(group)}


Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(workers: Workers) -> Found:
    """What each worker of each group found, by the group's size and the worker's rank; 1 is this process."""
    running = {size: workers.start(experiments, size) for size in SIZES}
    torch.set_num_threads(1)
    alone = experiments(Group())
    return {1: [alone], **found_by(running)}


ANY_SIZE = pytest.mark.parametrize("size", (1, *SIZES))


@ANY_SIZE
def test_ev3_means_are_those_of_all_examples_to_1e_12(found, size):
    for each in found[size]:
        for (num, _), report in each["given"].items():
            costs = examples(num, num)["cost"]
            scale = math.fsum(abs(costs)) / num
            assert report["cost"] == pytest.approx(math.fsum(costs) / num, rel=1e-12, abs=1e-12 * scale)
            assert report["standard_error.cost"] == pytest.approx(costs.std(ddof=1) / num**0.5, rel=1e-12)


@ANY_SIZE
def test_ev6_examples_and_correct_predictions_of_a_class_are_counted_exactly(found, size):
    for each in found[size]:
        for (num, _), report in each["given"].items():
            columns = examples(num, num)
            assert report["num_examples"] == num
            for label, name in Scored().classes().items():
                of_class = columns["label"] == label
                assert report[f"num_examples.{name}"] == of_class.sum()
                assert report[f"num_correct.{name}"] == (of_class & (columns["guess"] == label)).sum()


@ANY_SIZE
def test_ev8_metrics_that_are_no_means_are_exact_over_shards(found, size):
    for each in found[size]:
        for (num, _), report in each["given"].items():
            columns = examples(num, num)
            assert report["average_precision"] == average_precision_score(columns["label"] == 2, columns["score"])
            assert report["in_order"] == np.polyval(columns["score"].astype(np.float64) / 4, 0.99)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch_size", [12, 17, 64])
def test_ev3_end_to_end_one_process_and_several_agree(found, size, batch_size):
    expected = found[1][0]["evaluated 12"]
    for each in found[size]:
        report = each[f"evaluated {batch_size}"]
        assert report.keys() == expected.keys()
        assert report == pytest.approx(expected, rel=1e-6)
        assert all(report[name] == value for name, value in expected.items() if name.startswith("num_"))


@ANY_SIZE
def test_ev4_what_is_examined_is_the_same_and_in_the_same_order_on_all_workers(found, size):
    expected = found[1][0]["examined"]
    columns = {"row", "label", "loss", "error", "predicted.label", "predicted.probability"}
    for each in found[size]:
        examined = each["examined"]
        assert set(examined) == columns
        assert np.array_equal(examined["row"], expected["row"])
        assert np.array_equal(examined["row"], np.unique(examined["row"]))
        assert np.array_equal(examined["label"], ARRAYS["validation"]["label"][examined["row"]])
        assert examined["predicted.probability"].shape == (16, 3)
        for name in columns:
            np.testing.assert_allclose(examined[name], expected[name], rtol=1e-5, atol=1e-6)


@ANY_SIZE
def test_ev8_kept_models_are_rescored_on_all_validation_examples(found, size):
    validation = {name: torch.from_numpy(column) for name, column in ARRAYS["validation"].items()}
    for each in found[size]:
        assert [(row["step"], row["split"]) for row in each["rescored"]] == [
            (10, FULL_VALIDATION),
            (20, FULL_VALIDATION),
        ]
        for row in each["rescored"]:
            with torch.no_grad():
                exact = Scored().metrics(model_of(row["step"]).eval(), validation, FLOAT32)
            assert row["num_examples"] == 61
            assert row["loss"] == pytest.approx(float(exact["loss"].double().mean()), rel=1e-6)
            assert row["error"] == float(exact["error"].double().mean())


@ANY_SIZE
def test_ev5_a_trial_scores_its_sample_and_at_its_end_the_whole_set(found, size):
    expected = found[1][0]["trained"]
    for each in found[size]:
        ours = each["trained"]
        assert ours["outcome"] == "completed"
        places = [(row["step"], row["split"]) for row in ours["rows"]]
        periodic = [(step, split) for step in (0, 10, 20) for split in ("train", "validation")]
        assert places == [*periodic, (20, FULL_VALIDATION)]
        assert [row.get("num_examples") for row in ours["rows"]] == [None, 20] * 3 + [61]
        for a, b in zip(ours["rows"], expected["rows"], strict=True):
            assert a.keys() == b.keys()
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert list(ours["saved"]) == [0, 10, 20]
        rows = [examined["row"].tolist() for examined in ours["saved"].values()]
        assert rows == [expected["saved"][0]["row"].tolist()] * 3


@pytest.mark.parametrize("size", SIZES)
def test_mh1_all_workers_report_the_same_bits(found, size):
    first = found[size][0]
    for each in found[size][1:]:
        assert repr(each["given"]) == repr(first["given"])
        assert each["trained"]["rows"] == first["trained"]["rows"]
        for step, examined in each["trained"]["saved"].items():
            for name, column in examined.items():
                assert np.array_equal(column, first["trained"]["saved"][step][name])


@pytest.mark.parametrize("size", SIZES)
def test_ev3_an_example_that_two_workers_evaluate_is_told_of(found, size):
    for each in found[size]:
        assert each["twice"] == f"every example is evaluated exactly once, but {3 * size} rows are not all different"
    assert found[1][0]["twice"] is None
