"""What Ray Tune asks of any searcher, as tests that every searcher passes: a new one is a subclass that makes it.

`SearcherConformance` is for all, `SpaceConformance` beside it for one that samples the Tuner's ``param_space``, and
`InOrderConformance` for one whose points depend on no result::

    class TestMySearch(SpaceConformance, InOrderConformance):
        def make(self, max_concurrent: int | None = None) -> MySearch:
            return MySearch(max_concurrent=max_concurrent)

The searchers are called as Tune calls them, and one experiment of each runs in a real Tuner.
"""

from __future__ import annotations

import json
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.sample import Domain

from raytune_playbook.errors import InputError

SPACE = {
    "uniform": tune.uniform(0.0, 1.0),
    "nested": {"log": tune.loguniform(1e-3, 1.0), "choice": tune.choice(["a", 1, None, True])},
    "int": tune.randint(0, 10),
    "quantized": tune.quniform(0.0, 1.0, 0.1),
    "constant": {"inner": 3},
}
FINITE = {"choice": tune.choice(["x", "y", "z"]), "int": tune.randint(0, 2), "constant": (1, 2)}

ENDINGS = {
    "a result": {"result": {"loss": 1.0}},
    "an error": {"result": None, "error": True},
    "not a number": {"result": {"loss": math.nan}},
    "no metric": {"result": {"done": True}},
    "no result": {"result": None},
    "nothing": {},
}
"""How Tune says that a trial has ended."""

Config = dict[str, Any]

REFUSED: dict[str, tuple[Config, str]] = {
    "grid_search": ({"x": {"deep": tune.grid_search([1, 2])}}, "'x/deep': grid_search has no place"),
    "sample_from": ({"x": tune.sample_from(lambda config: 1)}, "'x': .*sample_from"),
    "objects": ({"x": tune.choice([1, print])}, "'x': choices .* name it by a string"),
    "lists": ({"x": [tune.uniform(0, 1)]}, "'x': .*one stands in a list"),
}
"""Spaces that a searcher must refuse, and what it says."""


def loss_of(config: Mapping[str, Any]) -> float:
    """A number that depends on the point alone."""
    return zlib.crc32(json.dumps(config, sort_keys=True).encode()) / 2**32


