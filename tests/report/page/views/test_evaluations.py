"""What the page says of sampled evaluation and of classes (rules EV5, EV6, EV8)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.page.views.answer import answer_view
from raytune_playbook.report.page.views.evaluations import ClassHead, SampleView, classes_view, sample_view
from raytune_playbook.report.reading import RoundReading, read_round

BEST_STEP = 300
NUM_SAMPLE, NUM_TOTAL = 400, 4000


@pytest.fixture
def reading(make_round) -> RoundReading:
    return read_round(make_round(trials_per_arm=3))


def scored(split: str, error: float, num: int, **more: float) -> dict[str, float | str]:
    standard_error = math.sqrt(error * (1 - error) / (num - 1))
    return {
        "step": BEST_STEP,
        "split": split,
        "error": error,
        "standard_error.error": standard_error,
        "num_examples": num,
    } | more


def tables_of(reading: RoundReading, rows: Callable[[int], list[dict[str, float | str]]]) -> dict[TrialId, pa.Table]:
    return {trial.id: measurements_table(rows(place)) for place, trial in enumerate(best_of(reading))}


def best_of(reading: RoundReading) -> list[Trial]:
    best = [arm.best for arm in reading.arms if arm.best is not None]
    assert len(best) == 3
    return best


def sampled(reading: RoundReading, sampled_errors: list[float], full_errors: list[float]) -> SampleView:
    def rows(place: int) -> list[dict[str, float | str]]:
        return [
            scored("validation", sampled_errors[place], NUM_SAMPLE),
            scored("validation_full", full_errors[place], NUM_TOTAL),
        ]

    view = sample_view(reading, tables_of(reading, rows))
    assert view is not None
    return view


def test_ev5_the_sample_is_shown_beside_all_examples(reading):
    view = sampled(reading, [0.10, 0.20, 0.30], [0.11, 0.20, 0.31])
    assert (view.metric, view.num_sample, view.num_total) == ("error", 400, 4000)
    row = view.rows[0]
    assert (row.judged.arm, row.judged.trial.text) == ("batch_norm=device", "batch_norm=device/00001")
    # 0.01 over sqrt(0.11 x 0.89 x 3600 / 3999 / 400)
    assert (row.step, row.sampled, row.full, row.num_standard_errors) == ("300", "0.1", "0.11", "0.67")
    assert row.is_best
    assert not any(warning.startswith("The sample is not like") for warning in view.warnings)


def test_ev5_a_skewed_sample_is_a_warning_with_the_worst_numbers(reading):
    (warning,) = sampled(reading, [0.10, 0.20, 0.40], [0.11, 0.20, 0.20]).warnings
    start = "The sample is not like the whole set: 0.4 on it and 0.2 on all, 10.5 standard errors apart"
    assert warning.startswith(start)


def test_ev5_studies_that_the_sample_cannot_tell_apart_are_a_warning(reading):
    (warning,) = sampled(reading, [0.10, 0.105, 0.40], [0.10, 0.10, 0.40]).warnings
    assert warning.startswith("0.1 and 0.105 on a sample of 400 of 4,000 validation examples may differ by chance")


def test_ev6_correct_predictions_are_counted_per_class_the_rarest_first(reading):
    def rows(place: int) -> list[dict[str, float | str]]:
        counts = {"num_examples.rare <b>": 8.0, "num_correct.rare <b>": 6.0 - place}
        counts |= {"num_examples.common": 1000.0, "num_correct.common": 990.0}
        return [scored("validation", 0.1, 1008, **counts)]

    view = classes_view(reading, tables_of(reading, rows))
    assert view is not None
    assert view.classes == (ClassHead("rare <b>", 8), ClassHead("common", 1000))
    assert [row.correct for row in view.rows] == [
        ("6 (0.75)", "990 (0.99)"),
        ("5 (0.625)", "990 (0.99)"),
        ("4 (0.5)", "990 (0.99)"),
    ]
    assert view.rarest == (
        "One more correct example of class rare <b> adds 0.12 to its sensitivity. From trial batch_norm=sync/00001 "
        "to the best: Class rare <b>: sensitivity 0.625 to 0.75, which is +1 of 8 examples."
    )


def test_the_answer_tells_the_samples_score_from_that_of_all_examples(reading):
    tables = {
        trial.id: {Evaluation("validation", "error"): 0.2, Evaluation("validation_full", "error"): 0.1}
        for trial in best_of(reading)
    }
    view = answer_view(insight_of(reading, {}), tables)
    assert view.objective_head == "validation error"
    assert "sampled validation error" in view.detail_heads
    assert "validation error" not in view.detail_heads  # the objective's own column


def test_sampled_evaluation_and_classes_are_on_the_page(make_round):
    store = make_round(trials_per_arm=1, arms=[{"batch_norm": "<sync>"}], measured=False)
    (study,) = store.studies()
    classes = {"num_examples.rare <b>": 8.0, "num_correct.rare <b>": 6.0}
    stream = RunningMeasurements(store, study.name, "00000", 1)
    stream.append([scored("validation", 0.1, NUM_SAMPLE, **classes), scored("validation_full", 0.11, NUM_TOTAL)])
    stream.seal()
    page = Path(write_page(store)).read_text()
    text = " ".join(
        re.sub(r"<[^>]*>", " ", page[page.index("<header>") : page.index("<script")].replace("<wbr>", "")).split()
    )
    assert "Evaluations scored 400 of 4,000 validation examples" in text
    assert "● batch_norm=&lt;sync&gt;/00000 300 0.1 0.11 0.67" in text
    assert "rare &lt;b&gt;, of 8" in text
    assert "● batch_norm=&lt;sync&gt;/00000 6 (0.75)" in text


def test_where_nothing_was_sampled_or_counted_the_page_says_nothing(make_round):
    path = write_page(make_round(trials_per_arm=2))
    page = Path(path).read_text()
    assert 'id="answer"' in page
    assert 'id="sample"' not in page
    assert 'id="classes"' not in page
