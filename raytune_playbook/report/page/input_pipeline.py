"""Where the time of training steps goes, as HTML: shares by part, whether training is input-bound, and traces.

Every text that comes from a record passes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from raytune_playbook.analysis.input_pipeline import INPUT_BOUND_SHARE, StepTime, finding, of_each_study, of_round
from raytune_playbook.records.types import PIPELINE_STAGES, ExamplesRecord
from raytune_playbook.report.figures import Colours
from raytune_playbook.report.formatting import ABSENT, duration_text, value_text
from raytune_playbook.report.page.markup import cell, chip, head, section
from raytune_playbook.report.reading import RoundReading

MAX_SKIPPED_SHOWN = 20

_PARTS = {
    "wait_s": "waiting for data",
    "transfer_s": "copy to device",
    "augment_s": "augmentation",
    "sync_s": "synchronization",
    "compute_s": "computing",
}


def input_pipeline(reading: RoundReading, colours: Colours, profiles: Sequence[str]) -> str:
    """Shares of the steps' time by scientific value (rule PI1), and links to profiler traces (rule PI4).

    Args:
        profiles: paths of traces within the round's folder.
    """
    table, sentence = _table(reading, colours), finding(reading.trials)
    examples = "" if reading.record.examples is None else _examples(reading.record.examples)
    if not table and not profiles and not examples:
        return ""
    warning = f'<p class="warning">{escape(sentence)}</p>' if sentence else ""
    note = (
        '<p class="note">Shares of the training steps\' time of completed trials, evaluations not included, on the '
        "worker that waited longest for its batches. Synchronization is the time in collectives between workers. "
        f"From {INPUT_BOUND_SHARE:.0%} of waiting for data, copy and augmentation together, training is called "
        "input-bound. What the pipeline works goes on beside the steps.</p>"
    )
    return section("input", "Input pipeline", warning + examples + (table + note if table else "") + _traces(profiles))


def _examples(record: ExamplesRecord) -> str:
    """What was trained on, and what was left out of it."""
    numbers = ", ".join(f"{number:,} {split}" for split, number in record.num_examples.items())
    how = (
        f"streamed in windows of {record.window_examples:,}"
        if record.mode == "streaming"
        else f"kept in memory ({sum(record.num_bytes.values()) / 2**20:,.1f} MiB on each node)"
    )
    source = f"; preprocessed before, in <code>{escape(record.preprocessed)}</code>" if record.preprocessed else ""
    skipped = "".join(f"<li>{escape(sentence)}</li>" for sentence in record.skipped[:MAX_SKIPPED_SHOWN])
    left_out = (
        f'<p class="warning">{len(record.skipped):,} part(s) of the examples could not be read and were left out, as '
        f"the workload allows:</p><ul>{skipped}</ul>"
        if record.skipped
        else ""
    )
    unknown = " Whether splits overlap was not looked at." if record.overlaps is None else ""
    return f"<p>Examples: {numbers}; {how}{source}.{unknown}</p>{left_out}"


def _table(reading: RoundReading, colours: Colours) -> str:
    times = of_each_study(reading.trials)
    shown = dict.fromkeys(arm.study for arm in reading.arms if arm.study in times)
    if not shown:
        return ""
    arms = {
        study.name: ", ".join(value_text(value) for value in study.arm.values()) or study.name
        for study in reading.studies
    }
    rows = "".join(
        f"<tr><td>{chip(study, colours)}{escape(arms[study])}</td>{_cells(times[study])}</tr>" for study in shown
    )
    if len(times) > 1 and (whole := of_round(reading.trials)) is not None:
        rows += f"<tr><td>all trials</td>{_cells(whole)}</tr>"
    heads = "".join(head(name, "number") for name in ("training step", *_PARTS.values()))
    heads = f"{head(', '.join(reading.scientific) or 'study')}{heads}{head('pipeline works, per step')}"
    return (
        f'<div class="scroll"><table class="compact"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cells(time: StepTime) -> str:
    busy = {stage: time.stages.get(stage, 0.0) / time.num_steps for stage in PIPELINE_STAGES}
    works = ", ".join(f"{stage} {duration_text(each_s)}" for stage, each_s in busy.items() if each_s > 0)
    shares = "".join(cell(f"{time.share(column):.1%}", "number") for column in _PARTS)
    return cell(duration_text(time.mean_ms() / 1000), "number") + shares + cell(works or ABSENT)


def _traces(profiles: Sequence[str]) -> str:
    if not profiles:
        return ""
    links = ", ".join(f'<a href="../{escape(quote(path))}">{escape(path)}</a>' for path in profiles)
    return f"<p>Profiler traces, to be opened in Perfetto (ui.perfetto.dev): {links}</p>"
