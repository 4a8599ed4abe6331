"""Findings, an answer and a next study that are made by hand, for a page that shows all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raytune_playbook.analysis.answer.answer import Answer, ArmAnswer, Verdict
from raytune_playbook.analysis.findings.changes import NumTrials
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.next_study.next_study import NextStudy, ProposedChange
from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.report.insight import Insight


def found_by_hand(insight: Insight, trials: Sequence[TrialId] = ()) -> Insight:
    """The insight with one finding of every status, and a tie of the first two arms.

    Args:
        insight: of a round with completed trials.
        trials: that the problem points to; the best ones where none are named.
    """
    best = tuple(trials) or tuple(trial.id for trial in insight.evidence.ranked[:12])
    findings = (
        Finding("IN3", "Are too many trials infeasible?", Status.PASSES, "3 of 24 trials were infeasible."),
        Finding("IN2", "Are there enough trials?", Status.LOOK, "More would help.", proposal=Proposal("Add 8 trials.")),
        Finding("IN10", "Is anything periodic?", Status.CANNOT_TELL, "There are too few evaluations."),
        Finding(
            "IN1",
            "Is the search space large enough?",
            Status.PROBLEM,
            "4 of the 5 best trials lie at the upper end of <learning_rate>.",
            trials=best,
            withholds=True,
            proposal=Proposal("Search learning_rate from 0.0001 to 10."),
        ),
    )
    arms = tuple(
        ArmAnswer(
            arm,
            insight.evidence.behind(arm.best) if arm.best else None,
            1 / 3,
            (0.018, 0.035),
            is_leading=place < 2,
        )
        for place, arm in enumerate(insight.evidence.arms)
    )
    answer = Answer(
        verdict=Verdict.NO_DIFFERENCE,
        sentence="The best of all three values tie at <0.02>.",
        reasons=("One validation example is 0.0028.",),
        arms=arms,
        probability=None,
        difference=0.0,
        detectable=0.01,
        resolution=0.0028,
        open_findings=(findings[3], findings[1]),
        caveats=("depth = 20", "weight_decay = 0.0001"),
    )
    next_study = NextStudy(
        changes=(
            ProposedChange(
                NumTrials(16),
                "Give every study 16 trials.",
                "Give every study 16 trials: too few (IN2).",
                (findings[1],),
            ),
        ),
        advice=(("Look at the order of the examples.", findings[2]),),
    )
    return replace(insight, findings=findings, answer=answer, next_study=next_study)
