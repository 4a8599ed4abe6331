"""Rule IN15: shares of variance against functions of which they are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import qmc

from raytune_playbook.analysis.plots.importance import importances
from raytune_playbook.analysis.sampled.forest import explained_shares
from tests.analysis.findings.generated import SPACE, Plan, Values, generated


def ishigami(u: np.ndarray) -> np.ndarray:
    x = 2 * math.pi * u - math.pi
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], list[float], dict[tuple[int, int], float]]] = {
    "additive": (lambda u: 2 * u[:, 0] + u[:, 1], [0.8, 0.2, 0.0], {}),
    "product": (lambda u: (u[:, 0] - 0.5) * (u[:, 1] - 0.5), [0.0, 0.0, 0.0], {(0, 1): 1.0}),
    # Variances 1/48, 1/48 and 1/144.
    "product of rising": (lambda u: u[:, 0] * u[:, 1], [3 / 7, 3 / 7, 0.0], {(0, 1): 1 / 7}),
    "bowl": (lambda u: (u[:, 0] - 0.5) ** 2 + 0.5 * (u[:, 2] - 0.5) ** 2, [0.8, 0.0, 0.2], {}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in15_shares_are_those_of_the_function(name: str) -> None:
    function, single, pairs = FUNCTIONS[name]
    units = qmc.Halton(3, seed=0).random(1000)
    shares = explained_shares(units, function(units))
    np.testing.assert_allclose(shares.single, single, atol=0.04)
    for pair, share in shares.pairs.items():
        assert share == pytest.approx(pairs.get(pair, 0.0), abs=0.04)


def test_in15_shares_of_a_hard_function_come_close() -> None:
    """Ishigami's: 0.314, 0.442 and 0 alone, 0.244 of the first with the third."""
    units = qmc.Halton(3, seed=0).random(1000)
    shares = explained_shares(units, ishigami(units))
    np.testing.assert_allclose(shares.single, [0.314, 0.442, 0.0], atol=0.12)
    assert shares.pairs[0, 2] == pytest.approx(0.244, abs=0.05)
    assert shares.pairs[0, 1] < 0.03


def test_in15_a_study_tells_what_matters_in_it() -> None:
    def objective(values: Values, rng: np.random.Generator) -> float:
        return float((SPACE["learning_rate"].to_unit(values["learning_rate"]) - 0.5) ** 2 + 0.005 * rng.normal())

    (found,) = importances(generated(Plan(trials_per_arm=40), 0, objective))
    assert next(iter(found.shares)) == "learning_rate"
    assert found.shares["learning_rate"] > 0.8
    assert found.p_value <= 0.01
    assert found.num_trials == 40


def test_in15_an_infeasible_half_does_not_drown_the_rest() -> None:
    def objective(values: Values, rng: np.random.Generator) -> float | str:
        unit = SPACE["learning_rate"].to_unit(values["learning_rate"])
        return "diverged: far off" if unit > 0.6 else float(0.1 + SPACE["momentum"].to_unit(values["momentum"]))

    (found,) = importances(generated(Plan(trials_per_arm=60), 0, objective))
    # Infeasible points lie at 1.1 + 1.5 / 2 = 1.85 about, so that the variances are 0.24 x 1.25^2, 0.03 and 0.02.
    assert found.shares["learning_rate"] == pytest.approx(0.88, abs=0.08)
    assert found.shares["momentum"] == pytest.approx(0.07, abs=0.04)
    assert found.shares["weight_decay"] < 0.02


def test_in15_noise_is_told_from_what_matters() -> None:
    """The test against chance holds its level whatever the noise is."""
    p_values = []
    for seed in range(100):
        noise = generated(Plan(), seed, lambda values, rng: float(rng.standard_cauchy()))
        p_values += [found.p_value for found in importances(noise)]
    assert len(p_values) == 100
    assert np.mean(np.asarray(p_values) <= 0.05) <= 0.1
    assert np.median(p_values) == pytest.approx(0.5, abs=0.15)


def test_in15_the_same_trials_give_the_same_shares() -> None:
    noise = generated(Plan(), 3, lambda values, rng: float(rng.normal()))
    assert importances(noise) == importances(noise)
