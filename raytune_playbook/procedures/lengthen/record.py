"""The record of a lengthened round, put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from raytune_playbook.analysis.wording import count_text
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.errors import JobFileError
from raytune_playbook.procedures.candidate import candidate_of, write_candidate
from raytune_playbook.procedures.command import command_of, shown_path
from raytune_playbook.procedures.lengthen.branch_rounds import Branched
from raytune_playbook.procedures.lengthen.branches import BranchEnd, best_of, better_than_none, decaying_values, whole_s
from raytune_playbook.procedures.lengthen.comparison import Compared, Verdict
from raytune_playbook.procedures.lengthen.points import Point
from raytune_playbook.procedures.lengthen.schedules import extended_schedule, extension_text, small_rates_text
from raytune_playbook.procedures.lengthen.words import (
    GROWTH,
    MOST_GROWTH,
    Lengths,
    branches_plot,
    branches_table,
    branches_texts,
    carried_table,
    chance_text,
    correlation_text,
    growth_text,
    moved_text,
    paid_text,
    points_plot,
    points_table,
    verdict_text,
)
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.round import Round

LEAST_CORRELATION = 0.3
"""With less, short trainings hardly tell which points are better in long ones."""


@dataclass(frozen=True)
class Lengthened:
    """What a lengthened round came to.

    Fields:
        compared: the points at both lengths.
        best: the best point of the long round.
        branched: of it; None where that was not asked for.
        was_shown: whether the user's round had shown that its best scientific value is better.
        short_name, num_short_trials: the round whose points they were, and how many trials of it had ended.
    """

    lengths: Lengths
    compared: Sequence[Compared]
    verdict: Verdict
    best: Point
    branched: Branched | None
    was_shown: bool
    short_name: str
    num_short_trials: int

    @property
    def holds(self) -> bool:
        """Whether what the short round says can be relied on at the long length."""
        verdict, ranks = self.verdict, self.verdict.correlation
        is_same = verdict.is_same_answer or not self.was_shown if verdict.has_answer else verdict.is_same_point
        return is_same and (ranks is None or ranks.value >= LEAST_CORRELATION)

    @property
    def decay(self) -> BranchEnd | None:
        """The best decay of the full length, where it beats the constant rate and the best point; else None."""
        if self.branched is None:
            return None
        best = better_than_none(self.branched.ends, self.branched.constant, self.lengths.objective)
        if best is None or best.objective is None:
            return None
        is_better = self.lengths.objective.is_better(best.objective, self.lengths.value(self.verdict.best_long.long))
        return best if is_better else None

    @property
    def reached(self) -> float:
        """The candidate's objective."""
        decay = None if self.decay is None else self.decay.objective
        return self.lengths.value(self.verdict.best_long.long) if decay is None else decay

    @property
    def has_paid(self) -> bool:
        """Whether the candidate is better than the best point was in the short round."""
        return self.lengths.objective.is_better(self.reached, self.lengths.value(self.verdict.best_short.short))

    @property
    def values(self) -> dict[str, Value]:
        """All hyperparameters of the candidate: the best point of the long round, with the best decay of its branches
        where that is better."""
        values = extended_schedule(self.best.values, self.lengths.short, self.lengths.long)
        if self.decay is None:
            return values
        return {**decaying_values(values), "decay_steps": self.decay.branch.decay_steps}


def completed_record(draft: ProcedureRecord, round_: Round, place: Place, found: Lengthened) -> ProcedureRecord:
    """The draft with all that is to be shown of it."""
    lengths, verdict, branched = found.lengths, found.verdict, found.branched
    sentences = [
        paid_text(lengths, lengths.value(verdict.best_short.short), found.reached, has_paid=found.has_paid),
        growth_text(lengths.short, lengths.long),
        extension_text(found.best.values, lengths.short, lengths.long),
        correlation_text(verdict, len(found.compared)),
        chance_text(verdict),
        moved_text(verdict),
        small_rates_text(found.best.values, lengths.short, lengths.long),
    ]
    tables = [points_table(found.compared, verdict, lengths), *([carried_table(verdict)] if verdict.changes else [])]
    plots = [points_plot(found.compared, lengths)]
    if branched is not None:
        sentences += branches_texts(branched.ends, branched.constant, lengths.objective)
        tables.append(branches_table(branched.ends, branched.constant, lengths.objective))
        plots.append(branches_plot(branched.ends, branched.constant, lengths.objective))
    return draft.model_copy(
        update={
            "verdict": verdict_text(verdict, lengths, was_shown=found.was_shown),
            "is_good": None if verdict.has_answer and not found.was_shown else found.holds,
            "sentences": tuple(sentence for sentence in sentences if sentence),
            "numbers": _numbers(found),
            "tables": tuple(tables),
            "plots": tuple(plot for plot in plots if plot is not None),
            "next": tuple(_next(round_, place, found)),
        }
    )


