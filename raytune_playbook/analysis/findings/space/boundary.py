"""Is the search space large enough? (Rule IN1.)

The playbook: "If the best points cluster towards the edge of a search space (in some dimension), then the search space
boundaries might need to be expanded until the best observed point is no longer close to the boundary."

The best point alone lies near some boundary of three hyperparameters in every other study, of which most do not matter.
So a hyperparameter has to explain something: to expand its range, the objective must still improve across the end
beyond chance, and several of the good points must lie there; where only the best does, its range is suspicious.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import SearchOver
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.findings.space.instability import wall_of
from raytune_playbook.analysis.findings.space.ranges import at_limit, end_text, ends, range_text, widened
from raytune_playbook.analysis.findings.space.scientific_ends import scientific_ends
from raytune_playbook.analysis.sampled.points import Group, groups_of, is_numeric, scores_of
from raytune_playbook.analysis.sampled.response import Response, responses
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Hyperparameter
from raytune_playbook.study.hyperparameters.known import is_learning_rate
from raytune_playbook.study.wording import value_text

RULE = "IN1"
QUESTION = "Is the search space large enough?"

CHANCE = 0.04
"""How often chance may raise a finding in a round, over all hyperparameters, ends and arms."""

NEAR = 0.1
"""The outer share of a range, on the hyperparameter's own scale, in which the best trial is near a boundary."""

OUTER = 0.2
"""The outer share of a range in which good points are counted."""

GOOD = 0.2
"""The best so many of the points are the good ones, and at least three."""

SEVERAL = 2
"""So many good points in the outer share are several."""

LIKELY = 0.2
"""Where only the best trial is near a boundary: how often chance may make the objective improve across it."""

MIN_POINTS = 6
"""With fewer points a boundary cannot be told from chance."""


@dataclass(frozen=True)
class _End:
    """An end of a range at which good points lie; ``is_several`` where they do, else the best one alone."""

    name: str
    upward: bool
    studies: tuple[str, ...]
    best: Trial
    good_there: int
    good: int
    is_several: bool


def boundary(evidence: Evidence) -> Sequence[Finding]:
    """Whether good points cluster towards an end of a range."""
    groups = [group for group in groups_of(evidence) if group.best is not None and group.space]
    most = max((len(group.scores) for group in groups), default=0)
    if most < MIN_POINTS:
        sentence = (
            f"At most {most} points of a search space have ended, too few to tell whether good ones gather at a "
            f"boundary; {MIN_POINTS} are the least."
        )
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence),)
    spaces = {name: hyperparameter for group in groups for name, hyperparameter in group.space.items()}
    ends_found = [end for group in groups for end in _ends(group, len(groups))]
    open_ends = [end for end in ends_found if not at_limit(end.name, spaces[end.name], upward=end.upward)]
    by_name: dict[str, list[_End]] = {}
    for end in open_ends:
        by_name.setdefault(end.name, []).append(end)
    found = [_finding(spaces[name], of_name, evidence) for name, of_name in by_name.items()]
    found += scientific_ends(evidence)
    if found:
        return tuple(sorted(found, key=lambda finding: finding.status != Status.PROBLEM))
    return (Finding(RULE, QUESTION, Status.PASSES, _inside(groups, ends_found)),)


def _inside(groups: Sequence[Group], at_limits: Sequence[_End]) -> str:
    """What is said where nothing is to be widened; a best trial near an end has its reason."""
    if at_limits:
        texts = {f"{end.name} = {value_text(end.best.values.get(end.name))}" for end in at_limits}
        return f"Good trials gather only where a range cannot be widened: {', '.join(sorted(texts))}."
    near = {
        name
        for group in groups
        for name, hyperparameter in group.space.items()
        if group.best is not None and _side(name, hyperparameter, group.best) is not None
    }
    if not near:
        return "The best trials lie inside the range of every tuned hyperparameter."
    return (
        f"The best trial lies near an end of the range of {', '.join(sorted(near))}, but the good trials do not gather "
        "there: as far as these trials tell that is chance."
    )


def _ends(group: Group, num_groups: int) -> list[_End]:
    """The ends at which the good points of a group lie: of all its arms together, then of each by itself."""
    chance = CHANCE / num_groups
    if len(group.points) == 1:
        return _ends_of(group, chance)
    found = _ends_of(group, chance / 2)
    known = {(end.name, end.upward) for end in found}
    for arm, points in zip(group.arms, group.points, strict=True):
        of_arm = Group((arm,), (points,), points.units, scores_of(points.costs))
        own = _ends_of(of_arm, chance / 2 / len(group.points))
        found += [end for end in own if (end.name, end.upward) not in known]
    return found


