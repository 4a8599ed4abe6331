"""Models and losses that cannot be trained, each one sentence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.train.checks.given_examples import require_finite_losses
from raytune_playbook.train.checks.trainable import require_trainable
from raytune_playbook.train.group import Group
from raytune_playbook.train.trial_run import TrialRun
from tests.train.conftest import ARRAYS, batches_of
from tests.workers import Notes


def with_parameter(dtype: torch.dtype, *, requires_grad: bool = True) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model.other = nn.Parameter(torch.zeros(3, dtype=dtype), requires_grad=requires_grad)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: len, "must return a torch.nn.Module, but returns an object of type builtin_function_or_method"),
        (lambda: None, "must return a torch.nn.Module, but returns nothing"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), "must know its sizes .*, but '0.weight' of LazyLinear has none yet"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.LazyBatchNorm1d()),
            "but '1.weight' of LazyBatchNorm1d has none yet",
        ),
        (lambda: nn.LazyBatchNorm1d(affine=False), "but 'running_mean' of LazyBatchNorm1d has none yet"),
        (lambda: nn.Linear(2, 2, device="meta"), "needs storage, but 'weight' is on torch's meta device"),
        (nn.Flatten, "needs a parameter that requires a gradient, but of Flatten it has none"),
        (lambda: nn.Linear(2, 2).requires_grad_(False), "but of Linear all of its parameters are frozen"),
        (lambda: with_parameter(torch.complex64), "must be real numbers, but 'other' is complex64"),
        (lambda: with_parameter(torch.float64), "must be of one type, but '0.weight' is float32, 'other' is float64"),
    ],
)
def test_a_model_that_cannot_be_trained_is_one_sentence(small, make_trial, run_alone, model, words):
    class Untrainable(type(small)):
        def model(self, values):
            return model()

    with pytest.raises(SpecError, match=f"^Workload.model.*{words}"):
        run_alone(Untrainable(), make_trial())


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.complex64])
def test_what_is_not_trained_may_be_of_any_type(dtype):
    model = with_parameter(dtype, requires_grad=False)
    assert require_trainable(model) is model
    assert require_trainable(nn.Linear(2, 2).double())


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda losses: losses.detach(), "Workload.loss must depend on the model's trainable parameters"),
        (lambda losses: losses.mean(), r"Workload.loss must have one value per example, .* but has shape \(\)"),
        (lambda losses: 3.0, "Workload.loss must be a tensor .* but is an object of type float"),
        (lambda losses: None, "Workload.loss must be a tensor .* but is nothing"),
        (lambda losses: losses * 1j, "Workload.loss must be real numbers, but they are complex64"),
    ],
)
def test_a_loss_that_cannot_be_learned_from_is_one_sentence(small, make_trial, run_alone, loss, words):
    class Lossy(type(small)):
        def loss(self, model, batch, values):
            return loss(super().loss(model, batch, values))

    with pytest.raises(SpecError, match=f"^{words}"):
        run_alone(Lossy(), make_trial())


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (None, "must return a mapping of names to metrics, .* but returns nothing"),
        ({}, "must return a mapping of names to metrics, .* but returns an empty one"),
        (torch.zeros(3), "must return a mapping of names to metrics, .* but returns an object of type Tensor"),
        ({"error": 0.5}, ": error must be a tensor .* but is an object of type float"),
    ],
)
def test_metrics_that_are_none_are_one_sentence(small, make_trial, run_alone, metrics, words):
    class Unmeasured(type(small)):
        def metrics(self, model, batch, values):
            return metrics

    with pytest.raises(SpecError, match=f"^Workload.metrics.*{words}"):
        run_alone(Unmeasured(), make_trial())


# ---------------------------------------------------------------------- examples that are not finite


BEARS = [
    ("as it is", "the loss is not finite"),
    ("masked before", None),
    ("masked after", "the gradient of the loss is not finite"),
]


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("how", "fault"), BEARS)
def test_an_example_that_training_does_not_bear_is_named(small, make_trial, number, how, fault):
    class Linear(type(small)):
        def model(self, values):
            return nn.Linear(6, 2)

        def loss(self, model, batch, values):
            x = batch["x"]
            if how == "masked before":
                x = torch.nan_to_num(x, 0.0, 0.0, 0.0)
            losses = super().loss(model, {**batch, "x": x}, values)
            return torch.where(x.isfinite().all(1), losses, 0.0) if how == "masked after" else losses

    broken = {name: values[3:4].copy() for name, values in ARRAYS["train"].items()}
    suspects = [("this one is fine", broken), ("column 'x' of 'train' holds it in row 3", {**broken})]
    suspects[1][1]["x"] = broken["x"].copy()
    suspects[1][1]["x"][0, 2] = number
    trial, group, workload = make_trial(), Group(), Linear()
    run = TrialRun(workload, trial, batches_of(workload, trial, group), group, Notes())
    if fault is None:
        require_finite_losses(run, suspects)
    else:
        words = f"^Training needs finite numbers, but column 'x' of 'train' holds it in row 3, and .* {fault}; fill"
        with pytest.raises(DataError, match=words):
            require_finite_losses(run, suspects)


def test_what_is_not_finite_without_the_example_is_no_fault_of_its(small, make_trial):
    class Broken(type(small)):
        def loss(self, model, batch, values):
            return super().loss(model, batch, values) * torch.nan

    example = {name: values[3:4] for name, values in ARRAYS["train"].items()}
    trial, group, workload = make_trial(), Group(), Broken()
    run = TrialRun(workload, trial, batches_of(workload, trial, group), group, Notes())
    require_finite_losses(run, [("it is fine", example)])


def test_what_evaluations_reported_is_known_at_the_end_the_newest_value_of_each(small, make_trial, run_alone):
    class Late(type(small)):
        def metrics(self, model, batch, values):
            found, steps = super().metrics(model, batch, values), getattr(model, "steps", 0)
            return found | ({"score": torch.full((len(batch["x"]),), float(steps))} if steps else {})

        def loss(self, model, batch, values):
            model.steps = getattr(model, "steps", 0) + model.training
            return super().loss(model, batch, values)

    end, notes = run_alone(Late(), make_trial())
    assert end.metrics["validation"]["score"] == 20.0
    assert end.metrics["validation"].keys() == {"loss", "error", "score"}
    assert [row.get("score") for row in notes.rows if row["split"] == "validation"] == [None, 8.0, 16.0, 20.0]
