"""Rule AD3: what chance among the validation examples adds to a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raytune_playbook.analysis.evaluation_sample import difference_error
from raytune_playbook.procedures.launch.examples import SamplingError, paired_error


def test_ad3_the_error_over_examples_is_that_of_means_over_drawn_validation_sets() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(100_000) < 0.1  # for both alike
    candidate = (hard | (rng.random(100_000) < 0.02)).astype(np.float64)
    baseline = (hard | (rng.random(100_000) < 0.05)).astype(np.float64)
    drawn = [rng.integers(0, 100_000, 400) for _ in range(2000)]
    differences = [candidate[rows].mean() - baseline[rows].mean() for rows in drawn]
    errors = [paired_error(candidate[None, rows], baseline[None, rows])[0] for rows in drawn]
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.05)
    # The bound by the numbers of errors alone does not know that the hard examples are the same.
    assert difference_error(candidate.mean(), baseline.mean(), 400) > 1.5 * np.mean(errors)


def test_ad3_models_that_agree_on_every_example_leave_nothing_to_chance() -> None:
    scored = np.array([[0.0, 1.0, 1.0, 0.0]] * 3)
    assert paired_error(scored, scored[:1]) == (0.0, 0)
    assert paired_error(scored[:, :1], scored[:, :1]) == (math.inf, 0)
    assert SamplingError(0.01, 3, is_bound=True).text.startswith("at most 0.01")
