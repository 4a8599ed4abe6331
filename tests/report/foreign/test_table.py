"""Trials in tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.errors import InputError
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.foreign.read import read_table
from raytune_playbook.report.foreign.recorded import as_value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float

NUM_ROWS = 1000


def accuracy(learning_rate: float, dropout: float, optimizer: str) -> float:
    return 0.9 - 0.02 * (math.log10(learning_rate) + 2) ** 2 - 0.1 * (dropout - 0.2) ** 2 + 0.01 * (optimizer == "adam")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    """A thousand trials; some values are missing, some trials diverged, some have no result."""
    rng = np.random.default_rng(0)
    found: list[dict[str, object]] = []
    for row in range(NUM_ROWS):
        learning_rate, dropout = float(f"{10 ** rng.uniform(-4, 0):.5g}"), float(f"{rng.uniform(0, 0.5):.3f}")
        optimizer = str(rng.choice(["sgd", "adam"]))
        measured: float | None = round(accuracy(learning_rate, dropout, optimizer) + float(rng.normal(0, 0.002)), 5)
        if learning_rate > 0.8:
            measured = math.nan
        if row % 97 == 0:
            measured = None
        found.append(
            {
                "": row,
                "learning_rate": learning_rate,
                "dropout": None if row % 31 == 0 else dropout,
                "optimizer": optimizer,
                "augment": bool(rng.integers(2)),
                "depth": int(rng.integers(1, 5)),
                "seed": row % 3,
                "run id": f"run-{row}",
                "started": "2026-01-05 10:11:12",
                "train_loss": float(rng.uniform()),
                "val_acc": measured,
                "dataset": "digits",
                # Names that our own tables of trials have, too.
                "study": str(rng.choice(["a", "b"])),
                "index": row,
                "objective": float(rng.uniform()),
                "values.x": float(rng.uniform()),
            }
        )
    return found


@pytest.fixture(scope="module")
def csv(rows, tmp_path_factory):
    lines = [",".join(rows[0])]
    lines += [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
    file = tmp_path_factory.mktemp("table") / "trials.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def read(csv):
    return read_table(csv, objective="val_acc", scientific="optimizer")


def test_every_row_is_a_trial_with_its_values(rows, read):
    trials = {trial.index: trial for trial in read.reading.trials}
    assert sorted(trials) == list(range(NUM_ROWS))
    for row, trial in trials.items():
        given = rows[row]
        assert trial.study == f"optimizer={given['optimizer']}"
        for name in (
            "learning_rate",
            "dropout",
            "optimizer",
            "augment",
            "depth",
            "seed",
            "dataset",
            "study",
            "values.x",
        ):
            assert trial.values[name] == given[name], name
        if given["val_acc"] is None:
            assert (trial.outcome, trial.reason) == (Outcome.FAILED, "no val_acc was recorded")
        elif math.isnan(float(str(given["val_acc"]))):
            assert (trial.outcome, trial.reason) == (Outcome.INFEASIBLE, "NaN: val_acc was so")
        else:
            assert (trial.outcome, trial.objective, trial.best_step) == (Outcome.COMPLETED, given["val_acc"], None)
    best = max((row for row in rows if not math.isnan(row["val_acc"] or math.nan)), key=lambda row: row["val_acc"])
    assert read.best.index == best["index"]


def test_sd2_columns_are_told_apart_and_what_was_inferred_is_said(read):
    (sgd, adam) = sorted(read.reading.studies, key=lambda study: study.name, reverse=True)
    assert sgd.space == adam.space
    assert set(sgd.space) == {"learning_rate", "dropout", "augment", "depth", "study", "objective", "values.x"}
    assert isinstance(sgd.space["learning_rate"], Float)
    assert sgd.space["learning_rate"].scale == "log"
    assert sgd.space["learning_rate"].low == pytest.approx(1e-4, rel=0.02)
    assert sgd.space["augment"] in (Categorical([True, False]), Categorical([False, True]))
    assert sgd.space["depth"] == Discrete([1, 2, 3, 4])
    assert read.reading.record.caveats == ["dataset = digits"]
    assert read.reading.record.roles["optimizer"] == "scientific"
    said = " ".join(read.inferred)
    for words in (
        "The column without a name, of 1,000 values, is left out.",
        "started is left out: it holds times.",
        "What trials came to, and no hyperparameters, are by name: train_loss.",
        "Large values of val_acc are good, as its name says.",
        "seed is taken for a seed",
        "run id is left out: it has 1,000 different texts in 1,000 trials",
        "index is left out: it counts the trials.",
        "What never changes is fixed: dataset=digits.",
        "What was searched is taken from the values that were tried: learning_rate ",
    ):
        assert words in said


def test_what_was_not_recorded_is_not_made_up(read):
    assert read.curves == {}
    assert all(trial.training is None for trial in read.reading.trials)
    assert read.reading.origin == "recorded in trials.csv"
    assert read.reading.record.examples is None


def test_the_trials_are_a_table_like_that_of_a_round(read):
    assert {trial.id: trial.objective for trial in trials_of(read.trials)} == {
        trial.id: trial.objective for trial in read.reading.trials
    }


def test_findings_and_answer_come_from_it(read):
    assert read.answer.sentence
    assert {arm.arm.study for arm in read.answer.arms} == {"optimizer=sgd", "optimizer=adam"}
    assert read.findings == read.insight.findings


def test_the_same_is_read_of_parquet_and_of_tables_in_memory(rows, csv, read, tmp_path):
    columns = {name: [row[name] for row in rows] for name in rows[0] if name}
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "trials.parquet")
    for given in (tmp_path / "trials.parquet", table, columns):
        other = read_table(given, objective="val_acc", scientific="optimizer")
        assert [(trial.id, trial.objective) for trial in other.reading.trials] == [
            (trial.id, trial.objective) for trial in read.reading.trials
        ]
    frame = read_table(pd.read_csv(csv), objective="val_acc", scientific="optimizer")
    assert frame.reading.summary.total.completed == read.reading.summary.total.completed


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufefflr;loss\n0.1;2\n0.2;3\n0.4;4\n".encode())
    read = read_table(tmp_path / "a.csv", objective="loss")
    assert [trial.values["lr"] for trial in read.reading.trials] == [0.1, 0.2, 0.4]


def test_tabs_lines_within_values_and_words_for_nothing_are_read(tmp_path):
    rows = ['0.1\tNA\t"a\nb"\t2', "0.2\t1\tnull\t3", "NULL\t2\tc\t4", "0.4\t-\tc\t5"]
    (tmp_path / "a.tsv").write_text("\n".join(["lr\tdepth\tkind\tloss", *rows]) + "\n")
    trials = read_table(tmp_path / "a.tsv", objective="loss").reading.trials
    assert [trial.values["lr"] for trial in trials] == [0.1, 0.2, None, 0.4]
    assert [trial.values["depth"] for trial in trials] == [None, 1, 2, None]
    assert [trial.values["kind"] for trial in trials] == ["a\nb", None, "c", "c"]


def test_sd2_what_is_called_as_a_result_is_a_hyperparameter_where_it_is_chosen_or_said_to_be_one():
    errors = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
    table = {"use_mse": [0, 1, 0, 1, 0, 1], "label_error": errors, "val_loss": [1.5, 2.0, 3.0, 4.0, 5.0, 6.0]}
    said = read_table(table, objective="val_loss", scientific="label_error").reading
    assert [study.arm for study in said.studies] == [{"label_error": 0.1}, {"label_error": 0.2}, {"label_error": 0.3}]
    unsaid = read_table(table, objective="val_loss").reading
    assert [set(study.space) for study in unsaid.studies] == [{"use_mse"}]


def test_sd2_what_was_said_of_columns_is_kept():
    rows = range(8)
    table = {
        "lr": [0.1 * (1 + row // 2) for row in rows],
        "draw": [row % 2 for row in rows],
        "note": [0.5 * (row % 4) for row in rows],
        "kind": ["a"] * 8,
        "is_deep": [row % 2 == 0 for row in rows],
        "val_loss": [1.0 + row for row in rows],
    }
    said = {"objective": "val_loss", "seeds": "draw", "ignore": ("note", "is_deep"), "scientific": "kind"}
    read = read_table(table, **said, validation_examples=352)
    (study,) = read.reading.studies
    assert (study.arm, set(study.space)) == ({"kind": "a"}, {"lr"})
    assert [(trial.index, trial.repeat) for trial in read.reading.trials] == [
        (place, repeat) for place in (0, 2, 4, 6) for repeat in (0, 1)
    ]
    assert {tuple(sorted(trial.values)) for trial in read.reading.trials} == {("draw", "kind", "lr")}
    assert read.insight.evidence.num_validation_examples == 352
    ones = read_table(table, objective="val_loss", fixed={"draw": "1"})  # text, as an option gives it
    assert len(ones.reading.trials) == 4


def test_a_count_of_few_rows_is_a_hyperparameter():
    read = read_table({"depth": [1, 2, 3, 4], "val_loss": [1.0, 2.0, 3.0, 4.0]}, objective="val_loss")
    assert set(read.reading.studies[0].space) == {"depth"}


def test_ad6_a_metric_of_the_test_set_and_one_of_training_are_called_so():
    table = {"lr": [0.1, 0.2, 0.3], "test_loss": [1.0, 2.0, 3.0], "train_loss": [0.5, 0.6, 0.7]}
    (warning,) = read_table(table, objective="test_loss").reading.record.warnings
    assert warning.startswith("AD6: Trials are judged by test_loss, which is called like a metric of the test set;")
    train = read_table(table, objective="train_loss").reading
    assert (train.objective.split, list(train.record.warnings)) == ("train", [])


def test_sd5_what_one_value_does_not_have_is_fixed_there():
    table = {
        "kind": ["a", "b"] * 4,
        "momentum": [0.1 * row if row % 2 else None for row in range(8)],
        "lr": [0.1 * row for row in range(8)],
        "val_loss": [1.0 + row for row in range(8)],
    }
    studies = {
        study.arm["kind"]: study for study in read_table(table, objective="val_loss", scientific="kind").reading.studies
    }
    assert set(studies["a"].space) == {"lr"}
    assert studies["a"].fixed == {"momentum": None}
    assert set(studies["b"].space) == {"lr", "momentum"}


def test_fixed_values_choose_rows_and_others_are_caveats(rows):
    table = pa.table({name: [row[name] for row in rows] for name in ("learning_rate", "augment", "val_acc")})
    read = read_table(table, objective="val_acc", fixed={"augment": True, "machine": "a"})
    assert len(read.reading.trials) == sum(row["augment"] is True for row in rows)
    assert read.reading.record.caveats == ["augment = True", "machine = a"]
    assert any("other values than augment=True are left out" in note for note in read.inferred)


def test_ad1_points_whose_values_were_not_recorded_are_no_repeats_of_each_other():
    table = {"lr": [0.1, None, None, 0.1], "depth": [2, 2, 2, 2], "width": [8, 4, 4, 8], "loss": [1.0, 2.0, 3.0, 4.0]}
    trials = read_table(table, objective="loss").reading.trials
    assert [(trial.index, trial.repeat) for trial in trials] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    # What one scientific value does not have is not missing there.
    table = {"optimizer": ["sgd", "adam", "adam"], "momentum": [0.9, None, None], "loss": [1.0, 2.0, 3.0]}
    trials = read_table(table, objective="loss", scientific="optimizer").reading.trials
    assert [(trial.study, trial.repeat) for trial in trials if trial.study == "optimizer=adam"] == [
        ("optimizer=adam", 0),
        ("optimizer=adam", 1),
    ]


def test_ad1_equal_points_are_repeats_and_a_crash_is_no_first_run():
    table = {"lr": [0.1, 0.1, 0.2, 0.2, 0.1], "seed": [0, 1, 0, 1, 2], "loss": [1.0, 2.0, None, 0.5, 3.0]}
    read = read_table(table, objective="loss")
    found = [(trial.index, trial.repeat, trial.outcome, trial.objective) for trial in read.reading.trials]
    assert found == [
        (0, 0, "completed", 1.0),
        (0, 1, "completed", 2.0),
        (0, 2, "completed", 3.0),
        (2, 0, "failed", None),
        (3, 0, "completed", 0.5),
    ]


def test_sd6_many_scientific_values_make_one_joint_study_and_a_continuous_one_is_sampled():
    values = list(range(20)) * 2
    table = {"width": values, "lr": [0.1 + 0.01 * row for row in range(40)], "loss": [float(value) for value in values]}
    (joint,) = read_table(table, objective="loss", scientific="width").reading.studies
    assert [arm["width"] for arm in joint.arms] == list(range(20))
    (only,) = read_table(table, objective="loss", scientific="lr").reading.studies
    assert "lr" in only.space
    assert only.arms == ()


def test_unordered_rows_of_numbers_make_arms_that_rise():
    table = {"width": [8, 2, 4] * 3, "lr": [0.1 * row for row in range(9)], "loss": [1.0] * 9}
    read = read_table(table, objective="loss", scientific="width")
    assert [study.arm["width"] for study in read.reading.studies] == [2, 4, 8]


@pytest.mark.parametrize(
    ("text", "said", "sentence"),
    [
        ("lr,lr,loss\n1,2,3\n", {"objective": "loss"}, "'lr' stands twice"),
        ("lr, lr,loss\n1,2,3\n", {"objective": "loss"}, "'lr' stands twice"),
        ("lr,loss\n1,2\n1,2,3\n", {"objective": "loss"}, "is neither (CSV parse error: Expected 2 columns, got 3"),
        ("", {"objective": "loss"}, "(it is empty)"),
        ("lr,loss\n", {"objective": "loss"}, "The objective must be a column of numbers, but 'loss' holds nothing"),
        (
            "lr,val_loss\n1,2\n2,3\n",
            {"objective": "loss"},
            "there is no 'loss' recorded in a.csv; did you mean 'val_loss'?",
        ),
        ("lr,depth\n1,2\n2,3\n", {}, "name one with --objective: of those recorded in a.csv, lr, depth have numbers."),
        ("lr,y\n1,2\n2,3\n", {"objective": "y"}, "say --minimize or --maximize"),
        ("lr,loss\n1,a\n2,b\n", {"objective": "loss"}, "'loss' holds 'a'"),
        ("lr,loss\n1,2\n2,3\n", {"objective": "loss", "scientific": "lrr"}, "did you mean 'lr'?"),
        ("lr,loss\n1,2\n2,3\n", {"objective": "loss", "fixed": {"lr": 7}}, "none recorded in a.csv has lr=7"),
        ("\x00\x01\xff", {"objective": "loss"}, "a.csv"),
    ],
)
def test_a_wrong_table_is_named_in_one_sentence(tmp_path, text, said, sentence):
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "a.csv", **said)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["nowhere.csv", 3, {"lr": [1, 2], "loss": [1]}])
def test_what_is_no_table_is_named_in_one_sentence(given):
    with pytest.raises(InputError, match="Trials are read from a"):
        read_table(given, objective="loss")


@pytest.mark.parametrize(
    ("losses", "answer"),
    [
        (["nan", "nan", "inf"], "No trial was completed, so there is no answer."),
        (["1", "1", "1"], "All 3 trials that were completed have the same validation loss, 1: none is better."),
        (["0.5", "", ""], "The only trial that was completed is all/00000: validation loss 0.5."),
    ],
    ids=["infeasible", "constant", "one trial"],
)
def test_strange_results_are_told_in_a_sentence(tmp_path, losses, answer):
    (tmp_path / "a.csv").write_text("lr,loss\n" + "".join(f"{0.1 + row},{loss}\n" for row, loss in enumerate(losses)))
    read = read_table(tmp_path / "a.csv", objective="loss")
    assert read.answer.sentence == answer
    assert read.reading.summary.total.num_ended == 3


def test_sd2_a_scientific_value_that_all_trials_share_is_the_arm():
    one = read_table({"optimizer": ["adam"] * 3, "loss": [0.1, 0.2, 0.3]}, objective="loss", scientific="optimizer")
    (study,) = one.reading.studies
    assert (study.arm, study.fixed) == ({"optimizer": "adam"}, {})
    assert one.reading.record.roles == {"optimizer": "scientific"}


def test_in12_whole_numbers_are_compared_one_by_one_up_to_as_many_as_a_round_takes():
    for number, is_sampled in ((1000, False), (1001, True)):
        table = {"width": range(1, number + 1), "loss": [0.1] * number}
        ranges = {"width": {"low": 1, "high": 2000}}
        (study,) = read_table(table, objective="loss", scientific="width", ranges=ranges).reading.studies
        assert ("width" in study.space) is is_sampled
        assert len(study.arms) == (0 if is_sampled else number)


def test_what_is_no_plain_value_is_text_and_nan_is_no_value():
    assert [as_value(given) for given in (float("nan"), float("inf"), True, 3, None)] == [None, "inf", True, 3, None]
    assert as_value(("a", 1)) == '["a", 1]'
    assert as_value({"a": [None, "b"]}) == '{"a": [null, "b"]}'
