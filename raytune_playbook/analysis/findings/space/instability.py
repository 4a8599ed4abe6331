"""Does instability limit the learning rate? (Rule UN10.)

The playbook: "Instability is only an issue when it forces us to use a learning rate that's too small." Where everything
above some learning rate is infeasible and the best trials lie just below it, a wider range shows nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status, by_stability
from raytune_playbook.analysis.sampled.points import Group, groups_of, scores_of
from raytune_playbook.analysis.sampled.response import responses
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.hyperparameters.known import is_learning_rate
from raytune_playbook.study.wording import value_text

RULE = "UN10"
QUESTION = "Does instability limit the learning rate?"

MIN_ABOVE = 3
"""So many trials above the learning rate must have been infeasible,"""

MIN_SHARE_ABOVE = 0.8
"""which must be so large a share of those above it,"""

MAX_SHARE_BELOW = 0.2
"""while at most so large a share of those below it was."""

CHANCE = 0.1
"""How often chance may make the objective improve up to the limit as clearly."""


class Wall(NamedTuple):
    """A value of a hyperparameter above which trials are infeasible.

    Fields:
        name: of the hyperparameter.
        unit: the value's unit coordinate.
        highest: the feasible trial that is closest to it.
        above, infeasible_above: how many trials lie above it, and how many of them are infeasible.
        is_limiting: whether the objective improves up to it.
    """

    name: str
    unit: float
    highest: Trial
    above: int
    infeasible_above: int
    is_limiting: bool


def limited_by_instability(evidence: Evidence) -> Sequence[Finding]:
    """Whether everything above some learning rate is infeasible, and the best trials lie just below it."""
    pairs = [(group, name) for group in groups_of(evidence) for name in group.space if is_learning_rate(name)]
    if not pairs:
        sentence = "No learning rate was tuned, or no trial has ended, so nothing tells where training gets unstable."
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence),)
    walls = [(group, wall) for group, name in pairs if (wall := wall_of(group, name)) is not None]
    found = tuple(_finding(evidence, group, wall) for group, wall in walls if wall.is_limiting)
    if found:
        return found
    sentence = "No learning rate was found above which nearly all trials are infeasible."
    if walls:
        wall = walls[0][1]
        sentence = (
            f"With {wall.name} above {_at(wall)}, {wall.infeasible_above} of {wall.above} trials are infeasible, but "
            "the best trials lie well below."
        )
    return (Finding(RULE, QUESTION, Status.PASSES, sentence),)


def wall_of(group: Group, name: str) -> Wall | None:
    """The value above which trials of a group are infeasible; None where there is no such value."""
    place = list(group.space).index(name)
    units = np.concatenate([points.units[:, place] for points in group.points])
    costs = np.concatenate([points.costs for points in group.points])
    trials = [trial for points in group.points for trial in points.trials]
    known = ~np.isnan(units)
    order = np.flatnonzero(known)[np.argsort(units[known], kind="stable")]
    infeasible = np.isinf(costs[order])
    if infeasible.all() or infeasible.sum() < MIN_ABOVE:
        return None
    # Where to cut: the fewest trials on the wrong side, at a place where the value changes.
    wrong = np.cumsum(infeasible) + (~infeasible).sum() - np.cumsum(~infeasible)
    wrong = np.where(np.diff(units[order], append=np.inf) > 0, wrong, len(order) + 1)[:-1]
    cut = int(wrong.argmin()) + 1
    below, above = infeasible[:cut], infeasible[cut:]
    if above.sum() < MIN_ABOVE or above.mean() < MIN_SHARE_ABOVE or below.mean() > MAX_SHARE_BELOW:
        return None
    feasible = order[:cut][~below]
    if len(feasible) == 0:
        return None
    edge = float(units[order[cut - 1]] + units[order[cut]]) / 2
    limiting = _improves_up_to(group, place, edge)
    return Wall(name, edge, trials[feasible[-1]], len(above), int(above.sum()), limiting)


def _improves_up_to(group: Group, place: int, edge: float) -> bool:
    below = np.flatnonzero(group.units[:, place] <= edge)
    if len(below) == 0:
        return False
    name = list(group.space)[place]
    response = responses(group.space, group.units[below], scores_of(group.scores[below])).get(name)
    return response is not None and response.falls_outward(edge, upward=True) < CHANCE


def _at(wall: Wall) -> str:
    return value_text(wall.highest.values.get(wall.name))


def _finding(evidence: Evidence, group: Group, wall: Wall) -> Finding:
    best = group.best
    at_best = "" if best is None else f", and the best trials lie just below it ({value_text(best.values[wall.name])})"
    sentence = (
        f"{wall.infeasible_above} of {wall.above} trials with {wall.name} above {_at(wall)} are infeasible{at_best}: "
        "training gets unstable there, and that keeps the learning rate small."
    )
    proposal = Proposal(
        f"Do not widen the range of {wall.name}; find out whether warmup or gradient clipping mends the instability"
        f"{by_stability(evidence)}, and search larger learning rates then."
    )
    return Finding(
        RULE,
        QUESTION,
        Status.LOOK,
        sentence,
        numbers={"num_above": wall.above, "num_infeasible_above": wall.infeasible_above},
        trials=(wall.highest.id,) if best is None else tuple(dict.fromkeys((best.id, wall.highest.id))),
        studies=group.studies,
        proposal=proposal,
    )
