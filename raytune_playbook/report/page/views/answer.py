"""The page's first screen: the answer, and the best trial of every scientific value (rules IN13, IN18 and SD8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.answer.answer import Answer, ArmAnswer, Verdict
from raytune_playbook.analysis.answer.study_variance import SURE
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.analysis.summary import counts
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import ABSENT, bytes_text, count_text, duration_text, number_text
from raytune_playbook.report.formatting import counts_text, objective_text
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.findings import FindingLink, finding_links
from raytune_playbook.report.page.views.parts import TrialLink, step_text, trial_link, trial_value
from raytune_playbook.report.reading import MAX_ARMS_SHOWN
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION
from raytune_playbook.study.wording import value_text

_SPLITS = {"validation": "sampled validation", FULL_VALIDATION: "validation"}
"""What the page calls them where evaluations scored a sample."""

_TONES = {Verdict.BETTER: "good", Verdict.NO_DIFFERENCE: "even", Verdict.CANNOT_TELL: "open"}


@dataclass(frozen=True)
class AnswerRow:
    """One combination of scientific values, and its best trial.

    Fields:
        values: one under each of the view's ``arm_heads``.
        is_leading: whether it is the best, or cannot be told from it; ``standing`` says which of the two.
        trial: the best; None where no trial was completed.
        objective: of the best.
        numbers: one under each of the view's ``number_heads``.
        details: one under each of the view's ``detail_heads``.
        num_ended, counts: trials, and how they ended in words.
    """

    study: str
    values: tuple[str, ...]
    is_leading: bool
    standing: str
    trial: TrialLink | None
    objective: str
    numbers: tuple[str, ...]
    details: tuple[str, ...]
    num_ended: int
    counts: str


@dataclass(frozen=True)
class AnswerView:
    """The answer to the round's question, as far as it is known.

    Fields:
        verdict, tone: in a few words, and how they look.
        sentence, reasons: as the answer says.
        open_findings: that withhold or qualify it.
        arm_heads, objective_head, number_heads, detail_heads: of the tables' columns.
        num_hidden: combinations of scientific values that are not shown.
        judged_by: the objective, in words; ``instead_of`` the round's own where it is another one.
        sure: how often a value has to be the best for its lead to be no luck.
        caveats: the fixed hyperparameters.
        beyond: what is told beyond what the playbook asks for.
    """

    verdict: str
    tone: str
    sentence: str
    reasons: tuple[str, ...]
    open_findings: tuple[FindingLink, ...]
    arm_heads: tuple[str, ...]
    objective_head: str
    number_heads: tuple[str, ...]
    detail_heads: tuple[str, ...]
    rows: tuple[AnswerRow, ...]
    num_hidden: int
    judged_by: str
    instead_of: str | None
    sure: str
    caveats: tuple[str, ...]
    beyond: tuple[str, ...]


def answer_view(insight: Insight, metrics: Mapping[TrialId, Mapping[Evaluation, float]]) -> AnswerView:
    """What came out of a round.

    Args:
        insight: the round.
        metrics: what the best trial of every scientific value scored at its best step.
    """
    reading, evidence, answer = insight.reading, insight.evidence, insight.answer
    arms = _shown(answer)
    measured = {each.arm.best.id: metrics.get(each.arm.best.id, {}) for each in arms if each.arm.best}
    columns = _columns(evidence, arms)
    others, names = _other_metrics(insight, measured.values())
    own = reading.record.objective
    return AnswerView(
        verdict=str(answer.verdict),
        tone=_TONES.get(answer.verdict, "none"),
        sentence=answer.sentence,
        reasons=answer.reasons,
        open_findings=finding_links(insight.findings, answer.open_findings),
        arm_heads=evidence.scientific or ("study",),
        objective_head=evidence.objective.name,
        number_heads=tuple(columns),
        detail_heads=("at step", *reading.varied, *names, "time"),
        rows=tuple(_row(insight, each, columns, measured, others) for each in arms),
        num_hidden=len(answer.arms) - len(arms),
        judged_by=insight.judged_by,
        instead_of=None if evidence.objective == own else objective_text(own),
        sure=f"{SURE:.1%}",
        caveats=answer.caveats,
        beyond=answer.beyond,
    )


def _shown(answer: Answer) -> Sequence[ArmAnswer]:
    """All arms in their order, or the best of them where they are very many."""
    if len(answer.arms) <= MAX_ARMS_SHOWN:
        return answer.arms
    known = [arm for arm in answer.arms if arm.behind is not None]
    return sorted(known, key=lambda arm: arm.behind or 0.0)[:MAX_ARMS_SHOWN]


def _columns(evidence: Evidence, arms: Sequence[ArmAnswer]) -> dict[str, list[str]]:
    """By the head of its column, a text for each arm: how sure its best is, and what it costs (rule IN20)."""
    columns: dict[str, list[str]] = {}
    if any(each.interval for each in arms):
        columns["8 of 10 searches reach"] = [_interval_text(each) for each in arms]
    if any(each.probability_best is not None for each in arms):
        columns["best with half the points"] = [_probability_text(each.probability_best) for each in arms]
    if len(evidence.arms) > 1:
        columns["behind the best"] = [_behind_text(evidence, each) for each in arms]
    columns["time per step"] = [duration_text(_per_step_s(each.arm.best)) for each in arms]
    trainings = [each.arm.best.training if each.arm.best else None for each in arms]
    columns["parameters"] = [count_text(training.num_parameters if training else None) for training in trainings]
    columns["peak memory"] = [bytes_text(training.peak_memory_bytes if training else None) for training in trainings]
    return {head: texts for head, texts in columns.items() if any(text != ABSENT for text in texts)}


def _other_metrics(
    insight: Insight, measured: Iterable[Mapping[Evaluation, float]]
) -> tuple[list[Evaluation], list[str]]:
    """What was evaluated beside the objective, and how it is called."""
    objective = insight.evidence.objective
    found = list(measured)
    on_all = Evaluation(FULL_VALIDATION, objective.metric)  # where evaluations scored a sample (rule EV8)
    is_on_all = any(on_all in scores for scores in found)
    judged_by = on_all if is_on_all else Evaluation(objective.split, objective.metric)
    others = list(dict.fromkeys(name for scores in found for name in scores if name != judged_by))
    return others, [f"{_SPLITS.get(split, split) if is_on_all else split} {metric}" for split, metric in others]


def _row(
    insight: Insight,
    given: ArmAnswer,
    columns: Mapping[str, Sequence[str]],
    measured: Mapping[TrialId, Mapping[Evaluation, float]],
    others: Sequence[Evaluation],
) -> AnswerRow:
    arm, trial = given.arm, given.arm.best
    place = next(number for number, each in enumerate(_shown(insight.answer)) if each is given)
    values = [value_text(arm.values[name]) if name in arm.values else ABSENT for name in insight.evidence.scientific]
    details: list[str] = []
    if trial is not None:
        details = [step_text(trial), *_values(arm, trial, insight.reading.varied)]
        details += [number_text(measured.get(trial.id, {}).get(name)) for name in others]
        details.append(duration_text(trial.training.train_s if trial.training else None))
    ended = counts(arm.ended, planned=arm.planned)
    return AnswerRow(
        study=arm.study,
        values=tuple(values or [arm.study]),
        is_leading=given.is_leading,
        standing=_standing(insight.answer, given),
        trial=trial_link(trial) if trial else None,
        objective=number_text(trial.objective) if trial else ABSENT,
        numbers=tuple(texts[place] for texts in columns.values()),
        details=tuple(details),
        num_ended=ended.num_ended,
        counts=counts_text(ended),
    )


def _values(arm: Arm, trial: Trial, names: Sequence[str]) -> list[str]:
    """Of the hyperparameters that were tuned; one of another scientific value does not exist here (rule SD5)."""
    return [trial_value(trial, name) if name in arm.space else ABSENT for name in names]


def _standing(answer: Answer, given: ArmAnswer) -> str:
    """What one may say of a leading row: a tie is called a tie."""
    if not given.is_leading or len(answer.arms) < 2:
        return ""
    if answer.verdict is Verdict.BETTER:
        return "best"
    if answer.verdict is Verdict.NO_DIFFERENCE:
        return "tied"
    return "may be as good" if given.behind else "ahead, not settled"


def _interval_text(given: ArmAnswer) -> str:
    return ABSENT if given.interval is None else " to ".join(number_text(end, 3) for end in given.interval)


def _probability_text(probability: float | None) -> str:
    if probability is None:
        return ABSENT
    return "under 1%" if probability < 0.01 else "over 99%" if probability > 0.99 else f"{probability:.0%}"


def _behind_text(evidence: Evidence, given: ArmAnswer) -> str:
    if given.behind is None or (given.arm.best and evidence.ranked and given.arm.best is evidence.ranked[0]):
        return ABSENT
    return number_text(given.behind, 2)


def _per_step_s(trial: Trial | None) -> float | None:
    training = trial.training if trial else None
    return training.train_s / training.num_steps if training and training.num_steps else None


def arm_names(arms: Iterable[Arm]) -> dict[str, str]:
    """What a plot calls a study: its scientific values."""
    return {arm.study: ", ".join(map(value_text, arm.values.values())) or arm.study for arm in arms}
