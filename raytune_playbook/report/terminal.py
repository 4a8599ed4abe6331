"""Short tables for the terminal: what a round came to, and which rounds a storage holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raytune_playbook.analysis.answer.answer import Answer, Verdict
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.summary import RoundSummary
from raytune_playbook.analysis.wording import ABSENT, count_text, number_text
from raytune_playbook.errors import InputError
from raytune_playbook.records.scores import TEST, ScoreRecord, read_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore, listing_command, round_parts
from raytune_playbook.records.types import Outcome, RoundState
from raytune_playbook.report.formatting import (
    arm_values_text,
    counts_text,
    deleted_checkpoints_text,
    looks_text,
    metrics_text,
    objective_text,
)
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.reading import RoundReading, read_all, read_round
from raytune_playbook.study.wording import value_text

FILE_WIDTH = 120
"""Columns of what is printed to a file or a pipe."""

MAX_VALUES_SHOWN = 12
"""Of more scientific values than this the best are printed."""

MAX_OPEN_LINES = 6
"""So many open findings are printed at most."""


def new_console() -> Console:
    """A console that prints plainly: as wide as the terminal, or `FILE_WIDTH` where there is none.

    In a notebook, too, where `rich` would make a display of its own of every line.
    """
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, width=FILE_WIDTH, force_jupyter=False, force_terminal=False)


def summary(store: RoundStore) -> RenderableType:
    """The end of a run: the best trial of each scientific value, what the round has answered, what is still open, and
    the command that writes the next study.

    Raises:
        StorageError: there is no such round.
    """
    reading, curves = read_all(store)
    insight = insight_of(reading, curves)
    lines: list[RenderableType] = [
        _line(f"{reading.record.name}: {reading.record.goal}"),
        _line(f"Trials: {counts_text(reading.summary.total)}."),
        _best_table(reading, insight.answer),
        *_left_out_lines(reading),
        _line(f"Judged by the {objective_text(reading.objective)}."),
        _line(insight.answer.sentence, "bold"),
        *map(_line, insight.answer.beyond),
        *_open_lines([each for each in insight.answer.open_findings if each.sentence not in insight.answer.sentence]),
    ]
    if (deleted := deleted_checkpoints_text(reading.trials, reading.record.budget)) is not None:
        lines.append(_line(deleted))
    lines += [_line(sentence, "yellow") for sentence in reading.broken]
    if any(score.split == TEST for score in reading.scores):
        lines.append(_line(looks_text(reading.scores), "yellow"))
    if insight.evidence.is_finished and insight.next_study.changes:
        lines.append(_line(_propose_text(store, reading)))
    return Group(*lines)


def _left_out_lines(reading: RoundReading) -> list[Text]:
    """That the table has the best values only."""
    tried, shown = len(reading.summary.arms), len(reading.summary.leading(MAX_VALUES_SHOWN))
    if shown == tried:
        return []
    return [_line(f"The best {shown} of {tried:,} values are shown.")]


def _propose_text(store: RoundStore, reading: RoundReading) -> str:
    """A job file is written beside another; a round that Python ran has none."""
    if reading.record.job is not None:
        return f"What to change next, as a job: {store.command('propose')}"
    return "What to change next, as a round: raytune_playbook.propose(round, result)"


def _open_lines(findings: Sequence[Finding]) -> list[Text]:
    """The findings that are open, the most serious first; what are too many for a terminal are counted."""
    shown = findings[:MAX_OPEN_LINES] if len(findings) <= MAX_OPEN_LINES else findings[: MAX_OPEN_LINES - 1]
    lines = [
        _line(
            f"{'Problem' if is_problem else 'Look'}: {finding.question} {finding.sentence}",
            "red" if is_problem else "yellow",
        )
        for finding in shown
        for is_problem in [finding.status is Status.PROBLEM]
    ]
    if left := len(findings) - len(shown):
        lines.append(_line(f"{left} more to look at {'stands' if left == 1 else 'stand'} on the page.", "yellow"))
    return lines


def score_summary(store: RoundStore, score: ScoreRecord) -> RenderableType:
    """What a kept model scored on a split, and how often the test set was looked at by now (rule AD6)."""
    whose = f"{score.split} split by {score.study}/{score.trial} at step {score.step:,}"
    lines = [_line(f"The {whose}, {score.num_examples:,} examples: {metrics_text(score)}")]
    if score.split == TEST:
        lines.append(_line(looks_text(read_scores(store)), "yellow"))
    return Group(*lines)


def no_answer(store: RoundStore) -> str | None:
    """Why a round that has finished says nothing: none of its trials completed; None where one did."""
    reading = read_round(store)
    total = reading.summary.total
    if reading.status is None or reading.status.state is not RoundState.FINISHED or total.completed:
        return None
    infeasible = [trial for trial in reading.trials if trial.outcome is Outcome.INFEASIBLE]
    failed = [trial for trial in reading.trials if trial.outcome is Outcome.FAILED]
    parts, advice = [], []
    if infeasible:
        kinds = Counter((trial.reason or "").partition(":")[0] for trial in infeasible)
        counted = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
        example = f"{infeasible[0].study}/{infeasible[0].key}: {infeasible[0].reason}"
        parts.append(f"{len(infeasible):,} were infeasible ({counted}; such as {example})")
        advice.append("search where points can be trained, under another name")
    if failed:
        error = (failed[0].last_traceback or "unknown").strip().splitlines()[-1]
        parts.append(f"{len(failed):,} failed (such as {failed[0].study}/{failed[0].key}: {error})")
        advice.append(f"mend the cause, then: {store.command('resume')} --retry-failed")
    return f"No trial completed, so there is no answer: {' and '.join(parts)}; {', or '.join(advice)}"


ALWAYS = ("round", "state", "trials", "best")
"""Columns of a list of rounds that are there even where no round has anything in them."""

MIN_GOAL_WIDTH = 20
"""Of a list of rounds; where fewer columns are left for the goals, it has none."""

LESSER = ("part of", "created", "goal", "infeasible", "failed")
"""What a list of rounds leaves out on a narrow terminal, one after another: names tell the first, and order the next.
"""


def rounds_table(storage: Storage, *, width: int | None = None, has_parts: bool = False) -> RenderableType:
    """One line per round of a storage, the newest last; a round whose records are broken is named, too.

    Args:
        storage: whose rounds.
        width: columns of the terminal, in which goals are cut and lesser cells left out, but never a name; None for
            all of it.
        has_parts: whether rounds that procedures ran are listed, and not only counted.
    """
    parts = round_parts(storage)
    names = [name for name, part in parts.items() if has_parts or part is None]
    lines: list[RenderableType] = []
    if not parts:
        lines.append(_whole(f"No rounds yet in {storage.uri}; begin with a job file: raytune-playbook new my_job.py"))
    if names:
        rows = [_round_row(RoundStore(storage, name)) for name in names]
        lines.append(_fitting(sorted(rows, key=lambda row: (row["created"], row["round"])), width))
    if hidden := len(parts) - len(names):
        lines.append(_whole(f"Rounds that procedures ran: {hidden} ({listing_command(storage, '--all')})"))
    return Group(*lines)


def _fitting(rows: Sequence[Mapping[str, str]], width: int | None) -> Table:
    """A table as wide as what is in it, or as there is room for."""
    gap = 2
    needed = {head: max(map(cell_len, (head, *(row[head] for row in rows)))) + gap for head in rows[0]}
    shown = [head for head in needed if any(row[head] not in ("", "0", ABSENT) for row in rows) or head in ALWAYS]
    if width is not None:
        least = needed | {"goal": min(needed["goal"], MIN_GOAL_WIDTH + gap)}
        for lesser in LESSER:
            if lesser in shown and sum(least[head] for head in shown) > width + gap:
                shown.remove(lesser)
        needed["goal"] = min(needed["goal"], width + gap - sum(needed[head] for head in shown if head != "goal"))
    table = Table(box=None, pad_edge=False, header_style="bold", width=sum(needed[head] for head in shown) - gap)
    for head in shown:
        is_number = head in ("trials", "infeasible", "failed", "best")
        table.add_column(head, no_wrap=True, width=needed[head] - gap, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(row[head]) for head in shown))
    return table


def _whole(text: str) -> Text:
    """A line that a narrow terminal may wrap, and nothing else, so that a command in it can be copied."""
    return Text(text, no_wrap=True, overflow="ignore")


def _round_row(store: RoundStore) -> dict[str, str]:
    """The cells of a round by the heads of the table's columns, in their order."""
    try:
        reading = read_round(store)
    except (InputError, ValueError, OSError):  # of another version, or not ours: the others are still to be listed
        cells = dict.fromkeys(("trials", "infeasible", "failed", "best", "created", "goal"), ABSENT)
        return {"round": store.name, "part of": "", "state": "unreadable", **cells, "created": ""}
    total, best, objective = reading.summary.total, _best_objective(reading.summary), reading.objective
    metric = objective.metric if objective.split == "validation" else objective.name
    return {
        "round": store.name,
        "part of": reading.record.part_of.text if reading.record.part_of else "",
        "state": _state(reading),
        "trials": f"{total.num_ended}/{total.planned}",
        "infeasible": str(total.num_infeasible),
        "failed": str(total.failed),
        "best": ABSENT if best is None else f"{metric} {number_text(best)}",
        "created": reading.record.created_at[:16].replace("T", " "),
        "goal": " ".join(reading.record.goal.split()),
    }


