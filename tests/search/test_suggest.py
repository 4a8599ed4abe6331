"""From a study and an index to a trial (rules QR2 to QR4, SD11)."""

from __future__ import annotations

import itertools
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from raytune_playbook.errors import SpaceError
from raytune_playbook.search import halton
from raytune_playbook.search.suggest import suggest, values_at
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec

SPACE = {
    "learning_rate": Float(1e-3, 1.0, scale="log"),
    "depth": Int(1, 8),
    "batch": Discrete([32, 64, 128]),
    "schedule": Categorical(["constant", None]),
}


def study(**changes: object) -> StudySpec:
    fields = {
        "name": "activation=relu",
        "arm": {"activation": "relu"},
        "space": SPACE,
        "fixed": {"width": 16},
        "seed": 3,
        "num_trials": 4,
        "objective": Objective(),
        "max_train_steps": 100,
        "evaluation_interval_steps": 10,
        "divergence_factor": 2.5,
        "workload": WorkloadSpec(module="m", name="n", settings={}, source_hash=""),
        "num_workers": 1,
        "threads_per_worker": 1,
    }
    return StudySpec(**(fields | changes))


def test_qr2_values_are_the_halton_point_through_each_kind():
    points = halton.points(20, len(SPACE), 3)
    for index, point in enumerate(points):
        expected = {name: kind.from_unit(float(unit)) for (name, kind), unit in zip(SPACE.items(), point, strict=True)}
        assert values_at(study(), index) == expected | {"width": 16, "activation": "relu"}


def test_qr2_values_are_the_same_in_every_version():
    golden = {
        0: {
            "activation": "relu",
            "batch": 128,
            "depth": 3,
            "learning_rate": 0.021033652449214065,
            "schedule": "constant",
            "width": 16,
        },
        1: {
            "activation": "relu",
            "batch": 32,
            "depth": 6,
            "learning_rate": 0.6651424925189552,
            "schedule": None,
            "width": 16,
        },
        1000000: {
            "activation": "relu",
            "batch": 128,
            "depth": 6,
            "learning_rate": 0.02204591315606059,
            "schedule": None,
            "width": 16,
        },
    }
    for index, values in golden.items():
        # The logarithm of another machine's library may differ in its last bit.
        rate = pytest.approx(values["learning_rate"], rel=1e-14)
        assert values_at(study(), index) == values | {"learning_rate": rate}


def test_qr3_qr4_order_of_asking_and_number_of_trials_change_nothing():
    forward = [suggest(study(), index) for index in range(20)]
    backward = [suggest(study(num_trials=500), index) for index in reversed(range(20))]
    assert forward == backward[::-1]


def test_qr2_another_seed_or_dimension_is_another_study():
    plain = [values_at(study(), index)["learning_rate"] for index in range(5)]
    assert [values_at(study(seed=4), index)["learning_rate"] for index in range(5)] != plain
    moved = dict(itertools.islice(reversed(SPACE.items()), 4))
    assert [values_at(study(space=moved), index)["learning_rate"] for index in range(5)] != plain


def test_sd2_a_space_without_dimensions_is_one_point():
    assert values_at(study(space={}), 0) == {"width": 16, "activation": "relu"}
    with pytest.raises(SpaceError, match="1 point"):
        values_at(study(space={}), 1)


def test_qr1_few_values_are_decided_by_exact_fractions():
    """A coordinate's exact value is its mirrored digits; rounding it to a float first could change the bin."""
    space = {"three": Int(0, 2), "nine": Int(0, 8), "many": Int(0, 10**18)}
    for index in range(200):
        fractions = halton.fractions(index, 3, 3)
        expected = [
            math.floor(fraction * kind.num_values) for fraction, kind in zip(fractions, space.values(), strict=True)
        ]
        values = values_at(study(space=space, fixed={}, arm={}), index)
        assert [values[name] for name in space] == expected


@pytest.mark.parametrize("dim", range(8))
def test_qr1_every_value_of_a_small_range_is_reached_soon_and_as_often_as_the_others(dim):
    space = {f"x{other}": Float(0, 1) for other in range(dim)} | {"y": Int(1, 5), "z": Float(0, 1)}
    values = [values_at(study(space=space), index)["y"] for index in range(100)]
    counts = [values.count(value) for value in range(1, 6)]
    assert min(values[:25].count(value) for value in range(1, 6)) >= 1
    assert max(counts) - min(counts) <= 6


def test_a_repeat_is_the_same_point_under_another_name():
    first, again = suggest(study(), 5), suggest(study(), 5, repeat=1)
    assert again.values == first.values
    assert (first.key, again.key) == ("00005", "00005.r1")
    assert again != first


def test_sd11_every_trial_has_the_studys_length():
    for index in range(5):
        trial = suggest(study(), index)
        assert (trial.max_train_steps, trial.evaluation_interval_steps, trial.divergence_factor) == (100, 10, 2.5)
        assert (trial.study, trial.index, trial.repeat, trial.seed) == ("activation=relu", index, 0, 3)
        assert trial.objective == Objective()


def test_an_index_out_of_range_is_one_sentence():
    with pytest.raises(SpaceError, match="index of a quasi-random sequence must be an integer from 0"):
        suggest(study(), -1)


def test_qr4_threads_get_the_points_of_a_finite_space_that_one_alone_gets():
    kinds = [Int(1, 12), Categorical(list("abcdef"))]
    num_points, num_threads, interval_s = 72, 4, sys.getswitchinterval()

    def points(names: str, seed: int, barrier: Barrier) -> list[tuple[object, ...]]:
        spec = study(space=dict(zip(names, kinds, strict=True)), seed=seed)
        barrier.wait()
        return [tuple(values_at(spec, index)[name] for name in names) for index in range(num_points)]

    sys.setswitchinterval(1e-6)  # threads take turns within a line
    try:
        with ThreadPoolExecutor(num_threads) as threads:
            for seed in range(5):
                together = Barrier(num_threads)
                results = [threads.submit(points, "ab", seed, together) for _ in range(num_threads)]
                alone = points("cd", seed, Barrier(1))  # the same points under names that no thread has
                assert len(set(alone)) == num_points
                assert [each.result() for each in results] == [alone] * num_threads
    finally:
        sys.setswitchinterval(interval_s)
