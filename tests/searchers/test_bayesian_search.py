"""Exploitation as a Ray Tune searcher: Tune's contract, and what it learns from trials (rules QR8, QR9)."""

from __future__ import annotations

import pytest
from ray import tune

from raytune_playbook import InputError
from raytune_playbook.search.evidence import Observation
from raytune_playbook.searchers.bayesian_search import BayesianSearch
from tests.searchers.conformance import SpaceConformance

pytest.importorskip("optuna")

SPACE = {"x": tune.uniform(0.0, 1.0), "y": tune.quniform(0.0, 1.0, 0.01), "constant": {"inner": 3}}


class TestBayesianSearch(SpaceConformance):
    def make(self, max_concurrent: int | None = None) -> BayesianSearch:
        return BayesianSearch(num_initial=6, seed=3, max_concurrent=max_concurrent)


def loss(x: float, y: float) -> float:
    return (x - 0.4) ** 2 + (y - 0.6) ** 2


def searching(**arguments: object) -> BayesianSearch:
    search = BayesianSearch(**arguments)
    search.set_search_properties("loss", "min", dict(SPACE))
    return search


def tell(search: BayesianSearch, name: str, config: dict) -> None:
    if config["x"] > 0.8:
        search.on_trial_complete(name, {"infeasible": "diverged", "loss": 0.0})
    else:
        search.on_trial_result(name, {"loss": loss(config["x"], config["y"])})
        search.on_trial_complete(name, {"loss": 9.0})  # the best value counts, not the last


def drive(search: BayesianSearch, first: int, last: int) -> list[dict]:
    configs = []
    for number in range(first, last):
        configs.append(search.suggest(f"t{number}"))
        tell(search, f"t{number}", configs[-1])
    return configs


def test_qr8_it_closes_in_on_the_optimum_and_goes_on_from_its_snapshot(tmp_path):
    search = searching(num_initial=6)
    drive(search, 0, 10)
    search.save(str(tmp_path / "snapshot.json"))
    later = drive(search, 10, 16)
    restored = searching(num_initial=6)
    restored.restore(str(tmp_path / "snapshot.json"))
    assert drive(restored, 10, 16) == later
    assert min(loss(config["x"], config["y"]) for config in later) < 0.01
    assert all(round(config["y"] * 100) == pytest.approx(config["y"] * 100) for config in later)


def test_qr8_parallel_points_differ_and_a_point_that_crashed_is_not_tried_again():
    search = searching(num_initial=4, max_concurrent=5)
    drive(search, 0, 6)
    together = [search.suggest(f"p{number}") for number in range(5)]
    assert search.suggest("one too many") is None
    assert len({(config["x"], config["y"]) for config in together}) == 5
    search.on_trial_complete("p0", error=True)
    assert search.suggest("next") not in together


def test_qr9_a_space_that_was_not_refined_is_refused_or_excused():
    near = [Observation({"x": 0.01 + i / 40, "y": 50}, loss(0.4 + i / 40, 0.5)) for i in range(20)]
    with pytest.raises(InputError, match=r"x=0.01 is at or near the low end 0"):
        searching(observed=near)
    assert searching(observed=near, reasons={"x": "0 is the least"}).suggest("a")["x"] >= 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BayesianSearch(num_initial=1), "num_initial must be at least 2, but got 1"),
        (lambda: BayesianSearch().set_search_properties(None, None, SPACE), "needs a metric and a mode"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(InputError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)