def _state(reading: RoundReading) -> str:
    """As its status says, whether its test set was looked at (rule AD6), and whether records are missing."""
    state = str(reading.status.state) if reading.status else "unknown" if reading.broken else "not started"
    state = f"{state}, test seen" if any(score.split == TEST for score in reading.scores) else state
    return f"{state}, partly unreadable" if reading.broken else state


def _best_objective(summary_: RoundSummary) -> float | None:
    return summary_.best.best.objective if summary_.best and summary_.best.best else None


def _best_table(reading: RoundReading, answer: Answer) -> Table:
    """The best trial of each value; a value that is better is green, and of those that tie none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(", ".join(reading.scientific) or "study", overflow="fold")
    table.add_column(reading.objective.name, justify="right", no_wrap=True)
    table.add_column("at step", justify="right", no_wrap=True)
    table.add_column("trial", no_wrap=True)
    table.add_column("values", overflow="fold")
    table.add_column("ended", justify="right", no_wrap=True)
    tuned = [each.arm for each in answer.arms]
    winners = [arm.arm for arm in answer.arms if arm.is_leading and answer.verdict is Verdict.BETTER]
    for arm in reading.summary.leading(MAX_VALUES_SHOWN):
        trial = arm.best
        values = arm_values_text(arm.arm, arm.study)
        ended = f"{arm.counts.num_ended}/{arm.counts.planned}"
        cells = [values, ABSENT, ABSENT, ABSENT, "no completed trial", ended]
        if trial is not None:
            here = next((a.space for a in tuned if a.study == arm.study and a.values == arm.arm), reading.varied)
            varied = ", ".join(
                f"{name}={value_text(trial.values.get(name))}" for name in reading.varied if name in here
            )
            step = count_text(trial.best_step)
            cells = [values, number_text(trial.objective), step, trial.text, varied, ended]
        is_winner = any(winner.study == arm.study and winner.values == arm.arm for winner in winners)
        # `Text`, for a value such as "[red]" must not be taken for markup.
        table.add_row(*(Text(cell) for cell in cells), style="green" if is_winner else "")
    return table


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style)