def _numbers(found: Lengthened) -> dict[str, JsonValue]:
    lengths, verdict, branched = found.lengths, found.verdict, found.branched
    numbers: dict[str, JsonValue] = {
        "short_round": found.short_name,
        "num_short_trials": found.num_short_trials,
        "short_steps": lengths.short,
        "max_train_steps": lengths.long,
        "num_points": len(found.compared),
        "is_same_answer": verdict.is_same_answer,
        "is_same_point": verdict.is_same_point,
        "holds": found.holds,
        "has_paid": found.has_paid,
        "objective_short": lengths.value(verdict.best_short.short),
        "objective_long": lengths.value(verdict.best_long.long),
        "best": dict(found.values),
    }
    if verdict.correlation is not None:
        numbers["rank_correlation"] = verdict.correlation.value
        numbers["rank_correlation_low"] = verdict.correlation.low
        numbers["rank_correlation_high"] = verdict.correlation.high
    if branched is not None:
        best = best_of(branched.ends, is_minimized=lengths.objective.goal == "minimize")
        better = better_than_none(branched.ends, branched.constant, lengths.objective)
        numbers["best_decay_steps"] = None if better is None else better.branch.decay_steps
        numbers["objective_branch"] = None if best is None else best.objective
        numbers["objective_constant"] = branched.constant.objective
        numbers["branches_s"] = branched.constant.whole_s + math.fsum(end.own_s for end in branched.ends)
        numbers["whole_runs_s"] = whole_s(branched.ends)
    return numbers


def _next(round_: Round, place: Place, found: Lengthened) -> list[NextCommand]:
    lengths, nexts = found.lengths, list[NextCommand]()
    if lengths.long > MOST_GROWTH * lengths.short:
        asked = {"max_train_steps": lengths.short * GROWTH}
        nexts.append(
            NextCommand(
                sentence="Check the conclusions in a round between the two:",
                command=command_of("lengthen", round_.name, place.storage, asked),
            )
        )
    if found.branched is None and found.best.values.get("schedule") != "constant":
        asked_all = {"max_train_steps": lengths.long, "branch_decays": True}
        nexts.append(
            NextCommand(
                sentence="Compare decays of several lengths, branched off one run at a constant learning rate:",
                command=command_of("lengthen", round_.name, place.storage, asked_all),
            )
        )
    if not found.holds:
        return [_tuned_again(round_, place, found), *nexts]
    if found.has_paid:
        return [_candidate(round_, place, found), *nexts]
    stay = NextCommand(
        sentence=f"Stay with the {count_text(lengths.short)} steps of {found.short_name}; what is next then:",
        command=command_of("advise", place.storage, DEFAULT_STORAGE),
    )
    return [*nexts, stay]


def _candidate(round_: Round, place: Place, found: Lengthened) -> NextCommand:
    """The best point of the long round as a job of its own."""
    steps = found.lengths.long
    goal = f"The best point of {round_.name} after {count_text(steps)} steps: is it to be launched?"
    candidate = candidate_of(_of_length(round_, found.lengths), found.values, f"{round_.name}_{steps}_best", goal)
    what = "The best point is the candidate, and {} its job: run it, then see how much retraining it varies (variance)."
    return _as_job(place, candidate, goal, what)


def _tuned_again(round_: Round, place: Place, found: Lengthened) -> NextCommand:
    """The user's round at the long length."""
    lengths = found.lengths
    steps, new = count_text(lengths.long), extended_schedule(round_.fixed_values, lengths.short, lengths.long)
    longer = _of_length(round_, lengths).model_copy(update={"name": f"{round_.name}_{lengths.long}_steps"})
    if "decay_steps" in round_.fixed_values and new["decay_steps"] != round_.fixed_values["decay_steps"]:
        longer = longer.model_copy(update={"fixed": {**longer.fixed, "decay_steps": new["decay_steps"]}})
    what = (
        f"What {count_text(lengths.short)} steps say does not carry over to {steps}: tune again at that length. {{}} "
        "is the round for it; narrow its ranges around the best points above first."
    )
    return _as_job(place, longer, f"{round_.goal}\n{round_.name} again, with {steps} steps.", what)


def _of_length(round_: Round, lengths: Lengths) -> Round:
    interval = math.ceil(round_.budget.evaluation_interval_steps * lengths.long / lengths.short)
    longer = {
        "max_train_steps": lengths.long,
        "evaluation_interval_steps": min(interval, lengths.long),
        "checkpoint_interval_steps": None,
    }
    return round_.model_copy(update={"budget": round_.budget.model_copy(update=longer)})


def _as_job(place: Place, round_: Round, header: str, what: str) -> NextCommand:
    """A round to run next, written as a job file where the procedure came from one."""
    if place.job is None:
        settings = f"max_train_steps={round_.budget.max_train_steps} and fixed={round_.fixed}"
        return NextCommand(sentence=what.format(f"The same Round with {settings}"))
    try:
        path = shown_path(write_candidate(place.job, round_, header))
    except JobFileError as error:
        return NextCommand(sentence=f"{what.format('A job file made by hand')} {error}")
    return NextCommand(sentence=what.format(path), command=command_of("run", path, place.storage))
