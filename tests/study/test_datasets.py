"""Where examples come from, and how they reach the workers: refused at once where it makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.datasets import Files, InputPipeline, Split
from raytune_playbook.study.study import StudySpec

GOLDEN_FINGERPRINT = "a59b49cff48e624e"
"""Of the plainest round, from before there were input pipelines."""

# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("given", "uris"),
    [
        ("a.csv", "a.csv"),
        (Path("data/a.csv"), "data/a.csv"),
        (["a.csv", "b.csv"], ("a.csv", "b.csv")),
        (("b.csv", "a.csv"), ("b.csv", "a.csv")),
        ([Path("a.csv"), "b.csv"], ("a.csv", "b.csv")),
        (["a.csv"], ("a.csv",)),
    ],
)
def test_names_are_given_as_a_sensible_user_writes_them(given, uris):
    files = Files(given, columns=["x", "label"])
    assert files.uris == uris
    assert files.columns == ("x", "label")
    assert files == Files(uris, columns=("x", "label"))
    assert len({files, Files(given, columns=("x", "label"))}) == 1
    assert Files(given, columns="x").columns == ("x",)


def test_files_say_nothing_more_by_default():
    files = Files("a")
    assert (files.format, files.columns, files.on_unreadable) == (None, None, "refuse")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"uris": ""}, r"Files.uris: a name or a list of names is needed, but got ''; correct it"),
        ({"uris": []}, r"Files.uris: a name or a list of names is needed, but got \[\]"),
        ({"uris": ["a.csv", ""]}, r"Files.uris: .*but got \['a.csv', ''\]"),
        ({"uris": None}, r"Files.uris: .*but got None"),
        ({"uris": [1]}, r"Files.uris: .*but got \[1\]"),
        ({"uris": b"a.csv"}, r"Files.uris: .*but got b'a.csv'"),
        ({"uris": {"a.csv", "b.csv"}}, r"Files.uris: .*but got \{"),  # in no order that another process would repeat
        ({"uris": ["a.csv", "b.csv", "a.csv"]}, r"Files.uris: each name may come once, but 'a.csv' comes twice"),
        ({"columns": []}, r"Files.columns: a name or a list of names is needed, but got \[\]"),
        ({"columns": [""]}, r"Files.columns: .*but got \[''\]"),
        ({"columns": ["x", None]}, r"Files.columns: .*but got \['x', None\]"),
        ({"columns": ["x", "y", "x"]}, r"Files.columns: each name may come once, but 'x' comes twice; drop one"),
        (
            {"on_unreadable": "ignore"},
            r"Files.on_unreadable must be one of 'refuse', 'skip', but got 'ignore'; correct",
        ),
        ({"on_unreadable": True}, r"Files.on_unreadable must be one of 'refuse', 'skip', but got True"),
    ],
)
def test_wrong_files_are_one_sentence(fields, words):
    with pytest.raises(SpecError, match=words) as caught:
        Files(**{"uris": "a.csv"} | fields)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ splits


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3)])
def test_shares_that_sum_to_one(shares):
    split = Split({"x": np.zeros(3)}, *shares)
    assert split.fractions == dict(zip(("train", "validation", "test"), shares, strict=True))


@pytest.mark.parametrize(
    "shares",
    [
        (0.9, 0.1, 0.1),
        (0.8, 0.1, 0.0),
        (0.0, 0.9, 0.1),
        (0.9, 0.0, 0.1),
        (1.1, -0.2, 0.1),
        (0.9, 0.2, -0.1),
        (float("nan"), 0.1, 0.1),
        (0.8, float("nan"), 0.1),
        (0.8, 0.2, float("nan")),
        (float("inf"), 0.1, 0.1),
        ("0.8", 0.1, 0.1),
        (0.8, 0.1, None),
        (80, 10, 10),
    ],
)
def test_other_shares_are_one_sentence(shares):
    with pytest.raises(
        SpecError, match=r"Split: shares of train and validation above zero, and of all three"
    ) as caught:
        Split("data", *shares)
    assert f"but got {shares[0]}, {shares[1]} and {shares[2] or 0.0}; give all three, since" in str(caught.value)


def test_no_share_is_taken_that_was_not_asked_for():
    assert Split("data").fractions == {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert Split("data", train=0.8, validation=0.2).fractions == {"train": 0.8, "validation": 0.2, "test": 0.0}
    for shares in ({"train": 0.7, "validation": 0.2}, {"test": 0.1}, {"train": 0.9}, {"validation": 0.1}):
        with pytest.raises(SpecError, match=r"give all three, since one that is left out beside others is 0\."):
            Split("data", **shares)


def test_the_key_of_a_split_is_one_column_or_several():
    assert Split("data").key is None
    assert Split("data", key="patient").key == ("patient",)
    assert Split("data", key=["patient", "day"]).key == ("patient", "day")
    with pytest.raises(SpecError, match=r"Split.key: a name or a list of names is needed, but got \(\)"):
        Split("data", key=())


# ------------------------------------------------------------------ the input pipeline of a round


@pytest.mark.parametrize("mode", ["auto", "materialized", "streaming"])
def test_an_input_pipeline_in_and_out_as_json(mode):
    pipeline = InputPipeline(mode=mode, window_examples=100)
    text = pipeline.model_dump_json()
    assert json.loads(text) == {"mode": mode, "window_examples": 100}
    assert InputPipeline(**json.loads(text)) == pipeline


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"mode": "stream"},
            r"InputPipeline.mode: input should be 'auto', 'materialized' or 'streaming', but got 'str",
        ),
        ({"window_examples": 0}, r"InputPipeline.window_examples: .*greater than 0, but got 0; correct it"),
        ({"window_examples": 0.5}, r"InputPipeline.window_examples: .*but got 0.5"),
        ({"window": 10}, r"InputPipeline has no field 'window'"),
    ],
)
def test_wrong_input_pipelines_are_one_sentence(fields, words):
    with pytest.raises(SpecError, match=words) as caught:
        InputPipeline(**fields)
    assert "\n" not in str(caught.value)


def test_a_round_without_one_has_the_fingerprint_that_it_always_had(make_round):
    """So that rounds from before can be resumed and extended."""
    plain = make_round()
    assert make_round(input_pipeline=InputPipeline()).fingerprint == plain.fingerprint == GOLDEN_FINGERPRINT
    (study,) = plain.studies
    content = study.model_dump(mode="json")
    assert content.pop("input_pipeline") is None
    assert StudySpec(**content).fingerprint == study.fingerprint


def test_another_input_pipeline_makes_other_trials(make_round):
    pipelines = [{}, {"mode": "streaming"}, {"mode": "materialized"}, {"mode": "streaming", "window_examples": 10}]
    rounds = [make_round(input_pipeline=InputPipeline(**fields)) for fields in pipelines]
    assert len({round_.fingerprint for round_ in rounds}) == len(rounds)
    for round_, fields in zip(rounds, pipelines, strict=True):
        (study,) = round_.studies
        assert study.input_pipeline == (InputPipeline(**fields) if fields else None)
        assert StudySpec(**json.loads(study.model_dump_json())).fingerprint == study.fingerprint
