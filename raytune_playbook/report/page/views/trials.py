"""What the page's script knows of the trials: for the table of all of them, for plots, and for each one's own view.

It is data and no HTML: the script makes elements of it, a part at a time, so that a page of thousands stays quick.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from raytune_playbook.analysis.input_pipeline import step_time
from raytune_playbook.analysis.judging.candidates import Candidate, candidates
from raytune_playbook.analysis.judging.objective import Best
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import ABSENT, duration_text
from raytune_playbook.records.types import Attempt
from raytune_playbook.report.figures.figure import Json
from raytune_playbook.report.figures.style import COLOURS, DARK_GREY, GREY, Looks, trial_name
from raytune_playbook.report.formatting import arm_text, arm_values_text
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.extras import Extras
from raytune_playbook.report.page.views.findings import finding_anchors
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.study import StudySpec

MAX_TRIALS_OF_A_FINDING = 50


def page_data(insight: Insight, extras: Extras, looks: Looks) -> dict[str, Json]:
    """What the script is given beside the figures; ``script/trial.js`` and its neighbours read it."""
    reading, evidence = insight.reading, insight.evidence
    objective, record = evidence.objective, reading.record
    studies = {study.name: study for study in reading.studies}
    return {
        "round": record.name,
        "job": record.job,
        "storage": extras.storage,
        "objective": {**objective.model_dump(mode="json"), "name": objective.name, "text": insight.judged_by},
        "scientific": list(evidence.scientific),
        "varied": reading.varied,
        "colours": {**COLOURS, GREY: DARK_GREY},
        "studies": [_study(study, looks) for study in reading.studies],
        "candidates": [_candidate(each) for each in candidates(evidence)],
        "findings": _findings(insight),
        "trials": [_trial(insight, extras, trial, studies[trial.study]) for trial in evidence.trials],
    }


def _study(study: StudySpec, looks: Looks) -> dict[str, Json]:
    look = looks[study.name]
    return {
        "name": study.name,
        "arm": arm_text(study.arm, study.name),
        "values": arm_values_text(study.arm, study.name),
        "fixed": study.fixed,
        "sets": dict(study.sets),
        "symbol": look.symbol,
        "sign": look.sign,
        "colour": look.colour,
        "dark": look.dark_colour,
    }


def _candidate(candidate: Candidate) -> dict[str, Json]:
    split, metric = candidate.evaluation
    kinds = {"lowest": candidate.lowest, "highest": candidate.highest, "last": candidate.last}
    return {"split": split, "metric": metric, **{name: _columns(found) for name, found in kinds.items()}}


def _columns(found: Sequence[Best | None]) -> Json:
    return {
        "values": [None if best is None else float(f"{best.value:.6g}") for best in found],
        "steps": [None if best is None else best.step for best in found],
    }


def _findings(insight: Insight) -> list[Json]:
    """Those that point to trials."""
    return [
        {
            "anchor": anchor,
            "question": finding.question,
            "status": str(finding.status),
            "sentence": finding.sentence,
            "trials": [trial_name(name) for name in finding.trials[:MAX_TRIALS_OF_A_FINDING]],
        }
        for anchor, finding in zip(finding_anchors(insight.findings), insight.findings, strict=True)
        if finding.trials
    ]


def _trial(insight: Insight, extras: Extras, trial: Trial, study: StudySpec) -> dict[str, Json]:
    """One trial; what it does not have is left out, and of its values those that its study fixes."""
    time, training, is_foreign = step_time([trial]), trial.training, insight.reading.origin is not None
    known: dict[str, Json] = {
        "name": trial_name(trial.id),
        "text": trial.text,
        "study": trial.study,
        "index": trial.index,
        "repeat": trial.repeat or None,
        "outcome": trial.outcome or "unfinished",
        "is_stopped_early": trial.is_stopped_early or None,
        "values": {name: _finite(value) for name, value in trial.values.items() if not _is_fixed(study, name, value)},
        "objective": _finite(trial.objective),
        "step": trial.best_step,
        "reason": trial.reason,
        "traceback": trial.last_traceback,
        "error": error_of(trial) or None,
        "steps": training.num_steps if training else None,
        "train_s": training.train_s if training else None,
        "time": duration_text(training.train_s) if training else ABSENT,
        "parameters": training.num_parameters if training else None,
        "waiting": time.input_share if time else None,
        "gradient_norm_p90": _gradient_norm(insight, trial),
        "attempts": [] if is_foreign else [_attempt(attempt) for attempt in trial.attempts],
        "recorded_as": _recorded_as(trial) if is_foreign else None,
        "machine": _machine(trial),
        "is_without_checkpoints": trial.checkpoints_deleted or None,
        "logs": [_log(path) for path in extras.logs.get(trial.id, ())],
    }
    return {name: value for name, value in known.items() if value is not None and value != []}


def _gradient_norm(insight: Insight, trial: Trial) -> float | None:
    """The 90th percentile over all steps; None where none is known."""
    curves = insight.evidence.curves.get(trial.id)
    digest = curves.digests.get("gradient_norm") if curves else None
    return None if digest is None or math.isnan(digest.quantiles[90]) else float(f"{digest.quantiles[90]:.4g}")


def _is_fixed(study: StudySpec, name: str, value: Value) -> bool:
    return name in study.fixed and study.fixed[name] == value


def _finite(value: Value) -> Value:
    """JSON knows neither NaN nor infinity: they become texts."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def error_of(trial: Trial) -> str:
    """The last line of a trial's newest traceback."""
    return (trial.last_traceback or "").strip().rpartition("\n")[2]


def _recorded_as(trial: Trial) -> str:
    """What another tool calls the trial, and when it started there."""
    (attempt,) = trial.attempts
    started = f", started {attempt.started_at[:19].replace('T', ' ')}" if attempt.started_at else ""
    return f"{attempt.gang}{started}"


def _attempt(attempt: Attempt) -> Json:
    known: Mapping[str, Json] = {
        "number": attempt.number,
        "gang": attempt.gang,
        "started": attempt.started_at,
        "ended": attempt.ended,
        "first_step": attempt.first_step,
    }
    return {name: value for name, value in known.items() if value not in (None, "")}


def _machine(trial: Trial) -> str | None:
    machine = trial.machine
    if not machine.torch:
        return None
    hosts: Sequence[str] = tuple(dict.fromkeys(machine.hosts))
    where = f" on {', '.join(hosts)}" if hosts else ""
    gang = f"{_number_of(machine.num_workers, 'worker')} of {_number_of(machine.threads_per_worker, 'thread')}{where}"
    return f"{gang}; torch {machine.torch}, {machine.cpu_capability}, {machine.device}"


def _number_of(number: int, things: str) -> str:
    return f"{number:,} {things}{'' if number == 1 else 's'}"


def _log(path: str) -> list[Json]:
    """A log's path within the round's folder, and its name: ``attempt 1, rank 0``."""
    parts = path.rsplit(".", 3)[1:3]  # <trial>.attempt1.rank0.log
    return [path, ", ".join(re.sub(r"(?<=[a-z])(?=\d)", " ", part) for part in parts)]