def names_of(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """All that is no dict, by its path."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        leaves |= names_of(value, f"{path}{name}/") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return leaves


def drive(search: Searcher, numbers: Iterable[int]) -> list[Config]:
    """The next points, of trials with these numbers that end one by one, in each of the ways in turn."""
    configs, endings = [], list(ENDINGS.values())
    for number in numbers:
        config = search.suggest(f"trial_{number}")
        assert isinstance(config, dict)
        configs.append(config)
        search.on_trial_result(f"trial_{number}", {"loss": loss_of(config)})
        search.on_trial_complete(f"trial_{number}", **endings[number % len(endings)])
    return configs


_POINTS: dict[type, list[Config]] = {}


class SearcherConformance(ABC):
    """For every searcher."""

    @abstractmethod
    def make(self, max_concurrent: int | None = None) -> Searcher:
        """A searcher that knows no space yet, or has points of its own: 6 in all, or 8 and more."""

    def ready(self, max_concurrent: int | None = None) -> Searcher:
        """One with at least 8 points to give, as it is when Tune asks for the first."""
        return self.make(max_concurrent)

    def of_six(self) -> Searcher:
        """One with 6 points to give."""
        return self.ready()

    def param_space_of_six(self) -> Config | None:
        """What the Tuner of `make` is given, so that there are 6 points."""
        return None

    def points(self) -> list[Config]:
        """The first 8 of `ready`, driven once for each searcher."""
        if type(self) not in _POINTS:
            _POINTS[type(self)] = drive(self.ready(), range(8))
        return _POINTS[type(self)]

    def test_every_key_is_emitted_every_time_with_a_value_that_json_can_hold(self) -> None:
        configs = self.points()
        names = [names_of(config).keys() for config in configs]
        assert names[0] and all(each == names[0] for each in names)
        types = {type(value) for config in configs for value in names_of(config).values()}
        assert types <= {str, int, float, bool, type(None)}

    def test_qr6_after_its_last_point_it_says_that_it_has_ended(self) -> None:
        search = self.of_six()
        configs = drive(search, range(5))
        configs.append(search.suggest("the last one, still live"))
        assert len({json.dumps(config) for config in configs}) == 6
        assert [search.suggest(trial) for trial in ("more", "and more")] == [Searcher.FINISHED] * 2
        search.on_trial_complete("the last one, still live", result={"loss": 1.0})
        assert search.suggest("more still") == Searcher.FINISHED

    @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
    def test_an_end_of_any_kind_makes_room_for_the_next_trial(self, ending: dict[str, Any]) -> None:
        search = self.ready(max_concurrent=2)
        for repeat in range(2):
            first, second, third = f"first {repeat}", f"second {repeat}", f"third {repeat}"
            assert isinstance(search.suggest(first), dict)
            assert isinstance(search.suggest(second), dict)
            assert search.suggest("one too many") is None
            search.on_trial_complete(second, **ending)
            assert isinstance(search.suggest(third), dict)
            assert search.suggest("one too many") is None
            search.on_trial_complete(first, **ending)
            search.on_trial_complete(third, **ending)

    def test_a_trial_that_it_never_heard_of_changes_nothing(self) -> None:
        """Such as one that Tune restarts under another name."""
        search, other = self.ready(max_concurrent=1), self.ready(max_concurrent=1)
        assert search.suggest("live") == other.suggest("live")
        for ending in ENDINGS.values():
            search.on_trial_complete("unknown", **ending)
            assert search.suggest("one too many") is None
        for each in (search, other):
            each.on_trial_complete("live", result={"loss": 1.0})
        assert drive(search, range(7)) == drive(other, range(7))

    def test_the_limit_is_its_own_and_tune_puts_none_around_it(self) -> None:
        """A `ConcurrencyLimiter` that has a limit of its own waits forever for trials that a restart has renamed."""
        search = self.ready()
        limiter = ConcurrencyLimiter(search, max_concurrent=1)
        assert isinstance(limiter.suggest("renamed"), dict)
        search.on_trial_complete("renamed")  # of which the limiter hears nothing
        assert isinstance(limiter.suggest("next"), dict)

    def test_qr2_points_depend_on_nothing_but_its_arguments_and_what_it_was_told(self) -> None:
        expected, other = self.points(), self.ready()
        np.random.seed(1)
        before = np.random.get_state()[1]
        found = drive(other, range(6))
        drive(self.ready(), range(2))  # beside it
        assert [*found, *drive(other, range(6, 8))] == expected
        assert np.array_equal(np.random.get_state()[1], before)

    def test_saving_changes_nothing(self, tmp_path: Path) -> None:
        search = self.ready()
        first = drive(search, range(4))
        search.save(str(tmp_path / "snapshot"))
        assert first + drive(search, range(4, 8)) == self.points()

    def test_qr6_a_tuner_runs_it_to_its_end_with_trials_that_fail(self, cluster: Cluster, tmp_path: Path) -> None:
        """No point is missing or repeated, and there are never more trials at once than it allows."""
        live = tmp_path / "live"
        live.mkdir()
        limit = 2

        def train(config: Config) -> None:
            mark = live / tune.get_context().get_trial_id()
            mark.touch()
            try:
                num_live = len(list(live.iterdir()))
                if num_live > limit or loss_of(config) < 0.3:
                    raise RuntimeError(f"{num_live} trial(s) at once")
                tune.report({"loss": math.nan if loss_of(config) > 0.8 else loss_of(config), "num_live": num_live})
            finally:
                mark.unlink()

        results = tune.Tuner(
            tune.with_resources(train, {"cpu": 0.1}),
            param_space=self.param_space_of_six(),
            tune_config=tune.TuneConfig(
                search_alg=self.make(max_concurrent=limit), metric="loss", mode="min", num_samples=20, reuse_actors=True
            ),
            run_config=tune.RunConfig(name="experiment", storage_path=str(tmp_path), verbose=0),
        ).fit()
        configs = [result.config for result in results]
        assert len({json.dumps(config) for config in configs}) == len(configs) == 6
        assert not any(isinstance(value, Domain) for config in configs for value in names_of(config).values())
        assert not [error for error in results.errors if f"{limit + 1} trial(s)" in str(error)]
        failed = [result.error is not None for result in results]
        assert failed == [loss_of(config) < 0.3 for config in configs]
        assert True in failed and False in failed


class SpaceConformance(SearcherConformance):
    """For a searcher that samples the Tuner's ``param_space``, and goes on from its snapshot."""

    def ready(self, max_concurrent: int | None = None, space: Mapping[str, Any] = SPACE) -> Searcher:
        search = self.make(max_concurrent)
        assert search.set_search_properties("loss", "min", dict(space), num_samples=100)
        return search

    def of_six(self) -> Searcher:
        return self.ready(space=FINITE)

    def param_space_of_six(self) -> Config:
        return FINITE

    def test_it_emits_the_domains_and_leaves_the_constants_to_tune(self) -> None:
        domains = {name for name, value in names_of(SPACE).items() if isinstance(value, Domain)}
        assert names_of(drive(self.ready(), range(1))[0]).keys() == domains

    @pytest.mark.parametrize("cut", [0, 1, 5, 7])
    def test_qr6_it_goes_on_from_its_snapshot_without_repeating_a_point(self, tmp_path: Path, cut: int) -> None:
        search = self.ready()
        before = drive(search, range(cut))
        search.save(str(tmp_path / "snapshot"))
        again = self.ready()
        again.restore(str(tmp_path / "snapshot"))
        configs = before + drive(again, range(cut, 8))
        assert configs == self.points()
        assert len({json.dumps(config) for config in configs}) == 8

    def test_qr6_trials_of_before_a_restore_count_once_they_report(self, tmp_path: Path) -> None:
        """One that Tune restarts has another name, and would be waited for in vain."""
        search = self.ready(max_concurrent=2)
        given = [search.suggest("restarted under another name"), search.suggest("resumed")]
        search.save(str(tmp_path / "snapshot"))
        search.restore(str(tmp_path / "snapshot"))
        search.on_trial_result("resumed", {"loss": 1.0})
        given.append(search.suggest("new"))
        assert search.suggest("one too many") is None
        search.on_trial_complete("resumed", result={"loss": 1.0})
        given.append(search.suggest("next"))
        assert all(isinstance(config, dict) for config in given)
        assert len({json.dumps(config) for config in given}) == 4

    def test_a_snapshot_of_another_space_or_none_at_all_is_refused(self, tmp_path: Path) -> None:
        self.ready().save(str(tmp_path / "snapshot"))
        whole = (tmp_path / "snapshot").read_bytes()
        with pytest.raises(InputError, match="space"):
            self.ready(space=FINITE).restore(str(tmp_path / "snapshot"))
        (tmp_path / "cut off").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "of something else").write_text("{}")
        for name in ("cut off", "of something else", "missing"):
            with pytest.raises(InputError) as refused:
                self.ready().restore(str(tmp_path / name))
            assert "\n" not in str(refused.value)

    def test_without_a_space_it_says_so(self) -> None:
        with pytest.raises(InputError, match="needs a search space, but has none"):
            self.make().suggest("trial")

    def test_the_limit_may_be_raised(self) -> None:
        search = self.ready(max_concurrent=1)
        assert search.set_max_concurrency(2)
        assert isinstance(search.suggest("one"), dict)
        assert isinstance(search.suggest("two"), dict)
        assert search.suggest("three") is None

    def test_numpys_scalars_become_pythons_own(self) -> None:
        space = {
            "choice": tune.choice([np.int64(3), np.float32(0.5), np.bool_(True), np.str_("s")]),
            "uniform": tune.uniform(np.float64(0), np.float32(1)),
            "int": tune.randint(np.int64(0), np.int32(50)),
            "quantized": tune.quniform(np.float64(0), np.float64(1), np.float64(0.25)),
        }
        configs = drive(self.ready(space=space), range(8))
        assert {type(value) for config in configs for value in config.values()} <= {int, float, bool, str}

    @pytest.mark.parametrize(("space", "sentence"), REFUSED.values(), ids=REFUSED)
    def test_what_tune_would_ignore_or_garble_is_refused(self, space: Config, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence) as refused:
            self.ready(space=space)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("name", ["grid_search", "objects"])
    def test_a_refusal_reaches_the_user_of_a_tuner(self, cluster: Cluster, tmp_path: Path, name: str) -> None:
        """Tune has put placeholders for some of it by then."""
        space, sentence = REFUSED[name]
        tuner = tune.Tuner(
            lambda config: None,
            param_space=space,
            tune_config=tune.TuneConfig(search_alg=self.make(), metric="loss", mode="min"),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        )
        with pytest.raises(InputError, match=sentence):
            tuner.fit()


class InOrderConformance(SearcherConformance):
    """For a searcher that promises the same points whatever the results and the order in which trials end."""

    def test_qr3_neither_results_nor_the_order_of_ends_change_a_point(self) -> None:
        expected = self.points()
        never, backwards, late = self.ready(), self.ready(), self.ready()
        assert [never.suggest(f"t{number}") for number in range(8)] == expected
        found = []
        for first in (0, 4):
            found += [backwards.suggest(f"t{number}") for number in range(first, first + 4)]
            for number in reversed(range(first, first + 4)):
                backwards.on_trial_complete(f"t{number}", result=None, error=number % 2 == 0)
        assert found == expected
        found = []
        for number in range(8):
            found.append(late.suggest(f"t{number}"))
            late.on_trial_result(f"t{number}", {"loss": 1e9 * (-1) ** number})
            if number >= 3:
                late.on_trial_complete(f"t{number - 3}", result={"loss": float(number)})
        assert found == expected
