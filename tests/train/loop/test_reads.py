"""Which hyperparameters are noted as read: those, and no others, whose values change a bit of what is measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raytune_playbook.study.evaluation_settings import BATCH_SIZE, SAMPLE
from raytune_playbook.train.workload import TRAINING_DEFAULTS
from tests.train.conftest import Small

CASES = [
    # name, one value, another value, settings beside them, whether it matters there
    ("optimizer", "momentum", "adam", {}, True),
    ("learning_rate", 0.1, 0.2, {}, True),
    ("momentum", 0.9, 0.5, {}, True),
    ("momentum", 0.9, 0.5, {"optimizer": "nesterov"}, True),
    ("momentum", 0.9, 0.5, {"optimizer": "rmsprop"}, True),
    ("momentum", 0.9, 0.5, {"optimizer": "sgd"}, False),
    ("momentum", 0.9, 0.5, {"optimizer": "adam"}, False),
    ("beta1", 0.9, 0.5, {"optimizer": "adam"}, True),
    ("beta1", 0.9, 0.5, {"optimizer": "torch_nadam"}, True),
    ("beta1", 0.9, 0.5, {}, False),
    ("beta2", 0.999, 0.9, {"optimizer": "nadam"}, True),
    ("beta2", 0.999, 0.9, {"optimizer": "torch_adamw"}, True),
    ("beta2", 0.999, 0.9, {"optimizer": "torch_rmsprop"}, False),
    ("epsilon", 1e-8, 1e-2, {"optimizer": "rmsprop"}, True),
    ("epsilon", 1e-8, 1e-2, {"optimizer": "torch_adam"}, True),
    ("epsilon", 1e-8, 1e-2, {"optimizer": "nesterov"}, False),
    ("rho", 0.9, 0.5, {"optimizer": "torch_rmsprop"}, True),
    ("rho", 0.9, 0.5, {"optimizer": "adam"}, False),
    ("momentum_decay", 4e-3, 0.1, {"optimizer": "torch_nadam"}, True),
    ("momentum_decay", 4e-3, 0.1, {"optimizer": "nadam"}, False),
    ("weight_decay", 0.0, 0.1, {}, True),
    ("weight_decay", 0.0, 0.1, {"optimizer": "torch_adamw"}, True),
    ("weight_decay_kind", "coupled", "decoupled", {"weight_decay": 0.1}, True),
    ("weight_decay_kind", "coupled", "decoupled", {}, False),
    ("weight_decay_kind", "coupled", "decoupled", {"weight_decay": 0.1, "optimizer": "torch_adamw"}, False),
    ("schedule", "constant", "cosine", {}, True),
    ("decay_steps", 5, None, {"schedule": "linear"}, True),
    ("decay_steps", 5, None, {}, False),
    ("final_factor", 0.0, 0.5, {"schedule": "cosine"}, True),
    ("final_factor", 0.0, 0.5, {}, False),
    ("warmup_steps", 0, 3, {}, True),
    ("clipping_norm", None, 0.01, {}, True),
    ("averaging", "none", "uniform", {}, True),
    ("averaging_decay", 0.9, 0.5, {"averaging": "exponential"}, True),
    ("averaging_decay", 0.9, 0.5, {"averaging": "uniform"}, False),
    ("averaging_start_step", 0, 3, {"averaging": "uniform"}, True),
    ("averaging_start_step", 0, 3, {}, False),
    ("batch_norm", "device", "ghost", {"virtual_batch_size": 4}, True),
    ("batch_norm", "device", "ghost", {"normalized": False}, False),
    ("virtual_batch_size", 4, 6, {"batch_norm": "ghost"}, True),
    ("virtual_batch_size", 4, 6, {"batch_norm": "sync"}, False),
    ("virtual_batch_size", 4, 6, {"batch_norm": "ghost", "normalized": False}, False),
    ("data_augmentation", True, False, {"shift": 1.0}, True),
    ("precision", "float32", "bfloat16", {}, True),
    ("dropout", 0.0, 0.5, {}, True),
    ("hidden", 8, 4, {}, False),
]
OF_WORKERS = {"batch_size", "data_split", BATCH_SIZE, SAMPLE}
"""Who makes the batches reads these; all but the first are the same in all trials that are compared."""


class Plain(Small):
    """Has no batch norm where it shall not, and a hyperparameter that it does not read."""

    def defaults(self):
        return {**super().defaults(), "normalized": True, "hidden": 8, "shift": 0.0}

    def augment(self, batch, values):
        return {**batch, "x": batch["x"] + values.number("shift") * torch.rand(())} if values["shift"] else batch

    def model(self, values):
        model = super().model(values)
        if not values.flag("normalized"):
            model[1] = nn.Identity()
        return model


@pytest.fixture
def small() -> Small:
    return Plain()


@pytest.mark.parametrize(("name", "one", "other", "beside", "matters"), CASES)
def test_a_value_is_read_exactly_where_it_matters(make_trial, run_alone, name, one, other, beside, matters):
    ends, rows = zip(
        *(run_alone(Plain(), make_trial(**beside, **{name: value})) for value in (one, other)), strict=True
    )
    ours, theirs = (notes.timeless_rows for notes in rows)
    assert (ours != theirs) == matters
    assert [name in end.read for end in ends] == [matters, matters]


def test_every_hyperparameter_of_the_loop_is_among_these(make_trial, run_alone):
    assert {name for name, *_ in CASES} >= TRAINING_DEFAULTS.keys() - OF_WORKERS - {"compile"}
    end, _ = run_alone(Plain(), make_trial())
    assert "compile" in end.read  # to compile takes long, and may leave all bits as they are
