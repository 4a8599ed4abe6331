"""Values and ranges of hyperparameters as text."""

from __future__ import annotations

import pytest

from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.wording import range_text


@pytest.mark.parametrize(
    ("hyperparameter", "text"),
    [
        (Float(1e-4, 1, scale="log"), "0.0001 to 1, log scale"),
        (Float(0.5, 0.99, scale="log_one_minus"), "0.5 to 0.99, log scale in 1 - value"),
        (Int(1, 8), "1 to 8"),
        (Int(1, 8, when={"optimizer": ["adam", "nadam"]}), "1 to 8, where optimizer = adam or nadam"),
        (Discrete([16, 32]), "16, 32"),
        (Categorical(["a", None]), "a, none"),
    ],
)
def test_ranges(hyperparameter, text):
    assert range_text(hyperparameter) == text
