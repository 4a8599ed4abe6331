"""What a workload has without being asked, and typed access to values."""

from __future__ import annotations

import copy
import pickle

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.hyperparameters.known import TRAINING
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values


def test_every_workload_has_the_loops_hyperparameters_and_may_change_defaults(small):
    assert small.hyperparameters() == TRAINING_DEFAULTS | {"dropout": 0.0, "batch_size": 12, "learning_rate": 0.1}


def test_which_hyperparameters_are_the_loops_is_known_where_no_torch_is():
    assert TRAINING_DEFAULTS.keys() == TRAINING


def test_sc4_st6_defaults_are_plain():
    assert TRAINING_DEFAULTS["schedule"] == "constant"
    assert TRAINING_DEFAULTS["weight_decay"] == 0.0
    assert TRAINING_DEFAULTS["clipping_norm"] is None
    assert TRAINING_DEFAULTS["virtual_batch_size"] == 64  # rule BN4


def test_spec_names_the_class_its_settings_and_its_source(small):
    small.size, small._secret, small.list = 3, 4, [5]
    spec = small.spec()
    assert spec.name == "Small"
    assert spec.settings == {"size": 3}
    assert len(spec.source_hash) == 16


VALUES = Values({"number": 1, "real": 0.5, "text": "a", "flag": True, "nothing": None})


def test_typed_access():
    assert VALUES.number("number") == 1.0
    assert type(VALUES.number("number")) is float
    assert VALUES.integer("number") == 1
    assert VALUES.text("text") == "a"
    assert VALUES.choice("text", ["a", "b"]) == "a"
    assert VALUES.optional_number("nothing") is None
    assert VALUES.optional_number("real") == 0.5
    assert (VALUES.strength("nothing"), VALUES.strength("real")) == (0.0, 0.5)
    assert dict(VALUES) == {"number": 1, "real": 0.5, "text": "a", "flag": True, "nothing": None}
    assert len(VALUES) == 5


@pytest.mark.parametrize("get", [VALUES.number, VALUES.optional_number, VALUES.text, VALUES.flag, VALUES.__getitem__])
def test_a_hyperparameter_that_is_not_there_is_one_sentence_with_the_one_that_was_meant(get):
    with pytest.raises(SpecError, match=r"the workload asks for 'numbr', which is no .*; did you mean 'number'\?"):
        get("numbr")
    with pytest.raises(SpecError, match=r"there are flag, nothing, number, real, text; add it to Workload\.defaults"):
        get("learning_rate")


def test_values_are_a_mapping_all_the_same():
    assert "numbr" not in VALUES
    assert VALUES.get("numbr", 3) == 3
    with pytest.raises(KeyError):
        VALUES["numbr"]


@pytest.mark.parametrize(
    ("get", "words"),
    [
        (lambda: VALUES.number("text"), "text must be a number, but got 'a'; give one"),
        (lambda: VALUES.number("flag"), "flag must be a number, but got True"),
        (lambda: VALUES.number("nothing"), "nothing must be a number, but got None"),
        (lambda: VALUES.integer("real"), "real must be a whole number, but got 0.5"),
        (lambda: VALUES.integer("flag"), "flag must be a whole number"),
        (lambda: VALUES.text("number"), "number must be text, but got 1"),
        (lambda: VALUES.choice("text", ["b", "c"]), "text must be one of b, c, but got 'a'; choose one of them"),
        (lambda: VALUES.choice("nothing", ["b"]), "nothing must be one of b, but got None"),
        (lambda: VALUES.optional_number("text"), "text must be a number"),
        (lambda: VALUES.strength("text"), "text must be a number"),
    ],
)
def test_wrong_types_are_one_sentence(get, words):
    with pytest.raises(SpecError, match=words):
        get()


def test_the_getters_earlier_names_still_work():
    """Workloads of users call them."""
    earlier = [(VALUES.float, "number"), (VALUES.int, "number"), (VALUES.str, "text"), (VALUES.bool, "flag")]
    now = [VALUES.number, VALUES.integer, VALUES.text, VALUES.flag]
    for (before, name), after in zip(earlier, now, strict=True):
        assert before(name) == after(name)
        assert type(before(name)) is type(after(name))
    assert (VALUES.optional_float("nothing"), VALUES.optional_float("real")) == (None, 0.5)
    with pytest.raises(SpecError, match="text must be a number"):
        VALUES.float("text")


@pytest.mark.parametrize(
    ("look", "read"),
    [
        (lambda values: values.number("number"), {"number"}),
        (lambda values: values.optional_float("nothing"), {"nothing"}),
        (lambda values: values.choice("text", "ab"), {"text"}),
        (lambda values: values["flag"], {"flag"}),
        (lambda values: values.get("real"), {"real"}),
        (lambda values: values.get("another"), set()),
        (lambda values: (len(values), list(values), repr(values)), set()),  # which tell no value
        (lambda values: copy.copy(values)["real"], {"real"}),
        (lambda values: copy.deepcopy(values).integer("number"), {"number"}),
        (lambda values: values.unused().integer("number"), set()),
        (dict, set(VALUES)),
        (lambda values: {**values}, set(VALUES)),
        (lambda values: list(values.items()), set(VALUES)),
        (lambda values: values == {}, set(VALUES)),
        (pickle.dumps, set(VALUES)),
    ],
)
def test_it_is_noted_which_values_were_asked_for(look, read):
    values = Values(dict(VALUES))
    assert values.read == set()
    look(values)
    assert values.read == read


def test_values_can_be_sent_to_another_process():
    assert dict(pickle.loads(pickle.dumps(VALUES))) == dict(VALUES)
