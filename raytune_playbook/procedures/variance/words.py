"""What `variance` says: sentences, tables and plots of its record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, stdev

from pydantic import JsonValue

from raytune_playbook.analysis.answer.study_variance import rank_of_another
from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import form_for, number_text
from raytune_playbook.procedures.command import command_of
from raytune_playbook.procedures.launch.comparison import median_interval
from raytune_playbook.procedures.variance.retrainings import Point, Retrainings, histogram_points
from raytune_playbook.records.procedures import (
    Cell,
    NextCommand,
    ProcedureRecord,
    ShownLine,
    ShownPlot,
    ShownSeries,
    ShownTable,
)
from raytune_playbook.records.registry import closed_workload, newest_launch
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.data_split import DATA_SPLIT
from raytune_playbook.study.wording import values_text

_ORDINALS = ("first", "second", "third", "fourth")
"""There is no need of more: in less than 1 of 16 cases are the best four of two searches all of one."""


@dataclass(frozen=True)
class Variances:
    """What was measured.

    Fields:
        point: that was trained again.
        picked: its own run, which the search has picked.
        trials: of the round.
        searches: all trials of each further search.
        splits: the trials in other divisions of the examples.
    """

    point: Point
    picked: Trial
    trials: Sequence[Trial]
    retrainings: Retrainings
    searches: tuple[tuple[Trial, ...], ...] = ()
    splits: tuple[Trial, ...] = ()

    @property
    def are_all_equal(self) -> bool:
        """Whether every retraining came to the same value."""
        return len(self.retrainings.values) > 1 and len(set(self.retrainings.losses)) == 1


def next_of(point: Point, storage: str) -> tuple[NextCommand, ...]:
    """What follows, by what the registry of launches has by now: a launch is only named where it is not refused."""
    workload = point.round.studies[0].workload
    closed, in_use = closed_workload(Storage(storage), workload), newest_launch(Storage(storage), workload)
    if closed is not None:
        ended = f"{workload.name} was closed to launches on {closed.closed_at[:10]} (rule AD8): this ends here."
        return (NextCommand(sentence=ended),)
    if in_use is not None and (in_use.round, in_use.trial) == (point.round.name, point.text):
        held = f"It is in use, as launch {in_use.number}: the next candidate is held against it."
        return (NextCommand(sentence=held),)
    launch = command_of("launch", point.round.name, storage, {"complexity": "none"})
    return (NextCommand(sentence="Is it better than what is in use? Compare it with its baseline:", command=launch),)


def completed(draft: ProcedureRecord, found: Variances, following: tuple[NextCommand, ...]) -> ProcedureRecord:
    """The record of them, with what follows."""
    retrainings = found.retrainings
    verdict = (
        f"Retraining with other seeds changes the {retrainings.objective.name} by a standard deviation of "
        f"{number_text(retrainings.deviation, 3)} about a median of {number_text(retrainings.median)} "
        f"({retrainings.num} retrainings of {found.point.text})."
    )
    if retrainings.deviation is None:
        verdict = (
            f"Of {retrainings.num} retrainings of {found.point.text} {retrainings.num_infeasible} were infeasible, so "
            "its result cannot be relied on."
        )
    if found.are_all_equal:
        verdict = (
            f"All {retrainings.num} retrainings of {found.point.text} came to the same {retrainings.objective.name}, "
            f"{number_text(retrainings.median)}: with other seeds it does not vary, or too little for this metric to "
            "show."
        )
    return draft.model_copy(
        update={
            "verdict": verdict,
            "sentences": tuple(_sentences(found)),
            "numbers": _numbers(found),
            "tables": tuple(_tables(found)),
            "plots": (_plot(found),) if retrainings.values else (),
            "next": following,
        }
    )


def _sentences(found: Variances) -> list[str]:
    retrainings = found.retrainings
    said = []
    interval = None if found.are_all_equal else median_interval(retrainings.losses)
    if interval and all(map(math.isfinite, interval)):
        low, high = retrainings.of_losses(interval)
        said.append(f"The true median lies between {number_text(low)} and {number_text(high)} in 9 of 10 cases.")
    said += _on_luck(found)
    if retrainings.deviation:
        chance = NormalDist().inv_cdf(0.975) * math.sqrt(2) * retrainings.deviation
        said.append(
            f"Two single trainings that differ by less than {number_text(chance, 2)} may differ by chance alone."
        )
    if retrainings.num_outdated:
        count = retrainings.num_outdated
        said.append(
            f"{count} earlier {form_for(count, 'retraining', 'retrainings')} of other code did not count (rule AD1)."
        )
    if retrainings.num_failed:
        said.append(f"{retrainings.num_failed} crashed and did not count; their tracebacks stand on the page.")
    said += _on_searches(found)
    said += _on_splits(found)
    return said


def _on_luck(found: Variances) -> list[str]:
    picked, losses = found.picked.objective, found.retrainings.losses
    if picked is None or not losses:
        return []
    if found.are_all_equal and picked == found.retrainings.median:
        return ["The run that the search picked had the same."]
    own = picked if found.retrainings.objective.goal == "minimize" else -picked
    share = sum(own < loss for loss in losses) / len(losses)
    told = f"The run that the search picked had {number_text(picked)}, better than {share:.0%} of the retrainings"
    luck = "a search picks lucky runs, so expect the median" if share > 0.5 else "it was not lucky"
    return [f"{told}: {luck}."]


def _on_searches(found: Variances) -> list[str]:
    said = []
    if (bound := _study_bound(found)) is not None:
        end = "most" if found.retrainings.objective.goal == "minimize" else "least"
        said.append(
            f"Another search of as many trials would find a best of at {end} {number_text(bound[1])} (this one's "
            f"{_ORDINALS[bound[0] - 1]} best point) in 9 of 10 cases, and one as good as this one's best or better in "
            "half of all; how much better, only searching again tells (--study-seeds; rule AD2)."
        )
    bests = _bests(found)
    if len(bests) > 1 and (spread := _spread(bests)) is not None:
        said.append(
            f"{len(bests)} searches with different seeds found a best of {_range_text(bests)}, with a standard "
            f"deviation of {number_text(spread, 3)}{_beside(spread, found.retrainings)} (study variance, rule AD2)."
        )
    return said


def _on_splits(found: Variances) -> list[str]:
    values = _values(found.splits)
    if (spread := _spread(values)) is None:
        return []
    return [
        f"In {len(values)} other divisions of the examples it had {_range_text(values)}, with a standard deviation "
        f"of {number_text(spread, 3)}{_beside(spread, found.retrainings)} (data sampling variance, rule AD7)."
    ]


def _range_text(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{number_text(low)} each time" if low == high else f"{number_text(low)} to {number_text(high)}"


def _beside(spread: float, retrainings: Retrainings) -> str:
    return (
        f", {number_text(spread / retrainings.deviation, 2)} times that of retraining" if retrainings.deviation else ""
    )


def _numbers(found: Variances) -> dict[str, JsonValue]:
    retrainings = found.retrainings
    interval = median_interval(retrainings.losses)
    bound = _study_bound(found)
    numbers: dict[str, JsonValue] = {
        "trial": found.point.text,
        "num_retrains": retrainings.num,
        "num_infeasible": retrainings.num_infeasible,
        "values": [*retrainings.values],
        "median": retrainings.median,
        "std": retrainings.deviation,
        "interval": [*retrainings.of_losses(interval)] if interval and all(map(math.isfinite, interval)) else None,
        "searched": found.picked.objective,
        "study_bound": None if bound is None else bound[1],
    }
    if found.searches:
        numbers |= {"study_values": [*_bests(found)], "study_std": _spread(_bests(found))}
    if found.splits:
        numbers |= {"split_values": [*_values(found.splits)], "split_std": _spread(_values(found.splits))}
    return numbers


def _tables(found: Variances) -> list[ShownTable]:
    retrainings = found.retrainings
    rows: list[tuple[Cell, ...]] = [
        ("other seeds of training", retrainings.num, *_row(retrainings.values), retrainings.num_infeasible)
    ]
    if found.searches:
        rows.append(("other seeds of the search", len(_bests(found)), *_row(_bests(found)), 0))
    if found.splits:
        infeasible = sum(each.outcome is Outcome.INFEASIBLE for each in found.splits)
        rows.append(("other divisions of the examples", len(found.splits), *_row(_values(found.splits)), infeasible))
    name = retrainings.objective.name
    columns = ("by", "runs", "lowest", "median", "highest", "standard deviation", "infeasible")
    tables = [ShownTable(title=f"What chance does to the {name}", columns=columns, rows=tuple(rows))]
    if found.searches:
        varied = sorted(found.point.round.space.keys() | found.point.round.scientific.keys())
        winners = [(found.point.round.seed, found.picked), *_winners(found)]
        tables.append(
            ShownTable(
                title="The best trial of each search",
                columns=("seed", name, "values"),
                rows=tuple(
                    (str(seed), each.objective, values_text({n: each.values.get(n) for n in varied}))
                    for seed, each in winners
                ),
            )
        )
    return tables


def _winners(found: Variances) -> list[tuple[int, Trial]]:
    objective, seed = found.retrainings.objective, found.point.round.seed
    bests = [(seed + number, best_trial(trials, objective)) for number, trials in enumerate(found.searches, 1)]
    return [(number, best) for number, best in bests if best is not None]


def _row(values: Sequence[float]) -> tuple[Cell, ...]:
    if not values:
        return (None,) * 4
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return ordered[0], middle, ordered[-1], _spread(values)


def _bests(found: Variances) -> list[float]:
    """Of each search, the round's own first."""
    every = [found.picked, *(each for _, each in _winners(found))]
    return [each.objective for each in every if each.objective is not None]


