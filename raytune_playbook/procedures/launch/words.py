"""What `launch` says: sentences, tables and plots of its record."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import JsonValue

from raytune_playbook.analysis.wording import form_for, number_text
from raytune_playbook.procedures.command import Option, another_question, command_of
from raytune_playbook.procedures.launch.baseline import Baseline
from raytune_playbook.procedures.launch.comparison import METHOD, PAIRS_WON, SURE, Because, Comparison, Verdict
from raytune_playbook.procedures.launch.examples import SamplingError
from raytune_playbook.procedures.launch.gains import Gain, is_saturated
from raytune_playbook.procedures.launch.path import Step, without_evidence
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
from raytune_playbook.records.registry import LaunchRecord


@dataclass(frozen=True)
class Decision:
    """What was compared, and what was decided.

    Fields:
        ends: what retraining the baseline and the candidate came to.
        steps: the changes, with the evidence for each.
        noise: what the choice of the validation examples adds; None where that is not known.
        complexity: that the change adds; empty for none.
        anyway: why it was launched against the verdict.
        gains: of earlier launches and of this candidate, the newest last.
        launch: as it stands in the registry; None where it was not launched.
        against: the round that was named as the baseline's; None for what is in use.
        job: the job file of the candidate's round, as one names it from here; None for a round of the Python API.
        has_changes: whether the findings of the candidate's round change the next study.
        was_read: whether the workload's test set was read before.
    """

    candidate: Point
    baseline: Baseline
    ends: tuple[Retrainings, Retrainings]
    comparison: Comparison
    steps: tuple[Step, ...]
    noise: SamplingError | None
    complexity: str
    anyway: str | None
    gains: tuple[Gain, ...] = ()
    launch: LaunchRecord | None = None
    against: str | None = None
    job: str | None = None
    has_changes: bool = True
    was_read: bool = False

    @property
    def is_constant_rate(self) -> bool:
        """Whether the candidate trains at a constant learning rate to its end (rule SC1)."""
        return self.candidate.configuration.values.get("schedule") == "constant"


def completed(draft: ProcedureRecord, decision: Decision, storage: str) -> ProcedureRecord:
    """The record of a decision."""
    return draft.model_copy(
        update={
            "verdict": _verdict(decision),
            "is_good": decision.comparison.verdict is Verdict.ADOPT,
            "sentences": tuple(_sentences(decision)),
            "numbers": _numbers(decision),
            "tables": tuple(_tables(decision)),
            "plots": (_plot(decision),) if all(each.values for each in decision.ends) else (),
            "next": tuple(_next(decision, storage)),
        }
    )


def _verdict(decision: Decision) -> str:
    found, name = decision.comparison, decision.ends[1].objective.name
    medians = f"median {name} {_median(decision.ends[1])} against {_median(decision.ends[0])}"
    chance = f"probability of improvement {_probability(found.probability)}"
    said = {
        Verdict.ADOPT: f"Adopt {decision.candidate.text}: {medians}, {chance}.",
        Verdict.DO_NOT_ADOPT: f"Do not adopt {decision.candidate.text}: {medians}, {chance}.",
        Verdict.NOT_ENOUGH_EVIDENCE: f"Not enough evidence to adopt {decision.candidate.text}: {medians}, {chance}.",
    }[found.verdict]
    if decision.launch is not None:
        against = " against the verdict" if decision.anyway else ""
        said += f" It is launch {decision.launch.number} now{against}."
    return said


def _median(retrainings: Retrainings) -> str:
    return "infeasible" if retrainings.median is None else number_text(retrainings.median)


def _probability(probability: float) -> str:
    return "above 99.9%" if probability > 0.999 else "below 0.1%" if probability < 0.001 else f"{probability:.1%}"


def _sentences(decision: Decision) -> list[str]:
    ends = decision.ends
    said = [
        f"{ends[1].num} retrainings of the candidate and {ends[0].num} of {decision.baseline.text} were compared by "
        "their medians; the run that the search picked is not among them.",
        _why(decision),
    ]
    if decision.baseline.point is None:
        said.append("The baseline was trained anew by today's code, on the candidate's examples and workers.")
    said += _on_errors(decision)
    said += _on_runs(ends)
    said += _on_changes(decision)
    said.append(_on_complexity(decision))
    if decision.anyway:
        said.append(f"It was launched anyway: {decision.anyway}")
    if decision.is_constant_rate and decision.launch is not None:
        said.append(
            "Warning: the learning rate stays constant to the end (rule SC1); a schedule that decays usually does "
            "better, so tune one before the last launch."
        )
    if is_saturated(decision.gains):
        said.append(
            f"The last {form_for(len(decision.gains), 'candidate', 'candidates')} gained no more than one standard "
            "deviation of retraining each: tuning has saturated (rule IN19), so change the model, the data or the "
            "goal instead."
        )
    return said


def _why(decision: Decision) -> str:
    found = decision.comparison
    match found.because:
        case Because.BETTER:
            chance = "retraining" if decision.noise is None else "retraining, or among the validation examples"
            return f"The candidate is better by {number_text(found.gain, 3)}, which is no chance of {chance}."
        case Because.NOT_BETTER:
            stays = "" if decision.launch is not None else ", so the baseline stays"
            return f"Its median is no better than that of the baseline{stays}."
        case Because.FEW_RETRAININGS:
            return "Fewer than 5 of either completed, from which nothing can be said."
        case Because.COMPLEXITY:
            return (
                f"It is better by {number_text(found.gain, 3)}, but wins only {found.pairs_won:.0%} of the pairs of "
                f"single runs, where a change that adds complexity has to win {PAIRS_WON:.0%} (rule AD4)."
            )
        case Because.CHANCE_OF_RETRAINING:
            needed = "" if found.num_needed is None else f"; {found.num_needed} retrainings of each could show it"
            return f"A difference of {number_text(found.gain, 3)} may be chance of retraining{needed}."
        case Because.CHANCE_OF_EXAMPLES:
            more = (
                "more retrainings cannot show it, only more validation examples"
                if found.num_needed is None
                else f"{found.num_needed} retrainings of each could show it, or more validation examples"
            )
            return f"A difference of {number_text(found.gain, 3)} may be chance among the validation examples; {more}."


def _on_errors(decision: Decision) -> list[str]:
    found, noise = decision.comparison, decision.noise
    by_examples = "what the choice of the validation examples adds is not known" if noise is None else noise.text
    return [
        f"Method: {METHOD}; the standard error is {number_text(found.retrain_error, 2)} by retraining, and "
        f"{by_examples}.",
        f"A single run of the candidate beats one of the baseline in {found.pairs_won:.0%} of all pairs.",
    ]


def _on_runs(ends: tuple[Retrainings, Retrainings]) -> list[str]:
    said = []
    for what, each in (("candidate", ends[1]), ("baseline", ends[0])):
        if each.num_infeasible:
            said.append(f"{each.num_infeasible} of the {what}'s retrainings were infeasible, and count as the worst.")
        if each.num_failed:
            said.append(f"{each.num_failed} of the {what}'s retrainings crashed, and do not count.")
        if each.num_outdated:
            said.append(f"{each.num_outdated} earlier retrainings of the {what} by other code do not count (rule AD1).")
    return said


def _on_changes(decision: Decision) -> list[str]:
    steps = decision.steps
    if not steps:
        return ["The hyperparameters are the same: what differs is the code."]
    if all(step.comparison is None for step in steps):
        return []
    flagged = without_evidence(steps)
    if not flagged:
        return ["Every change earns its place." if len(steps) > 1 else "The one change earns its place."]
    names = "; ".join(step.change.text for step in flagged)
    return [
        f"Without evidence: {names}. Keep {form_for(len(flagged), 'it', 'them')} as before unless there is another "
        "reason (rule AD5); each change was judged with those above it made."
    ]


def _on_complexity(decision: Decision) -> str:
    if not decision.complexity:
        return "It adds no complexity, as was said."
    return f"Complexity that it adds, as was said: {decision.complexity}"


def _numbers(decision: Decision) -> dict[str, JsonValue]:
    found = decision.comparison
    numbers: dict[str, JsonValue] = {
        "verdict": str(found.verdict),
        "because": str(found.because),
        "launch": None if decision.launch is None else decision.launch.number,
        "candidate": decision.candidate.text,
        "baseline": decision.baseline.text,
        "gain": found.gain if math.isfinite(found.gain) else None,
        "probability": found.probability,
        "method": METHOD,
        "pairs_won": found.pairs_won,
        "num_needed": found.num_needed,
        "sampling_error": found.sampling_error,
        "without_evidence": [name for step in without_evidence(decision.steps) for name in step.change.names],
        "is_constant_rate": decision.is_constant_rate,
        "is_saturated": is_saturated(decision.gains),
    }
    for what, each in (("candidate", decision.ends[1]), ("baseline", decision.ends[0])):
        numbers |= {
            f"{what}_median": each.median,
            f"{what}_std": each.deviation,
            f"{what}_values": [*each.values],
            f"{what}_num_retrains": each.num,
            f"{what}_num_infeasible": each.num_infeasible,
        }
    return numbers


def _tables(decision: Decision) -> list[ShownTable]:
    names = (("candidate", decision.ends[1]), ("baseline", decision.ends[0]))
    rows: list[tuple[Cell, ...]] = [
        (what, each.num, each.median, each.deviation, min(each.values, default=None), max(each.values, default=None))
        for what, each in names
    ]
    tables = [
        ShownTable(
            title=f"The {decision.ends[1].objective.name} of retrainings",
            columns=("", "retrainings", "median", "standard deviation", "lowest", "highest"),
            rows=tuple(rows),
            leading=(0,) if decision.comparison.verdict is Verdict.ADOPT else (),
        )
    ]
    is_measured = any(step.comparison is not None for step in decision.steps)
    columns = ("change", "median with it", "gain", "probability of improvement", "earns its place")
    if decision.steps:
        tables.append(
            ShownTable(
                title="From the baseline to the candidate" + (", a change at a time" if is_measured else ""),
                columns=columns if is_measured else columns[:1],
                rows=tuple(_step_row(step)[: None if is_measured else 1] for step in decision.steps),
            )
        )
    return tables


def _step_row(step: Step) -> tuple[Cell, ...]:
    found = step.comparison
    if found is None or step.retrainings is None:
        return step.change.text, None, None, None, "not measured"
    gain = found.gain if math.isfinite(found.gain) else None
    earns = "yes" if step.has_evidence else "no: it is worse" if found.probability <= 1 - SURE else "no evidence"
    return step.change.text, step.retrainings.median, gain, _probability(found.probability), earns


def _plot(decision: Decision) -> ShownPlot:
    name = decision.ends[1].objective.name
    series, lines = [], []
    for what, each, is_reference in (("candidate", decision.ends[1], False), ("baseline", decision.ends[0], True)):
        x, y = histogram_points(each.values)
        series.append(ShownSeries(name=f"{what}, {len(x)} retrainings", x=x, y=y, is_reference=is_reference))
        if each.median is not None:
            lines.append(ShownLine(text=f"median of the {what}", x=each.median))
    return ShownPlot(
        title="Retrainings of candidate and baseline",
        label=f"The share of retrainings whose {name} is at most as large, for the candidate and the baseline",
        x_name=name,
        y_name="share of retrainings at most as large",
        series=tuple(series),
        lines=tuple(lines),
    )


def _next(decision: Decision, storage: str) -> list[NextCommand]:
    found, round_ = decision.comparison, decision.candidate.round.name
    if decision.launch is not None:
        reason = f"launch {decision.launch.number}" if decision.was_read else None
        last = NextCommand(
            sentence="When tuning is over, and not before, read the test set "
            + ("again, which asks for a reason:" if decision.was_read else "once:"),
            command=command_of("test", round_, storage, {"reason": reason}),
        )
        return (
            [last] if is_saturated(decision.gains) else [_explore("It is the baseline now.", decision, storage), last]
        )
    if found.verdict is Verdict.NOT_ENOUGH_EVIDENCE and found.num_needed is not None:
        options: dict[str, Option] = {
            "against": decision.against,
            "complexity": decision.complexity or "none",
            "num_retrains": found.num_needed,
        }
        return [
            NextCommand(
                sentence=f"With {found.num_needed} retrainings of each the difference would show, were it as large:",
                command=command_of("launch", round_, storage, options),
            )
        ]
    return [_explore("The baseline stays.", decision, storage)]


def _explore(outcome: str, decision: Decision, storage: str) -> NextCommand:
    """Exploring goes on: with what the candidate's round proposes, or with another question."""
    if not decision.has_changes:
        return NextCommand(sentence=f"{outcome} {another_question(decision.job)}")
    return NextCommand(
        sentence=f"{outcome} Learn what this round has shown, and go on with what it proposes:",
        command=command_of("propose", decision.candidate.round.name, storage),
    )
