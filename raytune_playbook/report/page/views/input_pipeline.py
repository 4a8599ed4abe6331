"""Where the time of training steps goes: shares by part, whether training is input-bound, and traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.input_pipeline import INPUT_BOUND_SHARE, StepTime, finding, of_each_study, of_round
from raytune_playbook.analysis.wording import ABSENT, duration_text
from raytune_playbook.records.types import PIPELINE_STAGES, ExamplesRecord
from raytune_playbook.report.formatting import arm_values_text
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.report.rules import explained

MAX_SKIPPED_SHOWN = 20

_PARTS = {
    "wait_s": "waiting for data",
    "transfer_s": "copy to device",
    "augment_s": "augmentation",
    "sync_s": "synchronization",
    "compute_s": "computing",
}


@dataclass(frozen=True)
class ExamplesView:
    """What was trained on, and what was left out of it.

    Fields:
        numbers: of examples by split.
        mode: how they got to the training.
        preprocessed: where examples that were preprocessed before are stored; None where they were not.
        num_skipped: parts that could not be read, of which ``skipped`` has a sentence each for the first ones.
        is_overlap_known: whether it was looked at.
    """

    numbers: str
    mode: str
    preprocessed: str | None
    num_skipped: int
    skipped: tuple[str, ...]
    is_overlap_known: bool


@dataclass(frozen=True)
class StepTimeRow:
    """Of the trials of a study, or of all trials where ``study`` is None.

    Fields:
        arm: the study's scientific values.
        step: how long a training step took.
        shares: of its time, one under each of the view's ``part_heads``.
        works: what the pipeline worked per step, by stage.
    """

    study: str | None
    arm: str
    step: str
    shares: tuple[str, ...]
    works: str


@dataclass(frozen=True)
class InputPipelineView:
    """The input pipeline.

    Fields:
        finding: a sentence where training waits for its input (rule PI1).
        examples: None in rounds of earlier versions.
        arm_head, part_heads: of the table's columns.
        rows: one for each study whose times are known.
        input_bound_share: from which on training is called input-bound.
        profiles: paths of traces within the round's folder.
    """

    finding: str | None
    examples: ExamplesView | None
    arm_head: str
    part_heads: tuple[str, ...]
    rows: tuple[StepTimeRow, ...]
    input_bound_share: str
    profiles: tuple[str, ...]


def input_pipeline_view(reading: RoundReading, profiles: Sequence[str]) -> InputPipelineView | None:
    """Shares of the steps' time by scientific value (rule PI1), and traces (rule PI4).

    None where nothing is known, as of another tool's trials, of which only the number of examples may be.

    Args:
        reading: the round.
        profiles: paths of traces within the round's folder.
    """
    rows, examples = _rows(reading), reading.record.examples
    if reading.origin is not None or (not rows and not profiles and examples is None):
        return None
    input_bound = finding(reading.trials, examples)
    return InputPipelineView(
        finding=None if input_bound is None else explained(input_bound),
        examples=None if examples is None else _examples(examples),
        arm_head=", ".join(reading.scientific) or "study",
        part_heads=tuple(_PARTS.values()),
        rows=tuple(rows),
        input_bound_share=f"{INPUT_BOUND_SHARE:.0%}",
        profiles=tuple(profiles),
    )


def _examples(record: ExamplesRecord) -> ExamplesView:
    if record.mode == "streaming":
        mode = f"streamed in windows of {record.window_examples:,}"
    else:
        mode = f"kept in memory ({sum(record.num_bytes.values()) / 2**20:,.1f} MiB on each node)"
    return ExamplesView(
        numbers=", ".join(f"{number:,} {split}" for split, number in record.num_examples.items()),
        mode=mode,
        preprocessed=record.preprocessed or None,
        num_skipped=len(record.skipped),
        skipped=tuple(record.skipped[:MAX_SKIPPED_SHOWN]),
        is_overlap_known=record.overlaps is not None,
    )


def _rows(reading: RoundReading) -> list[StepTimeRow]:
    times = of_each_study(reading.trials)
    arms = {study.name: arm_values_text(study.arm, study.name) for study in reading.studies}
    shown = dict.fromkeys(arm.study for arm in reading.arms if arm.study in times)
    rows = [_row(study, arms[study], times[study]) for study in shown]
    if rows and len(times) > 1 and (whole := of_round(reading.trials)) is not None:
        rows.append(_row(None, "all trials", whole))
    return rows


def _row(study: str | None, arm: str, time: StepTime) -> StepTimeRow:
    busy_s = {stage: time.stages.get(stage, 0.0) / time.num_steps for stage in PIPELINE_STAGES}
    works = ", ".join(f"{stage} {duration_text(each_s)}" for stage, each_s in busy_s.items() if each_s > 0)
    return StepTimeRow(
        study=study,
        arm=arm,
        step=duration_text(time.mean_ms() / 1000),
        shares=tuple(f"{time.share(column):.1%}" for column in _PARTS),
        works=works or ABSENT,
    )
