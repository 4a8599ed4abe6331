"""What `train-steps` says where nothing reaches its goal (rule LN2)."""

from __future__ import annotations

import pytest

from raytune_playbook.procedures.train_steps.sweep import Fit, Length
from raytune_playbook.procedures.train_steps.words import Sweeps, sentences
from raytune_playbook.study.settings import Objective


def text_of(metric: str, target: float, lowest: float) -> str:
    fits = tuple(Fit(rate, None, lowest + rate, None) for rate in (0.1, 0.2))
    objective = Objective(metric=metric, split="train")
    return " ".join(sentences(Sweeps(fits, None, Length(40, 5), (), objective, target, 8, 8, 5), {}, ()))


def test_ln2_an_error_that_hardly_reaches_0_asks_for_a_loss():
    assert "such as a regression's, hardly reaches 0: say with --loss which training loss" in text_of("error", 0, 44.0)


@pytest.mark.parametrize(
    ("target", "lowest", "is_doubted"), [(-0.5, 0.3, True), (-0.5, -0.4, False), (0.1, 0.3, False)]
)
def test_ln2_a_negative_loss_is_doubted_where_none_was_seen(target, lowest, is_doubted):
    text = text_of("loss", target, lowest)
    assert ("No training loss was below 0: where it cannot be, as a squared one, give a --loss above 0.4." in text) is (
        is_doubted
    )
    assert "regression" not in text
