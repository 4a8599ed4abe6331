"""A round's searcher: Tune's contract, and the order of the trials."""

from __future__ import annotations

import pytest
from ray.tune.search import Searcher

from raytune_playbook.engine.tune.round_search import RoundSearch, interleaved
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.hyperparameter import Float
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from tests.searchers.conformance import InOrderConformance


def study(name: str, num_trials: int) -> StudySpec:
    return StudySpec(
        name=name,
        arm={"norm": name},
        space={"rate": Float(1e-3, 1.0, scale="log")},
        fixed={"depth": 2},
        seed=3,
        num_trials=num_trials,
        objective=Objective(),
        max_train_steps=10,
        evaluation_interval_steps=5,
        divergence_factor=2.0,
        workload=WorkloadSpec(module="job", name="Plain", settings={}, source_hash="5f3c"),
        num_workers=1,
        threads_per_worker=1,
    )


class TestRoundSearch(InOrderConformance):
    def make(self, max_concurrent: int | None = None) -> Searcher:
        return self.of(4, max_concurrent)

    def ready(self, max_concurrent: int | None = None) -> Searcher:
        return self.of(6, max_concurrent)

    def of_six(self) -> Searcher:
        return self.of(4)

    def of(self, num_trials: int, max_concurrent: int | None = None) -> RoundSearch:
        studies = [study("batch", num_trials), study("layer", num_trials - 2)]
        return RoundSearch(
            interleaved(studies, set()), max_concurrent=100 if max_concurrent is None else max_concurrent
        )

    def test_a_round_that_is_stopped_suggests_no_more(self) -> None:
        search = self.of(6)
        search.suggest("live")
        search.stop()
        assert search.suggest("next") == Searcher.FINISHED

    def test_the_number_of_gangs_decides_how_many_trials_are_live_and_not_tune(self) -> None:
        search = self.of(6, max_concurrent=1)
        search.set_max_concurrency(5)
        assert search.suggest("one") is not None
        assert search.suggest("two") is None
        search.max_concurrent = 2  # a gang has joined
        assert search.suggest("two") is not None
        assert search.suggest("three") is None


def test_sd6_the_arms_progress_together_and_trials_that_are_done_are_left_out():
    studies = [study("batch", 3), study("layer", 2), study("none", 1)]
    order = [(each.name, index) for each, index in interleaved(studies, {("batch", 0), ("layer", 1)})]
    assert order == [("layer", 0), ("none", 0), ("batch", 1), ("batch", 2)]
    assert interleaved([], set()) == []


@pytest.mark.parametrize("index", [0, 2])
def test_a_suggestion_is_the_studys_trial(index):
    batch = study("batch", 3)
    (suggestion,) = [RoundSearch([(batch, index)], max_concurrent=1).suggest("trial")]
    assert suggestion == {"study": "batch", "index": index, "values": values_at(batch, index)}
