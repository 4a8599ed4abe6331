"""The next study: what all open findings of a round propose, put together (rule IN16).

Findings may contradict each other: one arm's best points lie at the upper end of a range in which another one's
diverge. A problem wins over what is only to be looked at; where both are as serious the wider range, the larger number
of trials and, always, the longer training do: too much of these costs time, too little an answer (rule LN3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change, Drop, Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.next_study.beyond import beyond_the_playbook
from raytune_playbook.analysis.next_study.search_ranges import (
    Wanted,
    at_most,
    is_followed,
    listed_text,
    put_together,
    range_text,
)
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    is_same,
)
from raytune_playbook.study.wording import value_text


@dataclass(frozen=True)
class ProposedChange:
    """One change, and the findings that ask for it.

    Fields:
        change: what to change.
        words: the same in words: ``Search learning_rate from 0.003 to 3 (it was 0.003 to 0.3).``
        sentence: with the reason: ``Search learning_rate from 0.003 to 3 (it was 0.003 to 0.3): ... (IN1).``
        findings: that ask for it, the most serious first.
    """

    change: Change
    words: str
    sentence: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class NextStudy:
    """What the next study changes.

    Fields:
        changes: that a job file can be given, the most serious first.
        advice: what only a person can do: sentences, each with its finding.
    """

    changes: tuple[ProposedChange, ...]
    advice: tuple[tuple[str, Finding], ...]


def next_study_of(evidence: Evidence, findings: Sequence[Finding]) -> NextStudy:
    """What the open findings propose, put together; with no problem open also what the others do."""
    asking = _asking(findings)
    asked = [
        _Asked(change, finding)
        for finding in asking
        if finding.proposal is not None
        for change in finding.proposal.changes
    ]
    found = [proposed for each in _changes(_Before(evidence), asked) if (proposed := each) is not None]
    place = {id(finding): number for number, finding in enumerate(asking)}
    advice: dict[str, Finding] = {}
    for finding in asking:
        if finding.proposal is not None and not finding.proposal.changes:
            advice.setdefault(finding.proposal.sentence, finding)
    changed = [(proposed.change, proposed.findings[0]) for proposed in found]
    for sentence, finding in beyond_the_playbook(evidence, changed, asking):
        advice.setdefault(sentence, finding)
    return NextStudy(tuple(sorted(found, key=lambda each: place[id(each.findings[0])])), tuple(advice.items()))


# ---------------------------------------------------------------------- who asks

_PRIORITY = {Status.PROBLEM: 0, Status.LOOK: 1, Status.CANNOT_TELL: 2, Status.PASSES: 3}


@dataclass(frozen=True)
class _Asked:
    """A change, with the finding that asks for it."""

    change: Change
    finding: Finding

    @property
    def priority(self) -> int:
        return _PRIORITY[self.finding.status]


def _asking(findings: Sequence[Finding]) -> list[Finding]:
    """The findings whose proposals count, the most serious first: while there is a problem those that cannot tell wait,
    unless more trials is what they ask for."""
    has_problem = any(finding.status is Status.PROBLEM for finding in findings)
    counting = [finding for finding in findings if finding.is_open or not has_problem or _asks_for_trials(finding)]
    return sorted(counting, key=lambda finding: (_PRIORITY[finding.status], not finding.withholds))


def _asks_for_trials(finding: Finding) -> bool:
    """Too few trials answer nothing, whatever else is mended."""
    return finding.proposal is not None and any(isinstance(each, NumTrials) for each in finding.proposal.changes)


class _Before:
    """What a round was like.

    Fields:
        num_steps: of training, those of the next study as soon as they are known.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.studies = evidence.studies
        self.scientific = evidence.scientific
        self.num_steps = max((study.max_train_steps for study in evidence.studies), default=0)

    def searched(self, name: str) -> Hyperparameter | None:
        """The range in which a hyperparameter was searched, or the values that were compared; None where it was
        fixed."""
        for study in self.studies:
            if name in study.space:
                return study.space[name]
        values: list[Value] = []
        for arm in (arm for study in self.studies for arm in (study.arms or (study.arm,))):
            if arm.get(name) is not None and not any(is_same(arm[name], value) for value in values):
                values.append(arm[name])
        if not values:
            return None
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        return Discrete(sorted(numbers)) if len(numbers) == len(values) else Categorical(values)

    def verb(self, name: str) -> str:
        return "Compare" if name in self.scientific else "Search"

    def text(self, name: str, new: Hyperparameter | None = None) -> str:
        """How a hyperparameter was before, in parentheses; without its scale where that is the new one's."""
        old = self.searched(name)
        if old is not None:
            rescaled = isinstance(old, Float | Int) and isinstance(new, Float | Int) and old.scale != new.scale
            linear = " on a linear scale" if rescaled and isinstance(old, Float | Int) and old.scale == "linear" else ""
            words = range_text(old, scale=rescaled or new is None).removeprefix("from ").removeprefix("among ")
            return f"it was {words}{linear}"
        values = [study.fixed[name] for study in self.studies if name in study.fixed]
        return f"it was fixed at {value_text(values[0])}" if values else "it was not searched"


