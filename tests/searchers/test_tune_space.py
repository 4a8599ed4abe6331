"""Ray Tune's domains as dimensions: against Tune's own samples, SciPy, and exact rationals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
from ray import tune
from ray.tune.search import sample

from raytune_playbook.errors import SpaceError
from raytune_playbook.search import halton
from raytune_playbook.searchers.tune_space import TuneSpace


def space_of(**domains: object) -> TuneSpace:
    return TuneSpace(domains, emits_constants=True)


def values(domain: object, num_points: int = 600) -> list[object]:
    """The values of a space's only dimension, in the order of the Halton points, repeats included."""
    dim = space_of(x=domain).dims["x"]
    drawn = []
    for index in range(num_points):
        fraction = halton.fractions(index, 1, 0)[0]
        drawn.append(
            dim.value(dim.hyperparameter.from_unit(fraction if dim.hyperparameter.num_values else float(fraction)))
        )
    return drawn


WITH_FEW_VALUES = {
    "randint": tune.randint(-3, 9),
    "randint of one": tune.randint(4, 5),
    "lograndint": tune.lograndint(1, 20),
    "qrandint": tune.qrandint(0, 20, 5),
    "qrandint between multiples": tune.qrandint(3, 29, 5),
    "qrandint by 1": tune.qrandint(2, 7, 1),
    "qlograndint": tune.qlograndint(10, 90, 10),
    "qlograndint by 1": tune.qlograndint(1, 9, 1),
    "quniform": tune.quniform(-0.3, 0.6, 0.1),
    "qloguniform": tune.qloguniform(0.2, 2.0, 0.2),
    "choice": tune.choice(["a", "b", "c"]),
    "one choice": tune.choice(["a"]),
}


@pytest.mark.parametrize("domain", WITH_FEW_VALUES.values(), ids=WITH_FEW_VALUES.keys())
def test_the_values_are_those_that_tune_samples_itself_both_ends_and_types_included(domain):
    theirs = sorted({round(v, 9) if isinstance(v, float) else v for v in domain.sample(size=4000, random_state=0)})
    ours = sorted(set(values(domain)))
    assert ours == theirs
    assert {type(value) for value in ours} <= {int, float, str}


@pytest.mark.parametrize("name", ["randint", "qrandint", "qrandint between multiples", "quniform", "choice"])
def test_qr4_values_of_a_linear_scale_own_equal_bins_by_exact_rationals(name):
    drawn = values(WITH_FEW_VALUES[name], 300)
    support = sorted(set(drawn))
    exact = [math.floor(halton.fractions(index, 1, 0)[0] * len(support)) for index in range(300)]
    assert [support.index(value) for value in drawn] == exact


@pytest.mark.parametrize(
    ("name", "step"), [("lograndint", 1), ("qlograndint", 10), ("qlograndint by 1", 1), ("qloguniform", 0.2)]
)
def test_a_multiple_of_a_log_scale_owns_the_axis_up_to_the_next(name, step):
    drawn = [round(value / step) for value in values(WITH_FEW_VALUES[name], 1024)]
    low, end = min(drawn), max(drawn) + 1
    for k in range(low, end):
        # Of 2^10 points, an interval holds as many as its length says, but for 1 or 2 at each end.
        assert drawn.count(k) / 1024 == pytest.approx(math.log((k + 1) / k) / math.log(end / low), abs=4 / 1024)


def test_continuous_domains_follow_their_distributions():
    units = [float(halton.fractions(index, 1, 0)[0]) for index in range(600)]
    np.testing.assert_allclose(values(tune.uniform(-2, 6)), scipy.stats.uniform(-2, 8).ppf(units), rtol=1e-12)
    np.testing.assert_allclose(values(tune.loguniform(1e-4, 1)), scipy.stats.loguniform(1e-4, 1).ppf(units), rtol=1e-9)
    np.testing.assert_allclose(values(tune.randn(3, 0.5)), scipy.stats.norm(3, 0.5).ppf(units), rtol=1e-9)
    quantized = np.array(values(tune.qrandn(3, 0.5, 0.2)))
    np.testing.assert_allclose(quantized, np.round(scipy.stats.norm(3, 0.5).ppf(units) / 0.2) * 0.2, atol=1e-9)
    assert 3.2 in quantized and all(type(value) is float for value in values(tune.qrandn(3, 0.5, 0.2)))


def test_a_coordinate_of_zero_is_a_finite_normal_number():
    dim = space_of(x=tune.randn()).dims["x"]
    assert dim.value(dim.hyperparameter.from_unit(0.0)) == pytest.approx(scipy.stats.norm.ppf(2.0**-54))


def test_quantized_floats_are_decimals_and_reach_the_very_ends():
    assert sorted(set(values(tune.quniform(0.1, 0.7, 0.1)))) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert max(values(tune.quniform(0, 1, 1 / 3))) == 1.0


def test_qr2_dimensions_go_by_their_paths_whatever_the_order_and_the_constants():
    one = TuneSpace({"b": tune.uniform(0, 1), "a": {"z": tune.uniform(0, 1), "y": 3}}, emits_constants=True)
    other = TuneSpace({"a": {"z": tune.uniform(0, 1)}, "new": 1, "b": tune.uniform(0, 1)}, emits_constants=True)
    assert list(one.dims) == ["a/z", "b"]
    for index in range(5):
        z, b = halton.point(index, 2, 7)
        assert one.values_at(index, 7) == other.values_at(index, 7) == {"a/z": z, "b": b}
        assert one.config(one.values_at(index, 7)) == {"a": {"y": 3, "z": z}, "b": b}


