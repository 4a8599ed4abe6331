"""Were all scientific values tuned equally? (Rule SD13.)

The playbook asks for "apples-to-apples" comparisons: as many trials for each value, of a space as wide, and so as
densely sampled. Otherwise some values get "luckier with the sampling of the nuisance hyperparameters".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.changes import NumTrials
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.wording import values_text

RULE, QUESTION = "SD13", "Were all scientific values tuned equally?"

FEWER = 0.8
"""With less than this share of what most values had, the comparison is not fair."""

DRAWN_APART = 0.05
"""Numbers of trials that differ by no more than this share are equal where another tool has drawn the values."""

_MOST_NAMED = 3

TOO_FEW = 0.5
"""With less than this, nothing can be concluded about it."""


def equal_tuning(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the trials that were tried under each value, infeasible ones included, and at what was tuned."""
    arms = evidence.arms
    if len(arms) < 2:
        return [Finding(RULE, QUESTION, Status.PASSES, "No values are compared, so none was tuned more than another.")]
    found = [*_numbers_differ(evidence), *_spaces_differ(arms)]
    if found:
        return found
    numbers = sorted({_num_tried(arm) for arm in arms})
    each = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    where = "over the same ranges" if all(arm.space == arms[0].space for arm in arms) else "each over its own ranges"
    sentence = f"Each of {len(arms)} values was tuned with {each} trials, {where}."
    return [Finding(RULE, QUESTION, Status.PASSES, sentence, {"num_trials": numbers[0], "num_values": len(arms)})]


def _num_tried(arm: Arm) -> int:
    """An infeasible trial is evidence about its point; one that crashed is none."""
    return sum(trial.outcome is not Outcome.FAILED for trial in arm.ended)


def _numbers_differ(evidence: Evidence) -> list[Finding]:
    arms = evidence.arms
    tried = [_num_tried(arm) for arm in arms]
    frequency = Counter(tried)
    # Most values are the measure; where none is in the majority, the best tuned one is.
    usual = max(frequency, key=lambda number: (frequency[number], number))
    allowed = _allowed(evidence, usual)
    odd = [(arm, number) for arm, number in zip(arms, tried, strict=True) if abs(number - usual) > allowed]
    if not odd:
        return []
    worst = min(min(number, usual) / max(number, usual, 1) for _, number in odd)
    named = ", ".join(f"{_name(arm)} with {number}" for arm, number in odd[:_MOST_NAMED])
    more = f", and {len(odd) - _MOST_NAMED} more" if len(odd) > _MOST_NAMED else ""
    usually = "Most values were" if frequency[usual] > 1 else f"{_name(arms[tried.index(usual)])} was"
    sentence = f"{usually} tuned with {usual} trials, but {named}{more}: the comparison is not fair to all."
    is_planned_so = len({arm.planned for arm in arms}) > 1
    resume = (
        " with raytune-playbook resume (--retry-failed runs those that crashed as well)"
        if evidence.is_planned_here
        else ""
    )
    proposal = Proposal(f"Finish the trials that are missing{resume}.")
    if is_planned_so:
        largest = max(arm.planned for arm in arms)
        proposal = Proposal(f"Give every value {largest} trials.", (NumTrials(largest),))
    return [
        Finding(
            RULE,
            QUESTION,
            Status.PROBLEM if evidence.is_finished and worst < FEWER else Status.LOOK,
            sentence,
            {"num_usual": usual, "share": worst},
            studies=tuple(dict.fromkeys(arm.study for arm, _ in odd)),
            withholds=evidence.is_finished and worst < TOO_FEW,
            proposal=proposal,
        )
    ]


def _allowed(evidence: Evidence, usual: int) -> int:
    """By how many trials a value may have more or fewer than usual."""
    if not evidence.is_planned_here:  # a random search draws its values, and gives each about as many
        return max(1, round(DRAWN_APART * usual))
    return 1 if any(study.arms for study in evidence.studies) else 0  # a joint study takes turns


def _spaces_differ(arms: Sequence[Arm]) -> list[Finding]:
    found = []
    for name in dict.fromkeys(name for arm in arms for name in arm.space):
        ranges = {repr(arm.space[name]) for arm in arms if name in arm.space}
        if len(ranges) > 1:
            sentence = f"{name} was searched over another range for some values than for others, so its luck differs."
            proposal = Proposal(f"Search {name} over the same range for all values.")
            found.append(Finding(RULE, QUESTION, Status.PROBLEM, sentence, proposal=proposal))
    fewest, most = (pick(arms, key=lambda arm: len(arm.space)) for pick in (min, max))
    if len(most.space) > len(fewest.space):
        sentence = (
            f"{_name(most)} has {len(most.space)} hyperparameters to tune and {_name(fewest)} {len(fewest.space)}, "
            "with as many trials: its space is sampled less densely, so it has the harder task."
        )
        numbers = {"num_most": len(most.space), "num_fewest": len(fewest.space)}
        proposal = Proposal(f"Where {_name(most)} loses, search it with more trials before you drop it.")
        found.append(Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=proposal))
    return found


def _name(arm: Arm) -> str:
    return values_text(arm.values) or arm.study
