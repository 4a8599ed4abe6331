"""What `variance` says of luck, of another search, and of retrainings that do not vary (rules AD1 and AD2)."""

from __future__ import annotations

import pytest

from raytune_playbook import InputError, variance
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.procedures.variance.retrainings import Retrainings, point_at
from raytune_playbook.procedures.variance.words import Variances, completed
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective

DRAFT = ProcedureRecord(procedure="variance", round="r", workload="w", verdict="", command="c", ended_at="now")


@pytest.fixture
def record(make_round):
    def make(values, errors, *, objective=None, searches=()) -> ProcedureRecord:
        round_ = make_round("r", arms=2, trials_per_study=len(errors))
        trials = [
            Trial(
                study.name,
                index,
                outcome=Outcome.INFEASIBLE if error is None else Outcome.COMPLETED,
                objective=None if error is None else error + place,
            )
            for place, study in enumerate(round_.studies)
            for index, error in enumerate(errors)
        ]
        point = point_at(round_, round_.studies[0].name, 0, is_picked=True)
        retrainings = Retrainings(objective or Objective(), values)
        return completed(DRAFT, Variances(point, trials[0], trials, retrainings, searches), "rounds")

    return make


def test_ad2_what_another_search_finds_has_one_end(record):
    """Both scientific values share their points, of which the fourth best of 12 is reached in 95 of 100 cases."""
    errors = [0.1 + 0.01 * index for index in range(12)]
    found = record((0.11, 0.12, 0.13, 0.14, 0.15), errors)
    (told,) = [sentence for sentence in found.sentences if "search of as many" in sentence]
    assert told.startswith(
        "Another search of as many trials would find a best of at most 0.13 (this one's fourth best point) in 9 of 10 "
        "cases, and one as good as this one's best or better in half of all"
    )
    assert found.numbers["study_bound"] == pytest.approx(0.13)
    turned = record((1.0, 2.0, 3.0, 4.0, 5.0), errors, objective=Objective(metric="accuracy", goal="maximize"))
    assert turned.numbers["study_bound"] == pytest.approx(1.1 + 0.08)  # of the second value, which is 1 higher
    assert any("a best of at least 1.18 (this" in sentence for sentence in turned.sentences)
    few = record((0.11, 0.12, 0.13, 0.14, 0.15), [0.1, 0.2, *[None] * 10])
    assert few.numbers["study_bound"] is None
    assert not any("search of as many" in sentence for sentence in few.sentences)


def test_ad1_retrainings_that_are_all_equal_are_said_to_be(record):
    same = record((0.0,) * 20, [0.0] * 12, searches=((Trial("all", 0, outcome=Outcome.COMPLETED, objective=0.0),),))
    assert same.verdict == (
        "All 20 retrainings of batch_norm=device/00000 came to the same validation error, 0: with other seeds it does "
        "not vary, or too little for this metric to show."
    )
    text = " ".join(same.sentences)
    assert "true median" not in text
    assert "better than" not in text
    assert "The run that the search picked had the same." in same.sentences
    assert "found a best of 0 each time" in text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"study_seeds": 0}, "study_seeds: .* but got 0; give 1 or more, or leave it out"),
        ({"study_seeds": -2}, "study_seeds: .* but got -2; give 1 or more, or leave it out"),
        ({"data_splits": 0}, "data_splits: .* but got 0; give 2 or more, or leave it out"),
        ({"data_splits": 1}, "data_splits: .* but got 1; give 2 or more, or leave it out"),
        ({"num_retrains": 0}, "num_retrains: .* but got 0; give 5 or more, or leave it out"),
    ],
)
def test_ad2_numbers_that_make_no_spread_are_refused(make_round, tmp_path, quiet, given, sentence):
    with pytest.raises(InputError, match=sentence):
        variance(make_round("r"), **given, storage=str(tmp_path), console=quiet)
