"""What a next study changes, in words: for the terminal, and for the header of its job file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.next_study.next_study import NextStudy
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text, duration_text, form_for
from raytune_playbook.procedures.propose.python_text import LINE_LENGTH
from raytune_playbook.report.insight import Insight
from raytune_playbook.study.checks.rules_of_thumb import price
from raytune_playbook.study.round import Round


def closed_text(insight: Insight) -> str:
    """What is said where no job file could change anything."""
    name, is_open = insight.reading.record.name, any(finding.is_open for finding in insight.findings)
    if not is_open and not insight.next_study.advice:
        return f"The checklist of {name} is closed: nothing is to be changed."
    return "\n".join(
        [
            f"No finding of {name} asks for a change that a job file could make.",
            *_advice(insight.next_study),
            *(f"- {finding.sentence} ({finding.rule})" for finding in _without_proposal(insight.findings)),
        ]
    )


def changes_text(insight: Insight) -> str:
    """The changes, and what a person has to decide."""
    changes = [f"- {proposed.sentence}" for proposed in insight.next_study.changes]
    name, is_open = insight.reading.record.name, any(finding.is_open for finding in insight.findings)
    head = f"After {name} the next study:" if is_open else f"The checklist of {name} is closed; what may be gained yet:"
    return "\n".join([head, *changes, *_advice(insight.next_study)])


def _advice(next_study: NextStudy) -> list[str]:
    sentences = [f"- {sentence} ({finding.rule})" for sentence, finding in next_study.advice]
    return ["What a person has to decide:", *sentences] if sentences else []


def _without_proposal(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.is_open and finding.proposal is None]


def unfinished_text(insight: Insight) -> str | None:
    """That a round has trials to come, which may change its findings; None where it has not."""
    if insight.evidence.is_finished:
        return None
    total = insight.reading.summary.total
    ended = f"{total.num_ended} of {total.planned} trials {form_for(total.num_ended, 'has', 'have')} ended"
    return f"{insight.reading.record.name} has not finished ({ended})."


def cost_text(new: Round, trials: Iterable[Trial]) -> str:
    """What a round costs, by the time that steps of an earlier one's trials took (rule SD9)."""
    cost = price(new)
    size = f"{count_text(cost.num_trials)} trials of {count_text(new.budget.max_train_steps)} steps"
    trained = [trial.training for trial in trials if trial.training is not None and trial.training.num_steps]
    if not trained:
        return size
    per_step_s = sum(training.train_s for training in trained) / sum(training.num_steps for training in trained)
    seconds = cost.num_trials * new.budget.max_train_steps * per_step_s
    return f"{size}, about {duration_text(seconds)} of training on one gang as fast as the trials before"


def header(insight: Insight, new: Round, *, run: str, propose: str, job: str) -> str:
    """The docstring of a job file: what it asks, how to run it, and which finding asked for which change.

    Args:
        run: the command that runs it.
        propose: the command that has made it.
        job: the job file of the round before.
    """
    return "\n".join(_header_lines(insight, new, run, propose, job))


def _header_lines(insight: Insight, new: Round, run: str, propose: str, job: str) -> Iterator[str]:
    yield from _wrapped(new.goal, "", "")
    yield ""
    facts = {"Command:": run, "After:": f"{insight.reading.record.name}, {job}", "Made by:": propose}
    facts["Costs:"] = cost_text(new, insight.evidence.first_runs)
    for name, fact in facts.items():
        yield from _wrapped(fact, f"{name:<11}", " " * 11)
    if (unfinished := unfinished_text(insight)) is not None:
        yield from _wrapped(unfinished, f"{'Note:':<11}", " " * 11)
    yield ""
    yield "What is changed, and which finding asked for it:"
    for proposed in insight.next_study.changes:
        yield from _wrapped(proposed.words, "- ", "  ")
        for finding in proposed.findings:
            studies = f", {', '.join(finding.studies)}" if finding.studies else ""
            yield from _wrapped(f"{finding.rule} ({finding.status}{studies}): {finding.sentence}", "    ", "    ")
    advice = [f"{sentence} ({finding.rule}: {finding.sentence})" for sentence, finding in insight.next_study.advice]
    advice += [f"{finding.rule}: {finding.sentence}" for finding in _without_proposal(insight.findings)]
    if advice:
        yield ""
        yield "What a person has to decide:"
        for sentence in advice:
            yield from _wrapped(sentence, "- ", "  ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        LINE_LENGTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