def _values(trials: Sequence[Trial]) -> list[float]:
    ordered = sorted(trials, key=lambda trial: str(trial.values.get(DATA_SPLIT)))
    return [each.objective for each in ordered if each.objective is not None and not each.repeat]


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _study_bound(found: Variances) -> tuple[int, float] | None:
    """What another search finds at least in 9 of 10 cases: its rank among the points of this one, and its value.

    Values of scientific hyperparameters that were tried at the same place in the search are one point: the best of
    them. So points are exchangeable with those of the other search, whether or not values share the others.
    """
    sign = 1.0 if found.retrainings.objective.goal == "minimize" else -1.0
    losses: dict[int, float] = {}
    for each in found.trials:
        if not each.repeat and each.outcome in (Outcome.COMPLETED, Outcome.INFEASIBLE):
            is_completed = each.outcome is Outcome.COMPLETED and each.objective is not None
            loss = sign * (each.objective or 0.0) if is_completed else math.inf
            losses[each.index] = min(loss, losses.get(each.index, math.inf))
    rank = rank_of_another(list(losses.values()))
    return None if rank is None else (rank, sign * sorted(losses.values())[rank - 1])


def _plot(found: Variances) -> ShownPlot:
    retrainings = found.retrainings
    x, y = histogram_points(retrainings.values)
    lines = []
    if retrainings.median is not None:
        lines.append(ShownLine(text="median", x=retrainings.median))
    if found.picked.objective is not None:
        lines.append(ShownLine(text="the run that the search picked", x=found.picked.objective))
    name = retrainings.objective.name
    return ShownPlot(
        title="Retrainings with other seeds",
        label=f"The share of {len(x)} retrainings whose {name} is at most as large",
        x_name=name,
        y_name="share of retrainings at most as large",
        series=(ShownSeries(name=f"{len(x)} retrainings", x=x, y=y, style="both"),),
        lines=tuple(lines),
    )
