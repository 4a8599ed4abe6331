"""The page's sections on sampled evaluation and on classes (rules EV5, EV6, EV8)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.report.figures import colours_of
from raytune_playbook.report.page import conclusion, evaluations
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import RoundReading, read_round

BEST_STEP = 300
NUM_SAMPLE, NUM_TOTAL = 400, 4000

Section = Callable[..., str]


@pytest.fixture
def reading(make_round) -> RoundReading:
    return read_round(make_round(trials_per_arm=3))


def text_of(section: Section, reading: RoundReading, tables: Mapping[TrialId, pa.Table]) -> str:
    html = section(reading, colours_of([study.name for study in reading.studies]), tables)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


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


def sampled(reading: RoundReading, sampled_errors: list[float], full_errors: list[float]) -> str:
    def rows(place: int) -> list[dict[str, float | str]]:
        return [
            scored("validation", sampled_errors[place], NUM_SAMPLE),
            scored("validation_full", full_errors[place], NUM_TOTAL),
        ]

    return text_of(evaluations.sample, reading, tables_of(reading, rows))


def test_ev5_the_sample_is_shown_beside_all_examples(reading):
    text = sampled(reading, [0.10, 0.20, 0.30], [0.11, 0.20, 0.31])
    assert "Evaluations scored 400 of 4,000 validation examples" in text
    # 0.01 over sqrt(0.11 x 0.89 x 3600 / 3999 / 400)
    assert "batch_norm=device 00001 300 0.1 0.11 0.67" in text
    assert "EV5" not in text


def test_ev5_a_skewed_sample_is_a_warning_with_the_worst_numbers(reading):
    text = sampled(reading, [0.10, 0.20, 0.40], [0.11, 0.20, 0.20])
    assert "EV5: the sample is not like the whole set: 0.4 on it and 0.2 on all, 10.5 standard errors apart" in text


def test_ev5_studies_that_the_sample_cannot_tell_apart_are_a_warning(reading):
    text = sampled(reading, [0.10, 0.105, 0.40], [0.10, 0.10, 0.40])
    assert "EV5: 0.1 and 0.105 on a sample of 400 of 4,000 validation examples may differ by chance" in text


def test_ev6_correct_predictions_are_counted_per_class_the_rarest_first(reading):
    def rows(place: int) -> list[dict[str, float | str]]:
        counts = {"num_examples.rare <b>": 8.0, "num_correct.rare <b>": 6.0 - place}
        counts |= {"num_examples.common": 1000.0, "num_correct.common": 990.0}
        return [scored("validation", 0.1, 1008, **counts)]

    tables = tables_of(reading, rows)
    text = text_of(evaluations.classes, reading, tables)
    assert "rare &lt;b&gt;, of 8 common, of 1,000" in text
    assert "6 (0.75) 990 (0.99)" in text
    assert "5 (0.625) 990 (0.99)" in text
    assert "One more correct example of class rare &lt;b&gt; adds 0.12 to its sensitivity." in text
    assert "sensitivity 0.625 to 0.75, which is +1 of 8 examples" in text


def test_the_answer_tells_the_samples_score_from_that_of_all_examples(reading):
    tables = {trial.id: {("validation", "error"): 0.2, ("validation_full", "error"): 0.1} for trial in best_of(reading)}
    colours = colours_of([study.name for study in reading.studies])
    heads = re.findall(r"<th[^>]*>(.*?)</th>", conclusion.answer(reading, colours, tables))
    assert "sampled validation error" in heads
    assert heads.count("validation error") == 1  # the objective's own column


def test_where_nothing_was_sampled_or_counted_the_page_says_nothing(make_round):
    path = write_page(make_round(trials_per_arm=2))
    page = Path(path).read_text()
    assert 'id="answer"' in page
    assert 'id="sample"' not in page
    assert 'id="classes"' not in page
