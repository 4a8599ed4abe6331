"""A round's searcher: Tune's contract, and the order of its trials."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ray.tune.search import Searcher

from raytune_playbook.engine.tune.round_search import PlannedTrial, RoundSearch, interleaved, repeats
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import trial_key
from tests.searchers.conformance import InOrderConformance


class TestRoundSearch(InOrderConformance):
    @pytest.fixture(autouse=True)
    def _rounds(self, make_round: Callable[..., Round]) -> None:
        self.make_round = make_round

    def of(self, trials_per_study: int, max_concurrent: int | None = None) -> RoundSearch:
        todo = interleaved(self.make_round("round", arms=2, trials_per_study=trials_per_study).studies, set())
        return RoundSearch(todo, max_concurrent=100 if max_concurrent is None else max_concurrent)

    def make(self, max_concurrent: int | None = None) -> RoundSearch:
        return self.of(3, max_concurrent)

    def ready(self, max_concurrent: int | None = None) -> RoundSearch:
        return self.of(5, max_concurrent)

    def of_six(self) -> RoundSearch:
        return self.make()

    def test_a_round_that_is_stopped_suggests_no_more(self) -> None:
        search = self.make(max_concurrent=1)
        assert search.suggest("live") is not None
        search.stop()
        assert search.suggest("next") == Searcher.FINISHED

    def test_the_number_of_gangs_decides_how_many_trials_are_live_and_not_tune(self) -> None:
        search = self.make(max_concurrent=1)
        search.set_max_concurrency(5)
        assert search.suggest("one") is not None
        assert search.suggest("two") is None
        search.max_concurrent = 2  # a gang has joined
        assert search.suggest("two") is not None
        assert search.suggest("three") is None


def test_arms_progress_together_and_what_is_done_is_left_out(make_round):
    studies = make_round("arms", arms=3, trials_per_study=3).studies
    names = [study.name for study in studies]
    todo = [trial.id for trial in interleaved(studies, set())]
    assert todo == [(name, trial_key(index)) for index in range(3) for name in names]
    done = {(names[0], "00000"), (names[1], "00002")}
    left = [trial.id for trial in interleaved(studies, done)]
    assert left == [trial for trial in todo if trial not in done]


def test_ad1_repeats_begin_after_the_first_run_and_go_round_all_points(make_round):
    (study,) = make_round("one", arms=1, trials_per_study=8).studies
    todo = repeats([(study, 7), (study, 2)], 2, {("all", "00002.r1"), ("all", "00007")})
    assert [trial.id[1] for trial in todo] == ["00007.r1", "00007.r2", "00002.r2"]


def test_a_suggestion_is_the_studys_trial(make_round):
    (study,) = make_round("one", arms=1, trials_per_study=3).studies
    suggestion = RoundSearch([PlannedTrial(study, 2, 1)], max_concurrent=1).suggest("trial")
    assert suggestion == {"study": study.name, "index": 2, "repeat": 1, "values": values_at(study, 2)}
