"""`Round` and all that it is made of, given values of any kind: a sentence, or a round that can be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raytune_playbook import Budget, Categorical, Discrete, Float, InputPipeline, Int, Objective, Resources, Round
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.types import TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.checks.rules_of_thumb import price, warnings
from raytune_playbook.study.study import StudySpec
from raytune_playbook.workloads.digits import DigitsResNet
from tests.fuzz.inputs import JSON_VALUES, ODD_NUMBERS, ODD_TEXTS, SCALARS, only_sentences

WORKLOAD = DigitsResNet()
NAMES = st.sampled_from([*WORKLOAD.hyperparameters(), "weight_decay"])
VALUES = st.one_of(SCALARS, st.sampled_from(["sgd", "adam", 0.01, 0.5, 1.0, 8, 32]))
BOUNDS = st.one_of(st.sampled_from([1e-4, 0.01, 0.1, 1.0, 0.5, 0.9, 0.99, 1, 8, 64]), ODD_NUMBERS, VALUES)
SCALES = st.one_of(st.sampled_from(["linear", "log", "log_one_minus"]), SCALARS)
WHEN = st.dictionaries(st.one_of(NAMES, ODD_TEXTS), st.one_of(VALUES, st.lists(VALUES, max_size=2)), max_size=2)
_BUDGET = {"num_trials": 64, "max_train_steps": 100, "evaluation_interval_steps": 10}
COUNTS = st.one_of(st.integers(1, 100), SCALARS)


def made_of(kind: Callable[..., Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Callable[[], Any]]:
    """What is made within a test, where it may be refused."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: lambda: kind(**given))


RIGHT = st.one_of(
    st.tuples(st.floats(1e-4, 0.1), st.floats(0.2, 0.99), st.sampled_from(["linear", "log", "log_one_minus"])).map(
        lambda given: lambda: Float(given[0], given[1], scale=given[2])
    ),
    st.tuples(st.integers(1, 8), st.integers(9, 10**6), st.sampled_from(["linear", "log"])).map(
        lambda given: lambda: Int(given[0], given[1], scale=given[2])
    ),
    st.lists(st.one_of(st.integers(0, 9), st.floats(0, 1), st.booleans()), min_size=1, max_size=4, unique=True).map(
        lambda given: lambda: Categorical(given)
    ),
    st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True).map(
        lambda given: lambda: Discrete(sorted(given))
    ),
    st.just(lambda: Categorical(["sgd", "adam"])),
)
ODD = st.one_of(
    st.tuples(BOUNDS, BOUNDS, SCALES, WHEN).map(lambda given: lambda: Float(*given[:2], scale=given[2], when=given[3])),
    st.tuples(BOUNDS, BOUNDS, SCALES).map(lambda given: lambda: Int(*given[:2], scale=given[2])),
    st.lists(VALUES, max_size=4).map(lambda given: lambda: Categorical(given)),
    st.lists(BOUNDS, max_size=4).map(lambda given: lambda: Discrete(given)),
    JSON_VALUES.map(lambda given: lambda: given),
)


def roles(names: st.SearchStrategy[str], each: st.SearchStrategy[Callable[[], Any]]) -> st.SearchStrategy[Any]:
    return st.dictionaries(names, each, max_size=3).map(
        lambda given: lambda: {name: make() for name, make in given.items()}
    )


SCIENTIFIC = st.sampled_from(["activation", "optimizer", "depth"])
NUISANCE = st.sampled_from(["learning_rate", "momentum"])
ODD_ROLES = st.one_of(roles(st.one_of(NAMES, ODD_TEXTS), st.one_of(RIGHT, ODD)), JSON_VALUES)
MODES = st.one_of(st.sampled_from(["auto", "streaming"]), SCALARS)
GOALS = st.one_of(st.sampled_from(["minimize", "maximize"]), SCALARS)
ODD_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": ODD_TEXTS,
    "goal": ODD_TEXTS,
    "scientific": ODD_ROLES,
    "nuisance": ODD_ROLES,
    "configurations": st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=3),
    "search": st.one_of(st.sampled_from(["halton", "random", "grid"]), SCALARS),
    "fixed": st.one_of(st.dictionaries(st.one_of(NAMES, ODD_TEXTS), VALUES, max_size=3), JSON_VALUES),
    "reasons": st.one_of(st.dictionaries(NAMES, ODD_TEXTS, max_size=2), JSON_VALUES),
    "objective": made_of(Objective, metric=ODD_TEXTS, split=ODD_TEXTS, goal=GOALS),
    "resources": made_of(
        Resources, num_workers=COUNTS, cpus_per_worker=SCALARS, num_gangs=COUNTS, node_labels=JSON_VALUES
    ),
    "input_pipeline": made_of(InputPipeline, mode=MODES, window_examples=COUNTS),
    "budget": made_of(
        lambda **given: Budget(**_BUDGET | given),
        num_trials=COUNTS,
        max_train_steps=COUNTS,
        evaluation_interval_steps=COUNTS,
        wall_clock_s=SCALARS,
        target=SCALARS,
        divergence_factor=SCALARS,
    ),
    "seed": ODD_NUMBERS,
    "notes": SCALARS,
    "unknown": SCALARS,
}


@st.composite
def rounds(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a round that is right but for a few of them, or for none."""
    fields = {
        "name": "r",
        "goal": "Does it?",
        "scientific": draw(roles(SCIENTIFIC, RIGHT)),
        "nuisance": draw(roles(NUISANCE, RIGHT)),
        "budget": lambda: Budget(**_BUDGET),
    }
    for name in draw(st.lists(st.sampled_from(sorted(ODD_FIELDS)), max_size=2)):
        fields[name] = draw(ODD_FIELDS[name])
    return fields


@given(rounds())
def test_a_round_is_refused_in_a_sentence_or_has_studies_trials_and_a_price(given_: dict[str, Any]) -> None:
    with only_sentences():
        fields = {name: make() if callable(make) else make for name, make in given_.items()}
        round_ = Round(workload=WORKLOAD, **fields)
        assert 0 < sum(study.num_trials for study in round_.studies) <= round_.budget.num_trials
        assert round_.fingerprint and price(round_).sentence(2) and isinstance(warnings(round_), list)
        for study in round_.studies[:3]:
            stored = StudySpec(**json.loads(json.dumps(study.model_dump(mode="json"))))
            assert stored.fingerprint == study.fingerprint
            for index in {0, study.num_trials - 1}:
                trial = suggest(stored, index)
                assert trial == suggest(study, index)
                assert trials_table([TrialRecord(spec=trial)]).num_rows == 1
