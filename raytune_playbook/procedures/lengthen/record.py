"""The record of a lengthened round, put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from raytune_playbook.analysis.wording import count_text
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.procedures.command import command_of
from raytune_playbook.procedures.lengthen.branch_rounds import Branched
from raytune_playbook.procedures.lengthen.branches import best_of, whole_s
from raytune_playbook.procedures.lengthen.comparison import Compared, Verdict
from raytune_playbook.procedures.lengthen.points import Point
from raytune_playbook.procedures.lengthen.schedules import extended_schedule, small_rates_text
from raytune_playbook.procedures.lengthen.words import (
    GROWTH,
    MOST_GROWTH,
    Lengths,
    branches_plot,
    branches_table,
    branches_texts,
    carried_table,
    correlation_text,
    growth_text,
    moved_text,
    points_plot,
    points_table,
    verdict_text,
)
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord
from raytune_playbook.study.round import Round


@dataclass(frozen=True)
class Lengthened:
    """What a lengthened round came to.

    Fields:
        compared: the points at both lengths.
        best: the best point of the long round.
        branched: of it; None where that was not asked for.
        short_name, num_short_trials: the round whose points they were, and how many trials of it had ended.
    """

    lengths: Lengths
    compared: Sequence[Compared]
    verdict: Verdict
    best: Point
    branched: Branched | None
    short_name: str
    num_short_trials: int


def completed_record(draft: ProcedureRecord, round_: Round, place: Place, found: Lengthened) -> ProcedureRecord:
    """The draft with all that is to be shown of it."""
    lengths, verdict, branched = found.lengths, found.verdict, found.branched
    sentences = [
        growth_text(lengths.short, lengths.long),
        correlation_text(verdict, len(found.compared)),
        moved_text(verdict),
        small_rates_text(found.best.values, lengths.short, lengths.long),
    ]
    tables = [points_table(found.compared, verdict, lengths), *([carried_table(verdict)] if verdict.changes else [])]
    plots = [points_plot(found.compared, lengths)]
    if branched is not None:
        sentences += branches_texts(branched.ends, branched.constant, lengths.objective)
        tables.append(branches_table(branched.ends, branched.constant, lengths.objective))
        plots.append(branches_plot(branched.ends, branched.constant, lengths.objective))
    is_same_point = verdict.best_short is verdict.best_long
    return draft.model_copy(
        update={
            "verdict": verdict_text(verdict, lengths),
            "is_good": verdict.is_same_answer if verdict.has_answer else is_same_point,
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
        "is_same_point": verdict.best_short is verdict.best_long,
        "objective_short": lengths.value(verdict.best_short.short),
        "objective_long": lengths.value(verdict.best_long.long),
        "best": dict(extended_schedule(found.best.values, lengths.short, lengths.long)),
    }
    if verdict.correlation is not None:
        numbers["rank_correlation"] = verdict.correlation.value
        numbers["rank_correlation_low"] = verdict.correlation.low
        numbers["rank_correlation_high"] = verdict.correlation.high
    if branched is not None:
        best = best_of(branched.ends, is_minimized=lengths.objective.goal == "minimize")
        numbers["best_decay_steps"] = None if best is None else best.branch.decay_steps
        numbers["objective_branch"] = None if best is None else best.objective
        numbers["objective_constant"] = branched.constant.objective
        numbers["branches_s"] = branched.constant.whole_s + math.fsum(end.own_s for end in branched.ends)
        numbers["whole_runs_s"] = whole_s(branched.ends)
    return numbers


def _next(round_: Round, place: Place, found: Lengthened) -> list[NextCommand]:
    lengths, verdict = found.lengths, found.verdict
    steps, longer = f"max_train_steps={lengths.long}", f"{count_text(lengths.long)} steps"
    new = extended_schedule(found.best.values, lengths.short, lengths.long)
    decay = (
        "" if new.get("decay_steps") == found.best.values.get("decay_steps") else f", decay_steps={new['decay_steps']}"
    )
    nexts = []
    holds = verdict.is_same_answer if verdict.has_answer else verdict.best_short is verdict.best_long
    if not holds:
        nexts.append(
            NextCommand(
                sentence=f"What {count_text(lengths.short)} steps concluded does not hold at {longer}: tune again "
                f"there, in a round with {steps}{decay} over narrow ranges around these points."
            )
        )
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
    if holds:
        nexts.append(
            NextCommand(
                sentence=f"Make the best point the candidate: a round of its own with {steps}{decay}, whose variance "
                "and launch are the next steps."
            )
        )
    return nexts