# ---------------------------------------------------------------------- what becomes of it


def _changes(before: _Before, asked: Sequence[_Asked]) -> Iterator[ProposedChange]:
    by_name: dict[str, list[_Asked]] = {}
    for each in asked:
        if isinstance(each.change, SearchOver | Fix | Drop) and not _goes_with_steps(each):
            by_name.setdefault(each.change.name, []).append(each)
    steps = _train_steps(before, asked)
    if steps is not None and isinstance(steps.change, TrainSteps):
        before.num_steps = steps.change.max_train_steps
    candidates = [_of_hyperparameter(before, name, those) for name, those in by_name.items()]
    candidates += [_num_trials(before, asked), steps]
    if steps is not None and "decay_steps" not in by_name:
        candidates.append(_decay_steps(before, steps))
    yield from (candidate for candidate in candidates if candidate is not None)


def _goes_with_steps(asked: _Asked) -> bool:
    """Whether a change is that of the decay to another length of training, which follows from what the length becomes
    when all is put together."""
    proposal = asked.finding.proposal
    is_decay = isinstance(asked.change, Fix) and asked.change.name == "decay_steps"
    return is_decay and proposal is not None and any(isinstance(each, TrainSteps) for each in proposal.changes)


def _of_hyperparameter(before: _Before, name: str, asked: Sequence[_Asked]) -> ProposedChange | None:
    """What becomes of one hyperparameter: a range or values for all that ask for one, or a value to fix it at."""
    searches = [each for each in asked if isinstance(each.change, SearchOver)]
    fixes = [each for each in asked if isinstance(each.change, Fix)]
    drops = [each for each in asked if isinstance(each.change, Drop)]
    # At equal seriousness: what is a problem is searched, else it may as well be fixed.
    order = (searches, drops, fixes) if asked[0].priority == _PRIORITY[Status.PROBLEM] else (fixes, drops, searches)
    chosen = min((those for those in order if those), key=lambda those: those[0].priority)
    others = [each.finding for each in asked if each not in chosen]
    if chosen is searches:
        return _search(before, name, searches, others)
    if chosen is drops:
        return _drop(before, name, drops, others)
    return _fix(before, name, fixes, others)


def _search(before: _Before, name: str, asked: Sequence[_Asked], others: Sequence[Finding]) -> ProposedChange | None:
    old = before.searched(name)
    wanted = [Wanted(e.change.hyperparameter, e.priority) for e in asked if isinstance(e.change, SearchOver)]
    new = put_together(old, wanted)
    if name == "decay_steps":
        new = at_most(new, before.num_steps)
    if new == old:
        return None
    followed = [is_followed(old, each.hyperparameter, new) for each in wanted]
    asking = [each.finding for each, is_so in zip(asked, followed, strict=True) if is_so] or [asked[0].finding]
    aside = [each.finding for each, is_so in zip(asked, followed, strict=True) if each.finding not in asking]
    words = f"{before.verb(name)} {name} {range_text(new)} ({before.text(name, new)}{_gives_way([*aside, *others])})"
    return _because(SearchOver(name, new), words, asking)


def _fix(before: _Before, name: str, asked: Sequence[_Asked], others: Sequence[Finding]) -> ProposedChange | None:
    values = [each.change.value for each in asked if isinstance(each.change, Fix)]
    if name == "decay_steps":
        values = [min(value, before.num_steps) if isinstance(value, int | float) else value for value in values]
    asking = [each.finding for each, value in zip(asked, values, strict=True) if is_same(value, values[0])]
    aside = [each.finding for each in asked if each.finding not in asking]
    words = f"Fix {name} at {value_text(values[0])} ({before.text(name)}{_gives_way([*aside, *others])})"
    return _because(Fix(name, values[0]), words, asking)


