"""The order of a round's trials, whatever becomes of them; without a cluster."""

from __future__ import annotations

import itertools

import pytest
from ray.tune.search import Searcher

from raytune_playbook.engine.tune.round_search import RoundSearch, interleaved
from raytune_playbook.search.suggest import values_at


def test_arms_progress_together_and_what_is_done_is_left_out(make_round):
    studies = make_round("arms", arms=3, trials_per_study=3).studies
    names = [study.name for study in studies]
    todo = [(study.name, index) for study, index in interleaved(studies, set())]
    assert todo == [(name, index) for index in range(3) for name in names]
    done = {(names[0], 0), (names[1], 2)}
    left = [(study.name, index) for study, index in interleaved(studies, done)]
    assert left == [trial for trial in todo if trial not in done]


OUTCOMES = [{"cause": "completed"}, {"cause": "infeasible"}, {"cause": "exception"}, None]


@pytest.mark.parametrize("max_concurrent", [1, 2, 5])
def test_qr6_infeasible_and_failed_trials_change_nothing_about_later_points(make_round, max_concurrent):
    todo = interleaved(make_round("points", arms=2, trials_per_study=6).studies, set())

    def suggested(outcomes: tuple[dict[str, str] | None, ...], *, newest_first: bool) -> list[object]:
        search, configs, live = RoundSearch(todo, max_concurrent), [], []
        outcome = itertools.cycle(outcomes)
        while (config := search.suggest(name := f"trial-{len(configs)}")) != Searcher.FINISHED:
            if config is not None:
                configs.append(config)
                live.append(name)
            else:
                assert len(live) == max_concurrent
                ended = next(outcome)
                search.on_trial_complete(live.pop(-1 if newest_first else 0), ended, error=ended is None)
        return configs

    plain = suggested((OUTCOMES[0],), newest_first=False)
    assert plain == [{"study": study.name, "index": index, "values": values_at(study, index)} for study, index in todo]
    for outcomes in itertools.permutations(OUTCOMES):
        for newest_first in (False, True):
            assert suggested(outcomes, newest_first=newest_first) == plain


def test_a_search_that_is_told_to_stop_suggests_no_more(make_round):
    search = RoundSearch(interleaved(make_round("stops").studies, set()), max_concurrent=1)
    assert search.suggest("a") is not None
    search.stop()
    assert search.suggest("b") == Searcher.FINISHED
