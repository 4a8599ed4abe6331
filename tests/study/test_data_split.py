"""Which division of the examples a round may ask for (rule AD7)."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.data_split import data_split, refuse_data_split
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from tests.study.conftest import DEFAULTS, PlainWorkload

DIVISIBLE = Split({"x": [1, 2, 3]})
READY_DIVIDED = {"train": {"x": [1, 2]}, "validation": {"x": [3]}}
NUISANCE = {"learning_rate": Discrete([0.1, 0.2])}


def check(make_round, datasets, default=0, **fields):
    workload = PlainWorkload(DEFAULTS | {"data_split": default})
    refuse_data_split(make_round(**{"num_trials": 24, "workload": workload, "nuisance": NUISANCE} | fields), datasets)


def test_the_first_division_is_the_default():
    assert data_split({}) == 0
    assert data_split({"data_split": 7}) == 7


@pytest.mark.parametrize("value", [-1, 1.0, "1", True, None])
def test_what_is_no_number_of_a_division_is_one_sentence(value, make_round):
    words = f"data_split must be a whole number of at least 0, but got {value!r}; correct it"
    with pytest.raises(SpecError, match=words):
        data_split({"data_split": value})
    for datasets in (DIVISIBLE, READY_DIVIDED):
        with pytest.raises(SpecError, match=words):
            check(make_round, datasets, fixed={"data_split": value})


def test_rounds_that_ask_for_nothing_pass(make_round, workload):
    check(make_round, READY_DIVIDED)
    check(make_round, READY_DIVIDED, fixed={"data_split": 0})
    refuse_data_split(make_round(nuisance=NUISANCE), READY_DIVIDED)  # of a workload that has no such hyperparameter


OTHER_DIVISIONS = [
    {"fixed": {"data_split": 1}},
    {"default": 2},
    {"scientific": {"data_split": Int(0, 4)}},
    {"scientific": {"data_split": Int(0, 9999)}},
    {"scientific": {"data_split": Categorical([0, 3])}},
    {"scientific": {"data_split": Discrete([0, 3]), "activation": Categorical(["relu", "tanh"])}},
    {"scientific": {"data_split": Categorical([0, 3])}, "nuisance": {}, "configurations": ({"learning_rate": 0.1},)},
]


@pytest.mark.parametrize("fields", OTHER_DIVISIONS)
def test_ad7_a_split_can_be_divided_anew(make_round, fields):
    check(make_round, DIVISIBLE, **fields)


@pytest.mark.parametrize("fields", OTHER_DIVISIONS)
def test_ad7_what_is_divided_already_cannot(make_round, fields):
    words = (
        r"data_split asks for another division .*but got \d+ where Workload.datasets returns splits that are divided"
    )
    with pytest.raises(SpecError, match=words):
        check(make_round, READY_DIVIDED, **fields)


@pytest.mark.parametrize(
    ("kind", "got"),
    [(Int(-1, 4), "-1"), (Int(-20, 9999), "-20"), (Float(0, 2), "0.0"), (Categorical(["a", "b"]), "'a'")],
)
def test_compared_values_that_are_no_divisions_are_one_sentence(make_round, kind, got):
    with pytest.raises(SpecError, match=f"data_split must be a whole number of at least 0, but got {got};"):
        check(make_round, DIVISIBLE, scientific={"data_split": kind})


@pytest.mark.parametrize(
    "fields",
    [
        {"nuisance": {"data_split": Int(0, 4)}},
        {"nuisance": {}, "configurations": ({"data_split": 0}, {"data_split": 1})},
    ],
)
@pytest.mark.parametrize("datasets", [DIVISIBLE, READY_DIVIDED])
def test_ad7_the_luckiest_validation_set_is_not_searched_for(make_round, datasets, fields):
    with pytest.raises(SpecError, match=r"data_split must not be a nuisance hyperparameter, .*it is tuned; fix it, or"):
        check(make_round, datasets, **fields)