def _drop(before: _Before, name: str, asked: Sequence[_Asked], others: Sequence[Finding]) -> ProposedChange | None:
    old = before.searched(name)
    there = list(old.values if isinstance(old, Discrete) else old.choices if isinstance(old, Categorical) else ())
    left, aside = there, [*others]
    asking: list[Finding] = []
    for each in asked:
        dropped = each.change.values if isinstance(each.change, Drop) else ()
        without = [value for value in left if not any(is_same(value, other) for other in dropped)]
        if without:  # what is to be compared is never dropped as a whole
            left = without
        (asking if without else aside).append(each.finding)
    gone = tuple(value for value in there if value not in left)
    if not gone:
        return None
    words = f"Leave {listed_text(gone)} out of {name} (left {'are' if len(left) > 1 else 'is'} {listed_text(left)}"
    return _because(Drop(name, gone), f"{words}{_gives_way(aside)})", asking)


def _num_trials(before: _Before, asked: Sequence[_Asked]) -> ProposedChange | None:
    old = max((study.num_trials for study in before.studies), default=0)
    wanted = [(each.change.per_study, each.finding) for each in asked if isinstance(each.change, NumTrials)]
    wanted = [(number, finding) for number, finding in wanted if number > old]
    new = max((number for number, _ in wanted), default=old)
    if new == old:
        return None
    asking = [finding for _, finding in wanted]
    words = f"Give every study {count_text(new)} trials (it had {count_text(old)})"
    return _because(NumTrials(new), words, asking)


def _train_steps(before: _Before, asked: Sequence[_Asked]) -> ProposedChange | None:
    if not before.studies:
        return None
    old, interval = before.studies[0].max_train_steps, before.studies[0].evaluation_interval_steps
    wanted = [
        (_whole_intervals(each.change.max_train_steps, interval), each.finding)
        for each in asked
        if isinstance(each.change, TrainSteps)
    ]
    longer = [(steps, finding) for steps, finding in wanted if steps > old]
    counting = longer or [(steps, finding) for steps, finding in wanted if steps < old]
    if not counting:
        return None
    new = max(steps for steps, _ in counting)
    asking = [finding for _, finding in counting]
    aside = [finding for steps, finding in wanted if longer and steps < old]
    words = f"Train every trial for {count_text(new)} steps (it was {count_text(old)}{_gives_way(aside)})"
    return _because(TrainSteps(new), words, asking)


def _whole_intervals(steps: int, interval: int) -> int:
    """At least so many steps, the last of which is evaluated."""
    return max(1, -(-steps // interval)) * interval


def _decay_steps(before: _Before, steps: ProposedChange) -> ProposedChange | None:
    """What goes with another length of training: a linear decay keeps its length, and more steps lengthen the constant
    part before it (rule LN5); a decay is no longer than the training, fixed or searched."""
    study, new = before.studies[0], steps.change
    if not isinstance(new, TrainSteps):
        return None
    searched = before.searched("decay_steps")
    decay_steps = study.fixed.get("decay_steps")
    why = "a decay is no longer than the training"
    change: Change
    if searched is not None:
        within = at_most(searched, new.max_train_steps)
        if within == searched:
            return None
        change, to = SearchOver("decay_steps", within), f"{before.verb('decay_steps')} decay_steps {range_text(within)}"
    else:
        if new.max_train_steps > study.max_train_steps:
            if decay_steps is not None or study.fixed.get("schedule") != "linear":
                return None
            longest = study.max_train_steps
            why = "a linear decay keeps its length, and what is added is trained at the full rate"
        elif isinstance(decay_steps, int | float) and decay_steps > new.max_train_steps:
            longest = new.max_train_steps
        else:
            return None
        change, to = Fix("decay_steps", longest), f"Fix decay_steps at {longest}"
    words = f"{to} ({before.text('decay_steps')}): {why} (LN5)."
    return ProposedChange(change, words, words, steps.findings)


# ---------------------------------------------------------------------- in words


def _because(change: Change, words: str, findings: Sequence[Finding]) -> ProposedChange:
    """A change, and why: what the most serious finding says first, and the rules of all."""
    first = re.split(r"(?<=[.!?])\s+(?=[A-Z])", findings[0].sentence.strip(), maxsplit=1)[0].rstrip(".")
    return ProposedChange(change, f"{words}.", f"{words}: {first} ({_rules(findings)}).", tuple(findings))


def _gives_way(findings: Sequence[Finding]) -> str:
    return (
        f"; what {_rules(findings)} {'asks' if len({f.rule for f in findings}) == 1 else 'ask'} for gives way"
        if findings
        else ""
    )


def _rules(findings: Iterable[Finding]) -> str:
    return listed_text(list(dict.fromkeys(finding.rule for finding in findings)))
