"""The tables: data, model, and short trainings (rules ST1, ST7, BN5 and SC4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.datasets import load_breast_cancer, load_diabetes

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.tabular import BreastCancer, Diabetes, standardized

WORKLOADS = {"cancer": BreastCancer(), "diabetes": Diabetes()}


def model(workload, **values):
    torch.manual_seed(0)
    return workload.model(Values(workload.hyperparameters() | values))


def rows(columns) -> list[bytes]:
    return [row.tobytes() for row in columns["row"]]


@pytest.mark.parametrize(
    ("workload", "sizes"),
    [
        (BreastCancer(), {"train": 327, "validation": 122, "test": 120}),
        (Diabetes(), {"train": 257, "validation": 87, "test": 98}),
    ],
)
def test_splits_are_disjoint_and_stable(workload, sizes):
    datasets = workload.datasets()
    assert {name: len(columns["row"]) for name, columns in datasets.items()} == sizes
    seen = [set(rows(columns)) for columns in datasets.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_standardization_is_fitted_on_the_training_rows_alone():
    for workload in WORKLOADS.values():
        for name, column in workload.datasets()["train"].items():
            if name != "label":
                assert np.allclose(column.mean(0), 0, atol=1e-5)
                assert np.allclose(column.std(0), 1, atol=1e-5)
    table = load_breast_cancer().data
    numbers, split = standardized(table)
    table[split != "train"] += 1000 * table.std(0)
    # Whatever the other rows hold, the training rows come out the same.
    train = table[split == "train"]
    assert np.array_equal(numbers[split == "train"], ((train - train.mean(0)) / train.std(0)).astype(np.float32))


def test_labels_are_those_of_the_table():
    table = load_breast_cancer()
    share = (table.target_names[table.target] == "malignant").mean()
    labels = np.concatenate([columns["label"] for columns in BreastCancer().datasets().values()])
    assert labels.mean() == share == 212 / 569
    targets = np.concatenate([columns["target"] for columns in Diabetes().datasets().values()])
    assert abs(np.corrcoef(np.sort(targets), np.sort(load_diabetes().target))[0, 1] - 1) < 1e-6


def test_the_imbalanced_task_keeps_every_benign_row_and_some_of_the_malignant():
    labels = {
        share: np.concatenate([columns["label"] for columns in BreastCancer(share).datasets().values()])
        for share in (0.1, 0.3, 1.0)
    }
    assert {share: int((label == 0).sum()) for share, label in labels.items()} == dict.fromkeys(labels, 357)
    malignant = {share: int(label.sum()) for share, label in labels.items()}
    assert malignant[0.1] < malignant[0.3] < malignant[1.0] == 212
    for share, count in malignant.items():
        assert abs(count / 212 - share) < 0.05
    assert BreastCancer(0.1).spec().settings == {"malignant_kept": 0.1}


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SpecError, match="0 < malignant_kept <= 1 must hold"):
        BreastCancer(share)
    with pytest.raises(SpecError, match=r"every split must keep malignant rows, but 0\.001 leaves one"):
        BreastCancer(0.001).datasets()


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_st1_a_short_training_is_far_better_than_chance(train_alone, normalization):
    def last(workload, datasets):
        found = train_alone(workload, datasets, 60, learning_rate=0.03, normalization=normalization)
        return next(row for row in found if row["step"] == 60 and row["split"] == "validation")

    cancer, diabetes = (workload.datasets() for workload in WORKLOADS.values())
    rarer = cancer["validation"]["label"].mean()
    assert last(WORKLOADS["cancer"], cancer)["error"] < 0.2 * rarer
    guessing_the_mean = (diabetes["validation"]["target"] ** 2).mean()
    assert last(WORKLOADS["diabetes"], diabetes)["loss"] < 0.8 * guessing_the_mean


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize(("normalization", "num_norm"), [("none", 1), ("batch", 2), ("layer", 2)])
def test_st7_width_and_depth_make_the_model(depth, width, normalization, num_norm):
    net = model(WORKLOADS["cancer"], width=width, depth=depth, normalization=normalization)
    num_in = [30, *[width] * depth]
    hidden = sum(num * width + num_norm * width for num in num_in[:-1])  # weights, then bias or scale and offset
    assert sum(parameter.numel() for parameter in net.parameters()) == hidden + num_in[-1] * 2 + 2
    assert net(torch.zeros(3, 30)).shape == (3, 2)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
        ("tanh", lambda x: 1 - 2 / (torch.exp(2 * x) + 1)),
    ],
)
def test_st7_activation_is_a_choice(name, formula):
    net = model(WORKLOADS["cancer"], depth=1, normalization="none", activation=name).double()
    x = torch.rand(5, 30, dtype=torch.float64) - 0.5
    linear = net.hidden[0][0]
    hidden = formula(x @ linear.weight.T + linear.bias)
    torch.testing.assert_close(net(x), hidden @ net.head.weight.T + net.head.bias)


def test_bn5_layer_norm_is_over_the_features_of_each_row():
    net = model(WORKLOADS["cancer"], depth=1, normalization="layer").double()
    x = torch.rand(5, 30, dtype=torch.float64) * 7
    features = x @ net.hidden[0][0].weight.T
    variance, mean = torch.var_mean(features, 1, correction=0, keepdim=True)
    expected = ((features - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    torch.testing.assert_close(net.hidden(x), expected)


def test_unknown_choices_are_one_sentence():
    for name, value in (("normalization", "ghost"), ("activation", "sine")):
        with pytest.raises(SpecError, match=f"{name} must be one of .*, but got '{value}'"):
            model(WORKLOADS["cancer"], **{name: value})


def test_sc4_dropout_and_label_smoothing_take_effect_in_training_alone():
    workload = WORKLOADS["cancer"]
    net = model(workload, dropout=0.5, normalization="layer")
    batch = {"row": torch.rand(16, 30), "label": torch.arange(16) % 2}
    values = Values(workload.hyperparameters() | {"label_smoothing": 0.2})
    assert not torch.equal(net(batch["row"]), net(batch["row"]))
    net.eval()
    assert torch.equal(net(batch["row"]), net(batch["row"]))
    own = F.cross_entropy(net(batch["row"]), batch["label"], reduction="none")
    assert torch.equal(workload.loss(net, batch, values), own)
    assert torch.equal(workload.metrics(net, batch, values)["loss"], own)
    plain = model(workload)
    log_shares = F.log_softmax(plain(batch["row"]), 1)
    smooth = 0.8 * -log_shares[torch.arange(16), batch["label"]] - 0.2 * log_shares.mean(1)
    torch.testing.assert_close(workload.loss(plain, batch, values), smooth)


def test_regression_is_judged_by_squares_and_absolute_differences():
    workload = WORKLOADS["diabetes"]
    net = model(workload).eval()
    batch = {"row": torch.rand(16, 10), "target": torch.rand(16)}
    values = Values(workload.hyperparameters())
    difference = net(batch["row"])[:, 0] - batch["target"]
    assert torch.equal(workload.loss(net, batch, values), difference**2)
    metrics = workload.metrics(net, batch, values)
    assert torch.equal(metrics["loss"], difference**2)
    assert torch.equal(metrics["error"], difference.abs())
    assert torch.equal(workload.predictions(net, batch, values)["target"], net(batch["row"])[:, 0])


def test_ev8_average_precision_is_the_mean_precision_at_each_malignant_row():
    workload = BreastCancer(0.2)
    rng = np.random.default_rng(0)
    labels = (rng.random(40) < 0.2).astype(np.int64)
    probabilities = rng.random(40).astype(np.float32)
    found = workload.set_metrics({"malignant": probabilities}, labels)["average_precision"]
    ranked = labels[np.argsort(-probabilities)]
    precisions = np.cumsum(ranked) / np.arange(1, 41)
    assert found == pytest.approx(precisions[ranked == 1].mean(), rel=1e-12)
    nan = workload.set_metrics({"malignant": np.full(40, np.nan, np.float32)}, labels)
    assert np.isnan(nan["average_precision"])


def test_predictions_are_a_class_and_its_probability():
    workload = BreastCancer()
    net, row = model(workload).eval(), torch.rand(16, 30) * 4 - 2
    found = workload.predictions(net, {"row": row}, Values(workload.hyperparameters()))
    odds = torch.exp(net(row)[:, 1] - net(row)[:, 0])
    torch.testing.assert_close(found["malignant"], odds / (1 + odds))
    assert torch.equal(found["label"], (odds > 1).long())
    assert workload.classes() == {1: "malignant"}
