"""Hyperparameters are known by their names, whichever tool has given them."""

import pytest

from raytune_playbook.study.hyperparameters.known import is_learning_rate, usual_name


@pytest.mark.parametrize(
    "name",
    [
        "learning_rate",
        "adam.learning_rate",
        "lr",
        "optim.lr",
        "optimizer/lr",
        "optimizer__learning_rate_init",
        "base_lr",
        "LR",
        "config/optim.initial_learning_rate",
    ],
)
def test_a_learning_rate_is_known_in_whichever_tool(name):
    assert is_learning_rate(name)


@pytest.mark.parametrize("name", ["lr_decay", "learning_rate/factor", "warmup_lr_steps", "color", ""])
def test_what_goes_with_a_learning_rate_is_none(name):
    assert not is_learning_rate(name)


def test_other_names_keep_their_last_part():
    assert usual_name("model/Width") == "Width"
    assert usual_name("optim.wd") == "weight_decay"
    assert usual_name("trainer.gradient_clip_val") == "clipping_norm"
