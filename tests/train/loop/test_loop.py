"""One trial in one process, from its specification to its outcome."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from raytune_playbook.analysis.judging.divergence import diverged_again
from raytune_playbook.data.order import BatchShare, batch_rows
from raytune_playbook.errors import Infeasible, SpecError
from raytune_playbook.records.columns import STEP_COLUMNS, TIME_COLUMNS, measurements_table
from raytune_playbook.study.seeds import shared_seed, worker_seed
from raytune_playbook.train.update.averaging import NUM_STATISTICS_BATCHES
from raytune_playbook.train.update.optimizers import optimizer
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values

ALL_KINDS = [
    {},
    {"optimizer": "adam", "schedule": "cosine", "dropout": 0.3, "clipping_norm": 0.5},
    {"optimizer": "nesterov", "schedule": "linear", "decay_steps": 5, "warmup_steps": 3, "batch_norm": "sync"},
    {"optimizer": "sgd", "batch_norm": "ghost", "virtual_batch_size": 5, "weight_decay": 0.01},
]


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in TIME_COLUMNS} for row in rows]


@pytest.mark.parametrize("values", ALL_KINDS, ids=range(len(ALL_KINDS)))
def test_a_trial_is_the_same_bit_for_bit_whatever_ran_before(small, make_trial, run_alone, values):
    trial = make_trial(**values)
    first = run_alone(small, trial)[1]
    run_alone(small, make_trial(index=1, optimizer="adam"))
    torch.manual_seed(123)
    torch.rand(7)
    second = run_alone(small, trial)[1]
    assert without_times(second.rows) == without_times(first.rows)
    kept = small.models[0].state_dict(), small.models[2].state_dict()
    assert all(torch.equal(a, b) for a, b in zip(kept[0].values(), kept[1].values(), strict=True))


FETCHES = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default, torch.ops.aten.nonzero.default}
"""What waits for a device, since its answer is a number of the host's."""


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "nadam"])
def test_pi3_nothing_is_fetched_from_the_device_between_reporting_intervals(small, make_trial, run_alone, optimizer):
    begun, fetched_after = [], set()

    class Counted(type(small)):
        def augment(self, batch, values):
            begun.append(len(begun))
            return super().augment(batch, values)

    class Fetches(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in FETCHES:
                fetched_after.add(len(begun))
            return func(*args, **(kwargs or {}))

    values = {"clipping_norm": 0.5, "averaging": "exponential", "schedule": "cosine", "dropout": 0.1}
    trial = make_trial(optimizer=optimizer, weight_decay=0.01, **values)
    with Fetches():
        end, _ = run_alone(Counted(), trial)
    assert (end.training.num_steps, len(begun)) == (20, 20)
    assert fetched_after <= {0, 8, 16, 20}
    assert {8, 16, 20} <= fetched_after  # they are seen


def test_mh2_index_and_repeat_change_initialization_and_order(small, make_trial, run_alone):
    losses = {
        tuple(row["loss"] for row in run_alone(small, trial)[1].rows)
        for trial in (make_trial(), make_trial(index=1), make_trial(repeat=1))
    }
    assert len(losses) == 3


def test_ev2_rows_come_before_the_first_step_at_every_interval_and_after_the_last_step(small, make_trial, run_alone):
    end, notes = run_alone(small, make_trial(max_train_steps=20, evaluation_interval_steps=8, warmup_steps=1))
    assert notes.steps == list(range(21))
    found = [[(row["split"], row["step"]) for row in report] for report in notes.reports]
    evaluations = {step: [("train", step), ("validation", step)] for step in (0, 8, 16, 21)}
    assert found == [
        evaluations[0],
        [("step", step) for step in range(1, 9)],
        evaluations[8],
        [("step", step) for step in range(9, 17)],
        evaluations[16],
        [("step", step) for step in range(17, 22)],
        evaluations[21],
    ]
    for row in notes.rows:
        names = set(STEP_COLUMNS) if row["split"] == "step" else {"loss", "error"}
        assert set(row) == names | {"step", "split"}
        assert all(math.isfinite(row[name]) for name in names)
    assert (end.outcome, end.reason, end.training.num_steps) == ("completed", None, 21)
    assert end.training.num_parameters == sum(parameter.numel() for parameter in small.models[0].parameters()) == 90


def test_sc1_rows_hold_the_schedule(small, make_trial, run_alone):
    notes = run_alone(small, make_trial(schedule="linear", warmup_steps=4))[1]
    rates = [row["learning_rate"] for row in notes.rows if row["split"] == "step"]
    expected = [0.1 * step / 5 for step in (1, 2, 3, 4)] + [0.1 * (1 - step / 20) for step in range(20)]
    assert rates == pytest.approx(expected, rel=1e-14)


def reference(workload, trial, *, clipping_norm=None):
    """SGD written down plainly over the same batches; the losses and unclipped norms of every step."""
    values = Values(trial.values)
    torch.manual_seed(shared_seed("initialization", trial))
    model = workload.model(values).train()
    data = workload.datasets()["train"]
    found = []
    rows = batch_rows(trial, len(data["x"]), BatchShare(values.integer("batch_size")))
    for step in range(trial.max_train_steps):
        chosen = next(rows)
        batch = {name: torch.from_numpy(column[chosen]) for name, column in data.items()}
        torch.manual_seed(worker_seed("dropout", trial, rank=0, step=step))
        model.zero_grad()
        loss = workload.loss(model, batch, values).mean()
        loss.backward()
        grads = [parameter.grad for parameter in model.parameters()]
        norm = math.sqrt(sum(grad.double().square().sum().item() for grad in grads))
        found.append((loss.item(), norm))
        scale = 1.0 if clipping_norm is None or norm <= clipping_norm else clipping_norm / norm
        with torch.no_grad():
            for parameter, grad in zip(model.parameters(), grads, strict=True):
                parameter -= values.number("learning_rate") * scale * grad
    return found, model


@pytest.mark.parametrize("clipping_norm", [None, 0.3, 0.6, 1e-9, 1e9])
def test_un2_un6_norms_are_logged_unclipped_and_gradients_above_the_threshold_are_scaled_to_it(
    small, make_trial, run_alone, clipping_norm
):
    trial = make_trial(optimizer="sgd", clipping_norm=clipping_norm, dropout=0.2)
    notes = run_alone(small, trial)[1]
    steps = [row for row in notes.rows if row["split"] == "step"]
    expected, model = reference(small, trial, clipping_norm=clipping_norm)
    assert [row["loss"] for row in steps] == pytest.approx([loss for loss, _ in expected], rel=1e-5)
    assert [row["gradient_norm"] for row in steps] == pytest.approx([norm for _, norm in expected], rel=1e-5)
    for a, b in zip(small.models[0].parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    if clipping_norm == 0.6:  # some steps are clipped, others not
        assert 0 < sum(norm > clipping_norm for _, norm in expected) < len(expected)


@pytest.mark.parametrize("clipping_norm", [0.0, -1.0])
def test_un6_a_threshold_that_cannot_be_is_one_sentence(small, make_trial, run_alone, clipping_norm):
    with pytest.raises(SpecError, match=r"clipping_norm must be above 0, but got .*use None for no clipping"):
        run_alone(small, make_trial(clipping_norm=clipping_norm))


def test_ev7_training_and_validation_error_are_taken_in_evaluation_mode(small, make_trial, run_alone):
    trial = make_trial(dropout=0.5)
    notes = run_alone(small, trial)[1]
    last = {row["split"]: row for row in notes.reports[-1]}
    (model,) = small.models
    assert model.training
    model.eval()
    for split, columns in small.datasets().items():
        batch = {name: torch.from_numpy(column) for name, column in columns.items()}
        with torch.no_grad():
            for name, value in small.metrics(model, batch, Values(trial.values)).items():
                assert last[split][name] == pytest.approx(value.double().mean().item(), rel=1e-6)


def test_ev7_what_augments_training_batches_leaves_evaluations_alone(small, make_trial, run_alone):
    """Of the training sample, too, and of the batches that statistics of averaged weights are estimated on."""

    class Shifting(type(small)):
        def augment(self, batch, values):
            return {**batch, "x": batch["x"] + 100 * torch.rand(())}

    workload = Shifting()
    trial = make_trial(learning_rate=0.0, averaging="uniform", batch_norm="device")
    last = {row["split"]: row for row in run_alone(workload, trial)[1].reports[-1]}
    model = workload.models[-1].eval()
    averaged = copy.deepcopy(model)
    statistics_of_batches(workload, averaged, trial)
    for suffix, net in (("", model), ("_average", averaged)):
        for split, columns in small.datasets().items():
            batch = {name: torch.from_numpy(column) for name, column in columns.items()}
            with torch.no_grad():
                loss = small.metrics(net, batch, Values(trial.values))["loss"].double().mean().item()
            assert last[split + suffix]["loss"] == pytest.approx(loss, rel=1e-5), split + suffix


def statistics_of_batches(workload, model, trial):
    """Set a model's running statistics to their mean over the first training batches, as they are."""
    data, norm = workload.datasets()["train"], model[1]
    rows = batch_rows(trial, len(data["x"]), BatchShare(trial.values["batch_size"]))
    found = []
    for _ in range(NUM_STATISTICS_BATCHES):
        with torch.no_grad():
            inputs = model[0](torch.from_numpy(data["x"][next(rows)]))
        found.append((inputs.mean(0), inputs.var(0)))
    norm.running_mean.copy_(torch.stack([mean for mean, _ in found]).mean(0))
    norm.running_var.copy_(torch.stack([var for _, var in found]).mean(0))


@pytest.mark.parametrize("start_step", [0, 3])
@pytest.mark.parametrize("averaging", ["uniform", "exponential"])
def test_sc3_the_average_is_over_the_weights_after_each_step_from_the_start_on(
    small, make_trial, run_alone, averaging, start_step
):
    class Plain(type(small)):
        def model(self, values):
            return nn.Linear(6, 2)

    settings = {"averaging": averaging, "averaging_start_step": start_step, "averaging_decay": 0.7}
    trial = make_trial(max_train_steps=8, evaluation_interval_steps=1, optimizer="sgd", **settings)
    rows = [row for row in run_alone(Plain(), trial)[1].rows if row["split"] == "validation_average"]
    batch = {name: torch.from_numpy(column) for name, column in small.datasets()["validation"].items()}
    expected, average, weights = {}, None, states_of_sgd(Plain(), trial)
    for num_steps, state in enumerate(weights, start=1):
        if num_steps <= start_step:
            continue
        share = 1 / (num_steps - start_step) if averaging == "uniform" else 0.3
        average = state if average is None else [a + share * (b - a) for a, b in zip(average, state, strict=True)]
        logits = batch["x"] @ average[0].T + average[1]
        expected[num_steps] = F.cross_entropy(logits, batch["label"]).item()
    assert {row["step"]: row["loss"] for row in rows} == pytest.approx(expected, rel=1e-5)


def states_of_sgd(workload, trial):
    """The parameters after each step, by SGD written down plainly."""
    values, data = Values(trial.values), workload.datasets()["train"]
    torch.manual_seed(shared_seed("initialization", trial))
    model = workload.model(values)
    rows = batch_rows(trial, len(data["x"]), BatchShare(values.integer("batch_size")))
    found = []
    for _ in range(trial.max_train_steps):
        chosen = next(rows)
        batch = {name: torch.from_numpy(column[chosen]) for name, column in data.items()}
        model.zero_grad()
        workload.loss(model, batch, values).mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= values.number("learning_rate") * parameter.grad
        found.append([parameter.detach().clone() for parameter in model.parameters()])
    return found


def test_ba8_each_step_is_one_update_after_exactly_one_global_batch(small, make_trial, run_alone, monkeypatch):
    """No gradients are accumulated over several batches, nor is one batch cut into several updates."""
    happened = []

    class Told(type(small)):
        def loss(self, model, batch, values):
            if model.training:
                happened.append(batch["x"].numpy().copy())
            return super().loss(model, batch, values)

    def told_optimizer(model, values):
        rule = optimizer(model, values)
        update = rule.update
        rule.update = lambda rate: (happened.append("update"), update(rate))
        return rule

    monkeypatch.setattr("raytune_playbook.train.loop.optimizer", told_optimizer)
    trial = make_trial()
    run_alone(Told(), trial)
    data, rows = small.datasets()["train"]["x"], batch_rows(trial, 70, BatchShare(12))
    assert happened[1::2] == ["update"] * trial.max_train_steps
    for given in happened[::2]:
        assert np.array_equal(given, data[next(rows)])
    assert not [name for name in TRAINING_DEFAULTS if "accum" in name]


def test_it_learns(small, make_trial, run_alone):
    notes = run_alone(small, make_trial(max_train_steps=300, evaluation_interval_steps=300))[1]
    errors = [row["error"] for row in notes.rows if row["split"] == "train"]
    assert errors[-1] < 0.1 < 0.3 < errors[0]


# ------------------------------------------------------------------ outcomes that are not "completed"


def breaking(small, step, value):
    """The small workload, whose loss is multiplied by a value from a step on."""

    class Breaking(type(small)):
        num_losses = 0

        def loss(self, model, batch, values):
            Breaking.num_losses += 1
            loss = super().loss(model, batch, values)
            return loss * value if Breaking.num_losses > step else loss

    return Breaking()


@pytest.mark.parametrize(
    ("value", "reason"),
    [(math.nan, "NaN: training loss at step 4"), (math.inf, "infinity: training loss at step 4")],
)
def test_in3_nan_and_infinity_are_infeasible_with_the_step(small, make_trial, run_alone, value, reason):
    end, notes = run_alone(breaking(small, 3, value), make_trial())
    assert (end.outcome, end.reason) == ("infeasible", reason)
    # The rows of the interval are reported before the trial ends, and no evaluation follows.
    assert [row["step"] for row in notes.reports[-1]] == list(range(1, 9))
    assert end.training.num_steps == 8


def test_in3_an_infinite_gradient_of_a_finite_loss_is_infeasible(small, make_trial, run_alone):
    class Steep(type(small)):
        def loss(self, model, batch, values):
            logits = model(batch["x"])
            return (logits[:, 0] - logits[:, 0].detach()).clamp(min=0).sqrt() + 1.0

    end, _ = run_alone(Steep(), make_trial(batch_norm="device"))
    assert end.outcome == "infeasible"
    assert end.reason.endswith(": gradient norm at step 1")


@pytest.mark.parametrize(("scale", "diverges"), [(1.9, False), (30.0, True)])
@pytest.mark.parametrize("max_train_steps", [16, 20])
def test_in3_divergence_is_told_by_the_test_that_analysis_can_redo(
    small, make_trial, run_alone, scale, diverges, max_train_steps
):
    trial = make_trial(max_train_steps=max_train_steps, learning_rate=1e-6)
    end, notes = run_alone(breaking(small, 12, scale), trial)
    table = measurements_table(notes.rows)
    assert diverged_again(table, evaluation_interval_steps=8, factor=2.0) is diverges
    assert end.outcome == ("infeasible" if diverges else "completed")
    assert end.training.num_steps == max_train_steps
    assert notes.rows[-1]["step"] == max_train_steps  # it was evaluated all the same
    if diverges:
        steps = [row["loss"] for row in notes.rows if row["split"] == "step"]
        last = np.mean(steps[8:16] if max_train_steps == 16 else steps[16:20])
        assert end.reason == (
            f"diverged: training loss {last:.4g} over the last interval exceeds 2 x {steps[0]:.4g} at step 0"
        )
        factor = last / steps[0]
        patient = make_trial(max_train_steps=max_train_steps, learning_rate=1e-6, divergence_factor=factor * 1.01)
        assert run_alone(breaking(small, 12, scale), patient)[0].outcome == "completed"


def test_in3_a_workload_may_declare_a_point_infeasible_before_and_during_training(small, make_trial, run_alone):
    class Early(type(small)):
        def infeasible(self, values):
            return "too wide" if values.number("learning_rate") > 1 else None

    end, notes = run_alone(Early(), make_trial(learning_rate=2.0))
    assert (end.outcome, end.reason, end.training.num_steps, notes.rows) == ("infeasible", "declared: too wide", 0, [])
    assert run_alone(Early(), make_trial())[0].outcome == "completed"

    class Late(type(small)):
        def loss(self, model, batch, values):
            raise Infeasible("declared: out of reach")

    end, notes = run_alone(Late(), make_trial())
    assert (end.outcome, end.reason, end.training.num_steps) == ("infeasible", "declared: out of reach", 0)


def test_a_bug_is_not_an_outcome(small, make_trial, run_alone):
    class Buggy(type(small)):
        def model(self, values):
            raise KeyError("width")

    with pytest.raises(KeyError, match="width"):
        run_alone(Buggy(), make_trial())


@pytest.mark.parametrize(("stop_at", "num_steps"), [(0, 8), (7, 8), (8, 16), (15, 16)])
def test_a_stop_request_ends_the_trial_at_the_next_interval(small, make_trial, run_alone, stop_at, num_steps):
    whole = run_alone(small, make_trial())[1]
    end, notes = run_alone(small, make_trial(), stop_at)
    assert (end.outcome, end.reason, end.training.num_steps) == (None, None, num_steps)
    assert without_times(notes.rows) == without_times(whole.rows)[: len(notes.rows)]
    assert notes.rows[-1]["step"] == num_steps


def test_ba6_a_trial_ends_at_the_first_evaluation_that_reaches_its_target(small, make_trial, run_alone):
    whole = run_alone(small, make_trial(max_train_steps=64))[1]
    errors = {row["step"]: row["error"] for row in whole.rows if row["split"] == "validation"}
    target = sorted(errors.values())[1]
    reached = min(step for step, error in errors.items() if error <= target)
    assert 0 < reached < 64
    end, notes = run_alone(small, make_trial(max_train_steps=64, target=target))
    assert (end.outcome, end.training.num_steps) == ("completed", reached)
    until = [row for row in without_times(whole.rows) if row["step"] <= reached]
    assert without_times(notes.rows) == until
    never = run_alone(small, make_trial(max_train_steps=64, target=-1.0))[0]
    assert (never.outcome, never.training.num_steps) == ("completed", 64)


def test_ba6_a_target_that_is_reached_before_the_first_step_trains_nothing(small, make_trial, run_alone):
    end, notes = run_alone(small, make_trial(target=1.0))
    assert (end.outcome, end.training.num_steps, {row["step"] for row in notes.rows}) == ("completed", 0, {0})


def test_a_stop_request_in_the_last_interval_lets_the_trial_complete(small, make_trial, run_alone):
    end, _ = run_alone(small, make_trial(), stop_at=17)
    assert (end.outcome, end.training.num_steps) == ("completed", 20)


# ------------------------------------------------------------------ workloads and values that break a rule


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("loss", r"Workload.loss must have one value per example, shape \(12,\), but has shape \(\); return it"),
        ("metrics", r"Workload.metrics: error must have one value per example, shape \(\d+,\), but has shape \(2,\)"),
    ],
)
def test_a_loss_or_metric_of_a_wrong_shape_is_one_sentence(small, make_trial, run_alone, method, words):
    class Averaging(type(small)):
        def loss(self, model, batch, values):
            return (
                F.cross_entropy(model(batch["x"]), batch["label"])
                if method == "loss"
                else super().loss(model, batch, values)
            )

        def metrics(self, model, batch, values):
            return super().metrics(model, batch, values) | ({"error": torch.zeros(2)} if method == "metrics" else {})

    with pytest.raises(SpecError, match=words):
        run_alone(Averaging(), make_trial())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"batch_norm": "gohst"}, "batch_norm must be one of"),
        ({"batch_norm": "ghost", "virtual_batch_size": 64}, "a ghost batch larger than a worker's batch"),
        ({"batch_size": 71}, "must not exceed the number of training examples, but got 71 of 70"),
        ({"clipping_norm": "tight"}, "clipping_norm must be a number"),
        ({"batch_norm": "ghost", "virtual_batch_size": None}, "virtual_batch_size must be a whole number"),
    ],
)
def test_bad_values_are_one_sentence(small, make_trial, run_alone, values, words):
    with pytest.raises(SpecError, match=words):
        run_alone(small, make_trial(**values))


def test_a_model_without_trainable_parameters_is_told_of(small, make_trial, run_alone):
    class Untrainable(type(small)):
        def model(self, values):
            return nn.Identity()

    with pytest.raises(SpecError, match="needs a parameter that requires a gradient, but of Identity it has none;"):
        run_alone(Untrainable(), make_trial())


def test_frozen_parameters_stay_as_they_are_and_count(small, make_trial, run_alone):
    class Frozen(type(small)):
        def model(self, values):
            model = super().model(values)
            model[0].weight.requires_grad_(False)
            self.before = model[0].weight.clone()
            return model

    workload = Frozen()
    end, _ = run_alone(workload, make_trial(weight_decay=0.1))
    assert torch.equal(workload.models[0][0].weight, workload.before)
    assert not torch.equal(workload.models[0][0].bias, torch.zeros(8))
    assert end.training.num_parameters == 90
