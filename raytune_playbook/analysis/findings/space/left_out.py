"""What can the next study leave out? (Rule IN19.)

Exploration tells which hyperparameters the validation error is most sensitive to, and so which can be fixed next, and
which ranges can be narrowed around the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Fix, SearchOver
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.importance import interacting
from raytune_playbook.analysis.findings.space.ranges import narrowed, range_text
from raytune_playbook.analysis.sampled.chance import LEVEL, by_chance
from raytune_playbook.analysis.sampled.points import Group, groups_of
from raytune_playbook.analysis.sampled.response import Response, responses
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from raytune_playbook.study.hyperparameters.known import is_learning_rate
from raytune_playbook.study.wording import value_text

RULE = "IN19"
QUESTION = "What can the next study leave out?"

MIN_POINTS = 20
"""With fewer points a hyperparameter that matters may not show,"""

MIN_POINTS_EACH = 6
"""nor with fewer for each hyperparameter."""

GOOD = 0.25
"""The best so many of the points tell where a bowl is worth searching."""

NARROW = 0.6
"""A range is narrowed when at most so much of it is worth searching."""


class _Known(NamedTuple):
    """A hyperparameter in the group of arms that tells the most of it."""

    name: str
    group: Group
    response: Response

    @property
    def hyperparameter(self) -> Hyperparameter:
        return self.group.space[self.name]


def left_out(evidence: Evidence) -> Sequence[Finding]:
    """Which hyperparameters can be fixed, and which ranges narrowed, because the search has told enough of them."""
    groups = [group for group in groups_of(evidence) if _is_told(group)]
    if not groups:
        sentence = (
            "What the next study can leave out is not known yet: that needs a hyperparameter that matters, and "
            f"{MIN_POINTS} points of a study, {MIN_POINTS_EACH} for each hyperparameter."
        )
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence),)
    to_widen = {name for finding in boundary(evidence) if finding.is_open for name in _changed(finding)}
    together = {name for pair in interacting(evidence) for name in pair.names}
    known = [
        _Known(name, group, response)
        for group in groups
        for name, response in responses(group.space, group.units, group.scores).items()
        if name not in to_widen and evidence.roles.get(name) != "scientific"
    ]
    idle = [own for own in known if own.response.p_value > LEVEL and _can_be_fixed(own, groups, known, together)]
    found = [_fix(idle)] if idle else []
    narrow = [(own, changed) for own in known if own not in idle and (changed := _narrower(own)) is not None]
    if narrow:
        found.append(_narrow(narrow))
    if not found:
        found.append(
            Finding(
                RULE,
                QUESTION,
                Status.PASSES,
                "All that was tuned matters over its whole range, so nothing can be left out.",
            )
        )
    return tuple(found)


def _is_told(group: Group) -> bool:
    """Whether enough points have been tried, and something matters."""
    enough = max(MIN_POINTS, MIN_POINTS_EACH * len(group.space))
    if group.best is None or len(group.scores) < enough:
        return False
    chance = by_chance(group)
    return chance is not None and chance.p_value <= LEVEL


def _changed(finding: Finding) -> list[str]:
    changes = finding.proposal.changes if finding.proposal else ()
    return [change.name for change in changes if isinstance(change, SearchOver | Fix)]


def _can_be_fixed(own: _Known, groups: Sequence[Group], known: Sequence[_Known], together: set[str]) -> bool:
    """Whether it matters nowhere, by itself or beside another."""
    everywhere = [other for other in known if other.name == own.name]
    tuned_in = [group for group in groups if own.name in group.space]
    idle_everywhere = all(other.response.p_value > LEVEL for other in everywhere)
    return (
        idle_everywhere
        and len(everywhere) == len(tuned_in)
        and own.name not in together
        and not is_learning_rate(own.name)  # what it should be depends on everything else
    )


def _fix(idle: Sequence[_Known]) -> Finding:
    values = {own.name: own.group.best.values[own.name] for own in idle if own.group.best is not None}
    names = ", ".join(values)
    fixed = ", ".join(f"{name} = {value_text(value)}" for name, value in values.items())
    p_value = min(own.response.p_value for own in idle)
    return Finding(
        RULE,
        QUESTION,
        Status.LOOK,
        f"{names} made no difference that {len(idle[0].group.scores)} points could show, while others did.",
        numbers={"num_to_fix": len(values), "least_p_value": p_value},
        trials=tuple(dict.fromkeys(own.group.best.id for own in idle if own.group.best is not None)),
        proposal=Proposal(
            f"Fix {fixed}, as in the best trial, and search the others more densely.",
            tuple(Fix(name, value) for name, value in values.items()),
        ),
    )


def _narrower(own: _Known) -> Hyperparameter | None:
    """The part of a range in which the good points lie, where they lie in a bowl inside of it."""
    lowest = own.response.lowest
    if not isinstance(own.hyperparameter, Float) or own.response.p_value > LEVEL or own.group.best is None:
        return None
    if lowest is None or not 0.15 <= lowest <= 0.85:
        return None
    place = list(own.group.space).index(own.name)
    good = np.argsort(own.group.scores, kind="stable")[: max(4, round(GOOD * len(own.group.scores)))]
    units = own.group.units[good, place]
    low, high = max(0.0, float(units.min()) - 0.05), min(1.0, float(units.max()) + 0.05)
    if high - low > NARROW:
        return None
    changed = narrowed(own.hyperparameter, low, high)
    value = own.group.best.values.get(own.name)
    return changed if changed is not None and changed.to_unit(value) is not None else None


def _narrow(narrow: Sequence[tuple[_Known, Hyperparameter]]) -> Finding:
    ranges = {own.name: changed for own, changed in narrow}
    texts = "; ".join(f"{name} from {range_text(changed)}" for name, changed in ranges.items())
    return Finding(
        RULE,
        QUESTION,
        Status.PASSES,
        f"The good values of {' and of '.join(ranges)} lie in a part of the range, around the best.",
        numbers={"num_to_narrow": len(ranges)},
        proposal=Proposal(
            f"To exploit rather than explore, search {texts}.",
            tuple(SearchOver(name, changed) for name, changed in ranges.items()),
        ),
    )
