"""Rule ST5: the level of chance, by permuted labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.metrics import average_precision_score
from torch import nn

from raytune_playbook import Objective, Workload
from raytune_playbook.procedures.check_initial.against_chance import judged
from raytune_playbook.procedures.check_initial.permuted import NUM_PERMUTATIONS, scored

NUM = 150


class Linear(Workload):
    """Three classes of four numbers, by a linear model whose weights are given."""

    weights = torch.tensor([[3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 0]])

    def datasets(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(NUM, 4)).astype(np.float32)
        return {"validation": {"x": x, "label": (x[:, :3] + rng.normal(size=(NUM, 3))).argmax(1)}}

    def model(self, values):
        model = nn.Linear(4, 3)
        model.weight.data, model.bias.data = self.weights.clone(), torch.zeros(3)
        return model

    def loss(self, model, batch, values):
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")

    def metrics(self, model, batch, values):
        return {
            "loss": self.loss(model, batch, values),
            "error": (model(batch["x"]).argmax(1) != batch["label"]).float(),
        }


class Ignorant(Linear):
    """Says the same of every example."""

    weights = torch.zeros(3, 4)


class LabelsInside(Linear):
    """Its model is given the labels, and returns what each example costs."""

    def model(self, values):
        return Costs(super().model(values))

    def metrics(self, model, batch, values):
        return {"error": model(batch["x"], batch["label"])}


class Costs(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, label):
        return (self.inner(x).argmax(1) != label).float()


class Looking(Linear):
    """Does more with its model than to call it."""

    def metrics(self, model, batch, values):
        return {"error": (F.linear(batch["x"], model.weight, model.bias).argmax(1) != batch["label"]).float()}


class Sequences(Workload):
    """What follows each of five numbers, said by a model that looks at pieces of the window."""

    def datasets(self):
        return {"validation": {"text": np.random.default_rng(2).integers(0, 5, (70, 7)).cumsum(1) % 5}}

    def model(self, values):
        return nn.Embedding(5, 5)

    def loss(self, model, batch, values):
        text = batch["text"]
        logits = model(text[:, :-1].reshape(-1, 3)).flatten(0, 1)  # two pieces of each window
        return F.cross_entropy(logits, text[:, 1:].flatten(), reduction="none").view(len(text), -1).mean(1)


class TimeFirst(Sequences):
    """Its model's outputs have the examples second."""

    def loss(self, model, batch, values):
        text = batch["text"]
        logits = model(text[:, :-1].T)
        return F.cross_entropy(logits.flatten(0, 1), text[:, 1:].T.flatten(), reduction="none").view(6, -1).mean(0)


class Ranked(Linear):
    """Judged by how well class 0 is found."""

    def predictions(self, model, batch, values):
        return {"label": model(batch["x"]).argmax(1), "zero": model(batch["x"]).softmax(1)[:, 0]}

    def set_metrics(self, predictions, labels):
        return {"precision": average_precision_score(labels == 0, predictions["zero"])}


def permutations(seed: int, num: int = NUM) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(num) for _ in range(NUM_PERMUTATIONS)]


def said(kept, columns):
    with torch.no_grad():
        return kept.model.module(torch.from_numpy(columns["x"])).numpy()


def test_st5_what_a_model_says_is_scored_against_the_labels_of_other_examples(kept):
    workload = Linear()
    columns, model = workload.datasets()["validation"], kept(workload)
    found = scored(model, columns, "error", seed=3)
    classes, labels = said(model, columns).argmax(1), columns["label"]
    assert found.value == pytest.approx((classes != labels).mean())
    assert found.permuted == pytest.approx([(classes[rows] != labels).mean() for rows in permutations(3)])
    average = said(model, columns).mean(0).argmax()
    assert found.constant == pytest.approx((labels != average).mean())
    assert (found.num_examples, found.why_not_permuted) == (NUM, "")


@pytest.mark.parametrize(
    ("workload", "num_drawn_before"),
    [(LabelsInside(), NUM_PERMUTATIONS), (Looking(), 0)],
    ids=["labels inside", "looks inside"],
)
def test_st5_where_outputs_tell_nothing_the_label_column_is_permuted_and_the_model_asked_again(
    kept, workload, num_drawn_before
):
    columns = workload.datasets()["validation"]
    found = scored(kept(workload), columns, "error", seed=3)
    classes, labels = said(kept(Linear()), columns).argmax(1), columns["label"]
    assert found.value == pytest.approx((classes != labels).mean())
    rng = np.random.default_rng(3)
    drawn = [rng.permutation(NUM) for _ in range(num_drawn_before + NUM_PERMUTATIONS)][num_drawn_before:]
    assert found.permuted == pytest.approx([(classes != labels[rows]).mean() for rows in drawn])
    assert found.constant is None


def test_st5_a_sequence_is_scored_by_what_was_said_of_another_one(kept):
    workload = Sequences()
    columns, model = workload.datasets()["validation"], kept(workload)
    found = scored(model, columns, "loss", seed=3)
    text = torch.from_numpy(columns["text"])
    with torch.no_grad():
        logits = model.model.module(text[:, :-1])  # (70, 6, 5)
    for rows, value in zip(permutations(3, 70)[:20], found.permuted[:20], strict=True):
        expected = F.cross_entropy(logits[torch.from_numpy(rows)].flatten(0, 1), text[:, 1:].flatten()).item()
        assert value == pytest.approx(expected, rel=1e-5)


def test_st5_what_cannot_be_permuted_is_said_and_measured_by_the_untrained_model(kept):
    workload = TimeFirst()
    found = scored(kept(workload), workload.datasets()["validation"], "loss", seed=3)
    assert found.permuted == ()
    assert "its outputs are not of single examples" in found.why_not_permuted
    against = judged(found, 2 * found.value, Objective(metric="loss"))
    assert against is not None
    assert (against.p_value, against.level_of, against.share) == (None, "the untrained model", pytest.approx(0.5))
    assert against.is_clearly_better


def test_st5_a_model_that_says_the_same_of_every_example_is_not_better_than_chance(kept):
    workload = Ignorant()
    found = scored(kept(workload), workload.datasets()["validation"], "error", seed=3)
    assert found.permuted == pytest.approx([found.value] * NUM_PERMUTATIONS)
    against = judged(found, None, Objective())
    assert against is not None
    assert against.share == pytest.approx(0.0)
    assert not against.is_clearly_better


def test_st5_a_metric_of_the_whole_set_has_its_labels_permuted(kept):
    workload = Ranked()
    columns, model = workload.datasets()["validation"], kept(workload)
    found = scored(model, columns, "precision", seed=3)
    zero, labels = torch.from_numpy(said(model, columns)).softmax(1)[:, 0].numpy(), columns["label"]
    expected = [average_precision_score(labels[rows] == 0, zero) for rows in permutations(3)]
    assert found.permuted == pytest.approx(expected)
    against = judged(found, 0.3, Objective(metric="precision", goal="maximize"))
    assert against is not None
    assert against.is_clearly_better