def test_numpy_scalars_of_a_space_given_directly_become_pythons_own():
    space = space_of(
        c=tune.choice([np.int64(3), np.float32(0.5), np.bool_(True), np.str_("s")]),
        u=tune.uniform(np.float64(0), np.float32(1)),
        i=tune.randint(np.int64(0), np.int32(50)),
        constant=np.float64(2.5),
        layers=[np.int64(64), 32],
        nothing={},
    )
    for index in range(8):
        config = space.config(space.values_at(index, 0))
        assert config["constant"] == 2.5 and config["layers"] == [64, 32] and config["nothing"] == {}
        assert {type(value) for value in config.values()} <= {int, float, bool, str, list, dict}
        json.dumps(config)  # which refuses numpy's


def test_the_fingerprint_knows_every_range_and_constant_but_not_the_order():
    base = {"a": tune.uniform(0, 1), "b": {"c": tune.qrandn(0, 1, 0.5)}, "k": 1}
    same = {"k": 1, "b": {"c": tune.qrandn(0, 1, 0.5)}, "a": tune.uniform(0, 1)}
    others = [
        base | {"a": tune.uniform(0, 2)},
        base | {"a": tune.loguniform(0.1, 1)},
        base | {"b": {"c": tune.qrandn(0, 1, 0.25)}},
        base | {"k": 2},
        base | {"new": tune.choice([1])},
    ]
    fingerprints = [TuneSpace(space, emits_constants=True).fingerprint for space in (base, same, *others)]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints[1:])) == len(others) + 1


def test_a_small_finite_space_has_so_many_points():
    assert space_of(a=tune.choice("abc"), b=tune.qrandint(0, 10, 5), k=1).num_points == 9
    assert space_of(a=tune.choice("abc"), b=tune.uniform(0, 1)).num_points is None
    assert space_of(k=1).num_points == 1
    assert space_of(k=1).config(space_of(k=1).values_at(0, 0)) == {"k": 1}


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ([], "must be a dict of domains"),
        ({"a": {"b": tune.grid_search([1, 2])}}, "'a/b': grid_search has no place"),
        ({"a": [tune.grid_search([1, 2])]}, "'a/0': grid_search has no place"),
        ({"a": sample.Categorical([1, 2]).grid()}, "a range or tune.choice, but got Categorical with Grid"),
        ({"a": tune.sample_from(lambda config: 1)}, "holds sample_from"),
        ({"a": ("__fn_ph", "0123abcd")}, "holds sample_from"),
        ({"a": {"eval": "1 + 1"}}, "holds sample_from"),
        ({"a": [1, tune.uniform(0, 1)]}, "one stands in a list"),
        ({"a": [{"b": tune.uniform(0, 1)}]}, "in a list"),
        ({"a": tune.choice([("__ref_ph", "0123abcd")])}, "got an object .*name it by a string"),
        ({"a": tune.choice([[64, 64]])}, r"got \[64, 64\]"),
        ({"a": tune.choice([1, 1])}, "choices must differ"),
        ({"a": tune.choice([])}, "'a'"),
        ({"a": object()}, "what JSON can hold"),
        ({"a": tune.uniform(1, 0)}, "'a': Float: low < high"),
        ({"a": tune.choice([math.nan])}, "'a'"),
        ({"a": tune.randint(3, 3)}, "a multiple of q"),
        ({"a": tune.randint(0.5, 3)}, "whole numbers"),
        ({"a": tune.randint(0, math.inf)}, "whole numbers"),
        ({"a": tune.qrandint(1, 4, 5)}, "a multiple of q"),
        ({"a": tune.qrandn(0, 1, 0)}, "q > 0"),
        ({"a/b": 1, "a": {"b": 2}}, "'a/b' stands twice"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_a_sentence(space, sentence):
    with pytest.raises(SpaceError, match=sentence) as caught:
        TuneSpace(space, emits_constants=True)
    assert "\n" not in str(caught.value)


def test_objects_are_constants_of_a_param_space_which_tune_fills_in():
    space = TuneSpace({"data": ("__ref_ph", "0123abcd"), "x": tune.uniform(0, 1)}, emits_constants=False)
    assert set(space.config(space.values_at(0, 0))) == {"x"}


FULL = {
    "u": tune.uniform(0, 1),
    "i": tune.randint(0, 5),
    "q": tune.quniform(0, 1, 0.1),
    "n": tune.qrandn(0, 1, 0.5),
    "o": {"c": tune.choice(["a", None])},
}
POINT = {"u": 1, "i": 4, "q": 0.30000000000000004, "n": -7.5, "o": {"c": None}}


def test_a_point_of_the_users_is_admitted_nested_or_flat():
    space = space_of(**FULL)
    assert space.config(space.admitted(POINT)) == POINT
    flat = {**{k: v for k, v in POINT.items() if k != "o"}, "o/c": "a", "i": np.int64(2)}
    assert space.config(space.admitted(flat)) == POINT | {"o": {"c": "a"}, "i": 2}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"u": 1.5}, "u=1.5 is none of"),
        ({"u": math.nan}, "u=nan"),
        ({"u": True}, "u=True"),
        ({"u": [0.5]}, r"u=\[0.5\]"),
        ({"i": 5}, "i=5"),
        ({"i": 2.0}, "i=2.0"),
        ({"q": 0.25}, "q=0.25"),
        ({"q": 1.1}, "q=1.1"),
        ({"q": "0.1"}, "q='0.1'"),
        ({"n": 0.3}, "n=0.3"),
        ({"o": {"c": "b"}}, "o/c='b'"),
        ({"o": {}}, r"lacks \['o/c'\] and has \['o'\]"),
        ({"new": 1}, r"lacks \[\] and has \['new'\]"),
    ],
)
def test_a_point_outside_of_the_space_is_refused(change, sentence):
    with pytest.raises(SpaceError, match=sentence):
        space_of(**FULL).admitted(POINT | change)
