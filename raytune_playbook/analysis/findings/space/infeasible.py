"""What share of the trials is infeasible, why, and where in the search space? (Rule IN3.)

The playbook: "When a very large fraction of points in a study are infeasible we should try to adjust the search space
to avoid sampling such points, which sometimes requires reparameterizing the search space. In some cases, a large number
of infeasible points can indicate a bug in the training code."
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import SearchOver
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status, by_stability
from raytune_playbook.analysis.findings.space.instability import wall_of
from raytune_playbook.analysis.findings.space.ranges import cut, end_text, on_log_scale, range_text, value_at
from raytune_playbook.analysis.sampled.points import Floats, Group, groups_of
from raytune_playbook.analysis.summary import reason_kind
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import form_for
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter, Int
from raytune_playbook.study.hyperparameters.known import is_learning_rate

Bools = npt.NDArray[np.bool_]

RULE = "IN3"
QUESTION = "What share of the trials is infeasible?"

LARGE = 0.2
"""From such a share of infeasible trials on, the space is looked at;"""

VERY_LARGE = 0.5
"""from this one on, it is a problem;"""

NEARLY_ALL = 0.9
"""and from this one on, of five or more trials, it hints at a bug, and nothing can be concluded."""

MIN_NEARLY_ALL = 5

MIN_INFEASIBLE = 3
"""So many infeasible trials at least are a share worth speaking of."""

CHANCE = 0.05
"""How often chance may separate infeasible from feasible trials as well by one cut through one hyperparameter."""

CUTS = 5
"""So many independent tests the choice of the best cut comes to: neighbouring cuts divide nearly the same trials."""

WIDE_FACTOR = 30
"""A linear range over such a factor, or from 0, spans decades."""


@dataclass(frozen=True)
class _Region:
    """The part of one hyperparameter's range in which most infeasible trials lie.

    Fields:
        name: of the hyperparameter.
        hyperparameter: its range.
        unit: where the part ends, as a unit coordinate.
        upward: whether it is what lies above.
        num_inside, infeasible_inside: trials there, and how many of them are infeasible.
        num_trials: in which the hyperparameter was tuned, there and elsewhere.
        p_value: how often chance would separate as well.
    """

    name: str
    hyperparameter: Float | Int
    unit: float
    upward: bool
    num_inside: int
    infeasible_inside: int
    num_trials: int
    p_value: float


def infeasible_share(evidence: Evidence) -> Sequence[Finding]:
    """Whether many trials are infeasible, and where they lie; and which trials crashed, which is a bug."""
    first_runs = [trial for trial in evidence.first_runs if trial.outcome is not None]
    infeasible = [trial for trial in first_runs if trial.outcome == Outcome.INFEASIBLE]
    failed = [trial for trial in first_runs if trial.outcome == Outcome.FAILED]
    tried = len(first_runs) - len(failed)
    found = [_crashed(failed, len(first_runs))] if failed else []
    if tried == 0:
        none = Finding(RULE, QUESTION, Status.CANNOT_TELL, "No trial has ended with a result.")
        return (*found, none) if not found else tuple(found)
    share = len(infeasible) / tried
    if not infeasible:
        found.append(
            Finding(RULE, QUESTION, Status.PASSES, f"None of {tried} trials is infeasible.", _numbers(0, tried))
        )
    elif share < LARGE or len(infeasible) < MIN_INFEASIBLE:
        sentence = f"{_share_text(infeasible, tried)}: few enough."
        found.append(Finding(RULE, QUESTION, Status.PASSES, sentence, _numbers(len(infeasible), tried)))
    else:
        found.append(_many(evidence, infeasible, tried))
    return tuple(found)


def _crashed(failed: Sequence[Trial], num_ended: int) -> Finding:
    """Says where to look as far as that was recorded: another tool may know no more than that there is no result."""
    is_one = len(failed) == 1
    if any(trial.last_traceback for trial in failed):
        where = "its traceback says" if is_one else "their tracebacks say"
        known = f"crashed: that is a bug, no evidence about the values; {where} where"
        advice = "Mend what the tracebacks show, and run the trials that crashed again."
    elif reasons := sorted({trial.reason for trial in failed if trial.reason}):
        has, is_none = ("has", "it is") if is_one else ("have", "they are")
        known = f"{has} no result ({'; '.join(reasons[:3])}), so {is_none} no evidence about the values"
        advice = "Find out why there is no result; after a crash mend the cause, and run those trials again."
    else:
        known = "crashed: that is a bug, no evidence about the values; why was not recorded"
        advice = "Find out why the trials crashed, mend the cause, and run them again."
    return Finding(
        RULE,
        QUESTION,
        Status.PROBLEM if len(failed) * 2 >= num_ended else Status.LOOK,
        f"{_of_all(len(failed), num_ended)} {known}.",
        {"num_failed": len(failed), "num_ended": num_ended},
        trials=tuple(trial.id for trial in failed),
        proposal=Proposal(advice),
    )


def _of_all(number: int, total: int) -> str:
    """``3 of 60 trials``, ``All 5 trials`` or ``The 1 trial that has ended``."""
    if number == total:
        return f"All {total:,} trials" if total > 1 else "The 1 trial that has ended"
    return f"{number:,} of {total:,} trials"


def _many(evidence: Evidence, infeasible: Sequence[Trial], tried: int) -> Finding:
    share = len(infeasible) / tried
    is_nearly_all = share >= NEARLY_ALL and tried >= MIN_NEARLY_ALL
    status = Status.PROBLEM if share >= VERY_LARGE else Status.LOOK
    sentences = [f"{_share_text(infeasible, tried)}."]
    proposal = Proposal("Look at the curves of the infeasible trials, and search a space that avoids them.")
    region = _clearest(evidence)
    if region is not None:
        group, where = region
        sentences.append(_where_text(where, len(infeasible)))
        proposal = _narrower(evidence, group, where)
    if is_nearly_all:
        sentences.append("So many hint at a bug in the training code, or at a space that is far off.")
        if region is None:
            proposal = Proposal("Find out why before anything else: run one trial by hand with the smallest values.")
    return Finding(
        RULE,
        QUESTION,
        status,
        " ".join(sentences),
        _numbers(len(infeasible), tried),
        trials=tuple(trial.id for trial in infeasible),
        withholds=is_nearly_all,
        proposal=proposal,
    )


def _numbers(num_infeasible: int, tried: int) -> dict[str, float]:
    return {"num_infeasible": num_infeasible, "num_tried": tried, "share_infeasible": num_infeasible / tried}


def _share_text(infeasible: Sequence[Trial], tried: int) -> str:
    kinds = Counter(reason_kind(trial.reason) for trial in infeasible).most_common()
    reasons = ", ".join(f"{number} {kind}" for kind, number in kinds)
    verb = form_for(len(infeasible), "is", "are")
    return f"{len(infeasible)} of {tried} trials ({len(infeasible) / tried:.0%}) {verb} infeasible ({reasons})"


def _clearest(evidence: Evidence) -> tuple[Group, _Region] | None:
    """The part of a range that separates infeasible from feasible trials best; None where chance does as well."""
    found = [(group, region) for group in groups_of(evidence) for region in _regions(group)]
    best = min(found, key=lambda pair: pair[1].p_value, default=None)
    return best if best is not None and best[1].p_value < CHANCE else None


def _regions(group: Group) -> list[_Region]:
    units = np.concatenate([points.units for points in group.points])
    infeasible = np.concatenate([~points.completed for points in group.points])
    # Studies of one round try the same points, so that a point that is infeasible in all of them is one piece of
    # evidence: a p-value of r copies of each point is the r-th power of that of the points.
    copies = len(units) / len(group.units)
    ranges = {name: range_ for name, range_ in group.space.items() if isinstance(range_, Float | Int)}
    found = []
    for name, hyperparameter in ranges.items():
        column = units[:, list(group.space).index(name)]
        known = ~np.isnan(column)
        for upward in (False, True):
            region = _region(name, hyperparameter, column[known], infeasible[known], upward)
            if region is not None:
                tests = 2 * len(ranges) * CUTS
                found.append(replace(region, p_value=min(1.0, region.p_value ** (1 / copies) * tests)))
    return found


def _region(name: str, hyperparameter: Float | Int, units: Floats, infeasible: Bools, upward: bool) -> _Region | None:
    """The outer part of a range whose infeasible trials are the least likely by chance, before any correction."""
    order = np.argsort(-units if upward else units, kind="stable")
    placed, counted = units[order], np.cumsum(infeasible[order])
    ends_there = np.flatnonzero(np.diff(placed) != 0)  # a part ends where the value changes
    if len(ends_there) == 0:
        return None
    inside = ends_there + 1
    p_values = hypergeom.sf(counted[ends_there] - 1, len(units), counted[-1], inside)
    best = int(p_values.argmin())
    end = int(ends_there[best])
    unit = float(placed[end] + placed[end + 1]) / 2
    return _Region(
        name, hyperparameter, unit, upward, int(inside[best]), int(counted[end]), len(units), float(p_values[best])
    )


def _where_text(where: _Region, num_infeasible: int) -> str:
    side = "above" if where.upward else "below"
    value = end_text(where.hyperparameter, value_at(where.hyperparameter, where.unit))
    outside, infeasible_outside = where.num_trials - where.num_inside, num_infeasible - where.infeasible_inside
    return (
        f"With {where.name} {side} {value}, {where.infeasible_inside} of {where.num_inside} trials "
        f"{form_for(where.infeasible_inside, 'is', 'are')} infeasible; elsewhere {infeasible_outside} of {outside}."
    )


def _narrower(evidence: Evidence, group: Group, where: _Region) -> Proposal:
    """A space that avoids most of them, and keeps the best trial."""
    name, hyperparameter = where.name, where.hyperparameter
    if where.upward and is_learning_rate(name):
        wall = wall_of(group, name)
        if wall is not None and wall.is_limiting:
            return Proposal(
                f"Find out whether warmup or gradient clipping mends the instability{by_stability(evidence)}; if not, "
                f"cut {name} off below it."
            )
    spans_decades = isinstance(hyperparameter, Float) and (
        hyperparameter.scale == "linear" and 0 <= hyperparameter.low * WIDE_FACTOR <= hyperparameter.high
    )
    changed: Hyperparameter | None
    if isinstance(hyperparameter, Float) and spans_decades and where.upward:
        changed = on_log_scale(hyperparameter, hyperparameter.from_unit(where.unit))
    else:
        changed = cut(hyperparameter, where.unit, upward=where.upward)
    best = group.best
    if changed is None or (best is not None and changed.to_unit(best.values.get(name)) is None):
        return Proposal(f"Look at the curves of the infeasible trials; the best one needs the same values of {name}.")
    sentence = f"Search {name} from {range_text(changed)}; it was {range_text(hyperparameter)}."
    return Proposal(sentence, (SearchOver(name, changed),))