def _ends_of(group: Group, chance: float) -> list[_End]:
    best = group.best
    if best is None or len(group.scores) < MIN_POINTS:
        return []
    found = []
    fitted = responses(group.space, group.units, group.scores)
    good = np.argsort(group.scores, kind="stable")[: max(3, round(GOOD * len(group.scores)))]
    for name, response in fitted.items():
        hyperparameter = group.space[name]
        units = group.units[good, list(group.space).index(name)]
        side = _side(name, hyperparameter, best)
        for upward in (False, True):
            if upward and is_learning_rate(name) and wall_of(group, name) is not None:
                continue  # instability, no narrow range
            there = sum(_is_within(hyperparameter, unit, OUTER, upward=upward) for unit in units)
            grade = _is_several(response, upward, side == upward, there, chance / len(fitted))
            if grade is not None:
                found.append(_End(name, upward, group.studies, best, there, len(good), grade))
    return found


def _is_several(response: Response, upward: bool, is_best_near: bool, good_there: int, chance: float) -> bool | None:
    """Whether to expand the range (True), to look at it (False), or neither (None)."""
    improving = response.falls_outward(1.0 if upward else 0.0, upward=upward)
    if improving < chance / 2 and (good_there >= SEVERAL or is_best_near):
        return good_there >= SEVERAL
    if response.p_value < chance and improving < LIKELY and is_best_near:
        return False
    return None


def _side(name: str, hyperparameter: Hyperparameter, trial: Trial) -> bool | None:
    """Near which end a trial lies: True for the upper one, False for the lower, None where it lies inside."""
    unit = hyperparameter.to_unit(trial.values.get(name))
    if unit is None or not is_numeric(hyperparameter):
        return None
    is_near = [_is_within(hyperparameter, unit, NEAR, upward=upward) for upward in (False, True)]
    return is_near[1] if any(is_near) else None


def _is_within(hyperparameter: Hyperparameter, unit: float, share: float, *, upward: bool) -> bool:
    """Whether a point lies in the outer share of a range; of few values the last one does."""
    num_values = hyperparameter.num_values
    share = share if num_values is None else max(share, 0.75 / num_values)
    return bool((1 - unit if upward else unit) < share)


def _finding(hyperparameter: Hyperparameter, found: Sequence[_End], evidence: Evidence) -> Finding:
    name = found[0].name
    changed: Hyperparameter | None = hyperparameter
    for upward in sorted({end.upward for end in found}):
        changed = None if changed is None else widened(name, changed, upward=upward)
    is_problem = any(end.is_several for end in found) and evidence.roles.get(name) != "scientific"
    proposal = None
    if changed is not None:
        sentence = f"Search {name} from {range_text(changed)}; it was {range_text(hyperparameter)}."
        proposal = Proposal(sentence, (SearchOver(name, changed),))
    studies = tuple(dict.fromkeys(study for end in found for study in end.studies))
    return Finding(
        RULE,
        QUESTION,
        Status.PROBLEM if is_problem else Status.LOOK,
        " ".join(_sentence(hyperparameter, end, len(evidence.studies)) for end in found),
        numbers={"num_good_at_boundary": max(end.good_there for end in found), "num_good": found[0].good},
        trials=tuple(dict.fromkeys(end.best.id for end in found)),
        studies=studies if len(studies) < len(evidence.studies) else (),
        proposal=proposal,
    )


def _sentence(hyperparameter: Hyperparameter, end: _End, num_studies: int) -> str:
    side = "upper" if end.upward else "lower"
    where = f" in {', '.join(end.studies)}" if len(end.studies) < num_studies else ""
    assert not isinstance(hyperparameter, Categorical)
    edge = end_text(hyperparameter, ends(hyperparameter)[end.upward])
    best = end_text(hyperparameter, end.best.values.get(end.name))
    if end.is_several:
        which = f"All {end.good}" if end.good_there == end.good else f"{end.good_there} of the {end.good}"
        return (
            f"{which} best points{where} lie near the {side} end of {end.name} ({edge}), "
            "and the objective still improves towards it: better ones may lie beyond."
        )
    return (
        f"The best trial{where} has {end.name} = {best}, near the {side} end of its range ({edge}), and the objective "
        "improves towards it: look whether better ones lie beyond."
    )
