"""What a stability study has measured goes before what findings alone would propose (rules UN8 and UN10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.findings.changes import Fix
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.findings.measured import with_measured_remedy
from raytune_playbook.analysis.next_study.next_study import next_study_of
from tests.analysis.findings.curves.cases import jumps, norms
from tests.analysis.findings.curves.shapes import Shapes, round_of

WARMUP = {"is_limiting": True, "remedy": "warmup_steps", "warmup_steps": 6, "widening_by_warmup": 1.4}
CLIPPING = {"is_limiting": True, "remedy": "clipping_norm", "clipping_norm": 0.335, "widening_by_clipping": 2.0}
NONE = {"is_limiting": True, "remedy": None, "clipping_norm": 0.335, "clipped_share": 0.6}
NO_ISSUE = {"is_limiting": False, "remedy": None}


def unstable():
    """A round whose best trials are unstable in the middle of training."""
    evidence = round_of(0, Shapes(loss=jumps, norm=norms))
    trials = [replace(trial, objective=1 / trial.values["learning_rate"]) for trial in evidence.trials]
    return replace(evidence, trials=tuple(trials))


@pytest.mark.parametrize(
    ("measured", "changes", "words"),
    [
        (WARMUP, [Fix("warmup_steps", 6)], "A warmup of 6 steps makes training stable up to 1.4 times as large a"),
        (CLIPPING, [Fix("clipping_norm", 0.335)], "Clipping at 0.335 makes training stable up to 2 times as large a"),
        (NONE, [], "Neither warmup nor clipping mends the instability, as raytune-playbook stability has measured"),
        (NO_ISSUE, [], "Instability keeps no learning rate small, as raytune-playbook stability has measured"),
    ],
)
def test_un8_the_measured_remedy_is_proposed_and_none_that_did_not_work(measured, changes, words):
    evidence = unstable()
    guessed = instability(evidence)
    assert (guessed[0].status, guessed[0].proposal.changes[0].name) == (Status.PROBLEM, "clipping_norm")
    (found,) = with_measured_remedy(evidence, guessed, measured)
    study = next_study_of(evidence, [found])
    assert [each.change for each in study.changes] == changes
    assert found.sentence.startswith(words)
    assert found.sentence.endswith(guessed[0].sentence)
    assert found.status is (Status.LOOK if measured is NO_ISSUE else Status.PROBLEM)
    for change in study.changes:
        assert "raytune-playbook stability has measured" in change.sentence
    if measured is NONE:
        assert study.advice[0][0].startswith("Another optimizer (Adam")


def test_un8_a_record_of_an_older_version_that_does_not_tell_changes_nothing():
    evidence = unstable()
    assert with_measured_remedy(evidence, instability(evidence), {"kind": "mid"}) == tuple(instability(evidence))


def test_in4_where_no_example_is_wrong_stabler_training_cannot_do_better():
    evidence = unstable()
    (before,) = instability(evidence)
    assert "so that stabler training should do better" in before.sentence
    trials = [replace(trial, objective=round(trial.objective) / 4000) for trial in evidence.trials]
    best = min(trial.objective for trial in trials)
    perfect = tuple(replace(trial, objective=trial.objective - best) for trial in trials)
    (found,) = instability(replace(evidence, trials=perfect))
    assert found.status is Status.LOOK
    assert "but nothing is better than their validation error of 0." in found.sentence
    assert "should do better" not in found.sentence
