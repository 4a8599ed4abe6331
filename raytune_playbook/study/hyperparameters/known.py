"""What a hyperparameter is for: the names that the playbook's rules of thumb speak of.

A name's last part counts, so that `adam.learning_rate` is an optimizer hyperparameter like `learning_rate`.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Purpose: TypeAlias = Literal["optimizer choice", "optimizer", "regularization", "architecture", "batch size", "other"]

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "sgd": ("learning_rate",),
    "momentum": ("learning_rate", "momentum"),
    "nesterov": ("learning_rate", "momentum"),
    "rmsprop": ("learning_rate", "momentum", "rho", "epsilon"),
    "adam": ("learning_rate", "beta1", "epsilon", "beta2"),
    "nadam": ("learning_rate", "beta1", "epsilon", "beta2"),
    "torch_rmsprop": ("learning_rate", "momentum", "rho", "epsilon"),
    "torch_adam": ("learning_rate", "beta1", "epsilon", "beta2"),
    "torch_adamw": ("learning_rate", "beta1", "epsilon", "beta2"),
    "torch_nadam": ("learning_rate", "beta1", "epsilon", "beta2", "momentum_decay"),
}
"""Each optimizer with its hyperparameters, the most important first."""

ADAMS = frozenset({"adam", "nadam", "torch_adam", "torch_adamw", "torch_nadam"})
"""Those that the playbook's "How should Adam's hyperparameters be tuned?" speaks of, and NAdam, which has the same."""

SECONDARY = frozenset({"beta1", "beta2", "epsilon", "rho", "momentum_decay"})
"""Rule ST3: these stay at their defaults in a simple first optimizer, and need no reason for it."""

_PURPOSES: dict[str, Purpose] = {
    "optimizer": "optimizer choice",
    "learning_rate": "optimizer",
    "momentum": "optimizer",
    "beta1": "optimizer",
    "beta2": "optimizer",
    "epsilon": "optimizer",
    "rho": "optimizer",
    "momentum_decay": "optimizer",
    "weight_decay": "regularization",
    "dropout": "regularization",
    "label_smoothing": "regularization",
    "depth": "architecture",
    "width": "architecture",
    "batch_size": "batch size",
}

TRAINING = frozenset(
    {
        "optimizer",
        "learning_rate",
        "momentum",
        "beta1",
        "beta2",
        "epsilon",
        "rho",
        "momentum_decay",
        "weight_decay",
        "weight_decay_kind",
        "schedule",
        "decay_steps",
        "final_factor",
        "warmup_steps",
        "clipping_norm",
        "averaging",
        "averaging_decay",
        "averaging_start_step",
        "data_augmentation",
        "batch_size",
        "evaluation_batch_size",
        "evaluation_sample",
        "batch_norm",
        "virtual_batch_size",
        "precision",
        "compile",
        "data_split",
    }
)
"""Those of the training loop, which every workload has (`train.workload.TRAINING_DEFAULTS`); all others are of the
workload itself: of its architecture, its regularization, its data."""

NUMBER_OF_STEPS = frozenset({"max_train_steps", "train_steps", "num_train_steps", "max_steps", "epochs", "num_epochs"})
"""Rule SD11: names under which the length of training must not enter a search space."""

_USUAL_NAMES = {
    other: usual
    for usual, others in {
        "learning_rate": (
            "lr base_lr base_learning_rate init_lr initial_lr initial_learning_rate init_learning_rate "
            "learning_rate_init peak_lr peak_learning_rate max_lr max_learning_rate lr0"
        ),
        "weight_decay": "wd weight_decay_rate",
        "dropout": "dropout_rate dropout_prob dropout_p",
        "batch_size": "bs train_batch_size",
        "beta1": "beta_1 adam_beta1 adam_beta_1",
        "beta2": "beta_2 adam_beta2 adam_beta_2",
        "epsilon": "eps adam_epsilon adam_eps",
        "clipping_norm": "max_grad_norm clip_norm grad_clip_norm gradient_clip_norm clip_grad_norm gradient_clip_val",
    }.items()
    for other in others.split()
}
"""What other tools' trials call the playbook's hyperparameters."""


def purpose_of(name: str) -> Purpose:
    """What the hyperparameter called ``name`` is for."""
    return _PURPOSES.get(last_part(name), "other")


def last_part(name: str) -> str:
    """``learning_rate`` of ``adam.learning_rate``."""
    return name.rsplit(".", 1)[-1]


def usual_name(name: str) -> str:
    """What the playbook calls a hyperparameter, whichever tool has named it: ``learning_rate`` of ``optimizer/lr``."""
    part = re.split(r"[./]|__", name)[-1]
    return _USUAL_NAMES.get(part.lower(), part)


def is_learning_rate(name: str) -> bool:
    """Whether a hyperparameter is a learning rate, by its name in whichever tool."""
    return usual_name(name) == "learning_rate"
