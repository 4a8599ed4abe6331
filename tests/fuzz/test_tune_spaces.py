"""Ray Tune's domains of any kind and with any bounds, given to the searchers: a sentence, or points in the space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from ray import tune

from raytune_playbook import BayesianSearch, HaltonSearch
from tests.fuzz.inputs import JSON_VALUES, ODD_NUMBERS, ODD_TEXTS, SCALARS, only_sentences

BOUNDS = st.one_of(st.sampled_from([1e-4, 0.01, 0.1, 1.0, 0.5, 2, 8, 64, 1000]), ODD_NUMBERS)
STEPS = st.one_of(st.sampled_from([1, 2, 8, 0.1, 0.01, 0.5]), ODD_NUMBERS)
RIGHT = st.one_of(
    st.tuples(st.floats(-10, 1), st.floats(2, 10)).map(lambda given: lambda: tune.uniform(*given)),
    st.tuples(st.floats(1e-6, 0.1), st.floats(0.2, 1e6)).map(lambda given: lambda: tune.loguniform(*given)),
    st.tuples(st.integers(1, 9), st.integers(11, 10**9)).map(lambda given: lambda: tune.lograndint(*given)),
    st.tuples(st.integers(-9, 9), st.integers(11, 99)).map(lambda given: lambda: tune.randint(*given)),
    st.lists(SCALARS, min_size=1, max_size=4).map(lambda given: lambda: tune.choice(given)),
)
RANGES = [tune.uniform, tune.loguniform, tune.randint, tune.lograndint, tune.randn]
QUANTIZED = [tune.quniform, tune.qloguniform, tune.qrandint, tune.qlograndint, tune.qrandn]
ODD = st.one_of(
    st.tuples(st.sampled_from(RANGES), BOUNDS, BOUNDS).map(lambda given: lambda: given[0](*given[1:])),
    st.tuples(st.sampled_from(QUANTIZED), BOUNDS, BOUNDS, STEPS).map(lambda given: lambda: given[0](*given[1:])),
    st.lists(JSON_VALUES, max_size=3).map(lambda given: lambda: tune.choice(given)),
    st.lists(SCALARS, max_size=3).map(lambda given: lambda: tune.grid_search(given)),
    st.sampled_from([lambda: tune.sample_from(lambda: 1), object, lambda: {1, 2}, lambda: b"x", lambda: 1j]),
    JSON_VALUES.map(lambda given: lambda: given),
)
NAMES = st.one_of(st.sampled_from(["a", "b", "lr", "a/b"]), ODD_TEXTS, st.integers(0, 3), st.none())


def spaces(depth: int = 2) -> st.SearchStrategy[dict[Any, Any]]:
    leaves = st.one_of(RIGHT, RIGHT, ODD)
    inner = st.one_of(leaves, leaves, leaves, spaces(depth - 1)) if depth else leaves
    return st.dictionaries(NAMES, inner, max_size=3)


def made(space: Any) -> Any:
    """The space, its domains made within the test: Tune refuses some itself, which is no matter of ours."""
    if isinstance(space, dict):
        return {name: made(inner) for name, inner in space.items()}
    try:
        return space()
    except (ValueError, TypeError, OverflowError, ZeroDivisionError, AssertionError):
        assume(False)


HALTON = st.fixed_dictionaries(
    {}, optional={"seed": ODD_NUMBERS, "start": ODD_NUMBERS, "num_points": ODD_NUMBERS, "max_concurrent": ODD_NUMBERS}
)


@given(spaces(), st.one_of(st.just({}), HALTON), st.one_of(st.none(), st.lists(JSON_VALUES, max_size=2)))
def test_a_space_is_refused_in_a_sentence_or_its_halton_points_repeat(
    space: dict[Any, Callable[[], Any]], options: dict[str, Any], points: list[Any] | None
) -> None:
    given_ = made(space)
    with only_sentences():
        found = []
        for _ in range(2):
            search = HaltonSearch(given_, points_to_evaluate=points, **options)
            found.append([search.suggest(f"trial {number}") for number in range(4)])
        assert repr(found[0]) == repr(found[1])


@given(spaces(), st.lists(st.one_of(SCALARS, ODD_NUMBERS), min_size=3, max_size=3))
def test_a_space_is_refused_in_a_sentence_or_bayesian_search_takes_any_results(
    space: dict[Any, Callable[[], Any]], results: list[Any]
) -> None:
    given_ = made(space)
    with only_sentences():
        search = BayesianSearch(num_initial=4)
        search.set_search_properties("loss", "min", given_)
        for number, result in enumerate(results):
            if search.suggest(f"trial {number}") is None:
                break
            search.on_trial_complete(f"trial {number}", {"loss": result})
