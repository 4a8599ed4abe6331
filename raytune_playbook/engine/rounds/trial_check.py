"""The check before trial 0: a few steps and an evaluation of each study on one gang, not recorded.

It trains a study's first points, up to the first one that is not infeasible, since an infeasible one shows little of
what a study needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from raytune_playbook.analysis.judging.metrics import not_reported
from raytune_playbook.analysis.wording import duration_text, number_text
from raytune_playbook.data.examples import SAMPLED_FRAGMENTS, Examples
from raytune_playbook.engine.driver.pace import Pace
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.jobs.preflight import NUM_CHECKED, workload_of
from raytune_playbook.engine.rounds.hosts_reach import require_reach
from raytune_playbook.engine.rounds.not_used import Look, refuse_not_used
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.engine.rounds.tried import Estimates, Tried, checkpoint_sizes, estimates_s
from raytune_playbook.errors import RunError, SpecError, WorkloadError
from raytune_playbook.report.tracebacks import from_users_code
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.checks.disk_price import disk_price
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective, Resources
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.workload import Values

CHECK_STEPS = 3

NEVER = 1e300
"""A divergence factor that no loss exceeds: a few steps show whether it is a number, and not whether it diverges."""

MAX_POINTS = 3
"""As many points of a study are trained before the check says that none of them could be."""

MAX_STUDIES = 8
"""As many studies are tried out, evenly spaced among those of the round."""


def try_out(running: RunningRound, context: RoundContext, num_left: Mapping[str, int]) -> Estimates:
    """Train a few steps and evaluate on one gang, and estimate what the trials that are left take.

    Args:
        num_left: trials that are left, by study.

    Raises:
        InputError: the workload breaks a rule, or reports no such metric as the round is judged by; or a host does not
            reach the storage.
        WorkloadError: its code raises.
        RunError: a worker or the storage was lost.
    """
    round_, session, console = running.round, running.session, running.console
    studies = [study for study in round_.studies if num_left[study.name]]
    num = min(len(studies), MAX_STUDIES)
    chosen = [studies[number * len(studies) // num] for number in range(num)]
    with console.status("Starting workers and checking a few steps and an evaluation ..."):
        require_reach(context, round_.resources)
        tried: list[Tried] = []
        for study in chosen:
            tried.append(_try_out(running, context, study, tried[-1].ended if tried else None))
        if all(num_left[study.name] == study.num_trials for study in round_.studies):  # before trial 0, and not after
            looks = [Look(each.spec, each.ended) for each in tried]
            refuse_not_used(round_, looks, lambda spec: session.try_out(context, _shortened(spec)))
    trials_s = estimates_s(tried, round_.budget)
    estimate_s = Pace(num_left, round_.budget.max_train_steps, trials_s).left_s(session.capacity(), 0.0)
    about = f"; the round will take about {duration_text(round(estimate_s))}" if estimate_s else ""
    console.print(f"  Check: {_what_happened(tried, round_)}{about}", soft_wrap=True, markup=False)
    _say_what_is_not_finite(console, context.examples)
    sizes = checkpoint_sizes(tried, round_.budget)
    num_of_all = {study.name: num_left[study.name] for study in round_.studies}
    return Estimates(trials_s, disk_price(sizes, num_of_all, round_.budget, session.capacity()))


def _try_out(running: RunningRound, context: RoundContext, study: StudySpec, before: AttemptEnd | None) -> Tried:
    """Train a study's points; ``before`` is how the trial before them ended."""
    points, infeasible = _points(running.round, study)
    ended, took_s, had_workers = AttemptEnd(Cause.STOPPED), 0.0, False
    for spec in points:
        asked_s = time.monotonic()
        ended = running.session.try_out(context, _shortened(spec))
        took_s = time.monotonic() - asked_s
        had_workers = _had_workers(before, ended, running.round.resources)
        before = ended
        _require_success(ended, _shown(spec))
        if ended.end is not None:
            _require_metric(ended.end, running.round.objective)
        if ended.cause is not Cause.INFEASIBLE:
            break
        infeasible[_shown(spec)] = ended.end.reason or "" if ended.end else ""
    return Tried(spec, ended, took_s, had_workers, infeasible)


def _had_workers(before: AttemptEnd | None, ended: AttemptEnd, resources: Resources) -> bool:
    """Whether a trial of the check waited for no workers, but for those that every trial waits for."""
    starts_anew = before is None or (before.restarts_gang and not resources.fresh_workers)
    return not starts_anew and ended.num_attempts == 1


def _say_what_is_not_finite(console: Console, examples: Examples) -> None:
    """Whose loss is a number nevertheless, or who looks for it in vain; and where nobody has looked."""
    columns = {(split, each.column): each.sentence(split) for split, each in reversed(examples.not_finite())}
    for sentence in reversed(columns.values()):
        console.print(f"  Warning: {sentence}, which the loss and its gradient bear", soft_wrap=True, markup=False)
    if examples.stream is not None and (left := len(examples.stream.fragments) - SAMPLED_FRAGMENTS) > 0:
        console.print(
            f"  Of the streamed training examples, {left:,} of {len(examples.stream.fragments):,} parts were not "
            "searched for NaN and infinities",
            soft_wrap=True,
        )


def _points(round_: Round, study: StudySpec) -> tuple[list[TrialSpec], dict[str, str]]:
    """The points to train, and why earlier ones are infeasible where the workload says so."""
    declared: dict[str, str] = {}
    points = [suggest(study, index) for index in range(min(study.num_trials, NUM_CHECKED))]
    for spec in points:
        if (reason := workload_of(round_).infeasible(Values(spec.values))) is None:
            break
        declared[_shown(spec)] = f"declared: {reason}"
    left = points[len(declared) :]
    return (left[:MAX_POINTS], declared) if left else (points[:1], {})


def _shown(spec: TrialSpec) -> str:
    return f"{spec.study}/{spec.key}"


def _shortened(spec: TrialSpec) -> TrialSpec:
    steps = min(CHECK_STEPS, spec.max_train_steps)
    values = spec.values | {"warmup_steps": 0, "decay_steps": None}
    length = {"max_train_steps": steps, "evaluation_interval_steps": steps}
    return spec.model_copy(update=length | {"values": values, "divergence_factor": NEVER})


FAILURES = (Cause.EXCEPTION, Cause.WORKER_DIED, Cause.NODE_LOST, Cause.STORAGE_FAILED, Cause.EXAMPLES_LOST)


def _require_success(ended: AttemptEnd, trial: str) -> None:
    if ended.is_input_error:
        raise SpecError(ended.error or "")
    if ended.cause in FAILURES:
        shown = from_users_code(ended.traceback or ended.error or "")
        # A worker that died, or a node, may have done so for reasons of its own.
        error = WorkloadError if ended.cause is Cause.EXCEPTION else RunError
        raise error(f"The check before trial 0 failed with the values of {trial}, so no trial was started.\n{shown}")


def _require_metric(end: End, objective: Objective) -> None:
    """An evaluation has been made, even of a trial that was then found infeasible, unless it was declared so."""
    if end.metrics and (sentence := not_reported(objective, end.metrics)) is not None:
        raise SpecError(sentence)


def _what_happened(tried: Sequence[Tried], round_: Round) -> str:
    """What the check shows, in words."""
    infeasible = {trial: reason for each in tried for trial, reason in each.infeasible.items()}
    trials_of = {
        reason: [trial for trial in infeasible if infeasible[trial] == reason] for reason in infeasible.values()
    }
    parts = [f"{_are('trial', trials)} infeasible ({reason})" for reason, trials in trials_of.items()]
    studies_of: dict[str, list[str]] = {}
    for each in tried:
        studies_of.setdefault(_outcome(each, round_.objective), []).append(each.spec.study)
    for outcome, studies in studies_of.items():
        parts.append(outcome + _where(studies, round_))
    return "; ".join(parts)


def _outcome(tried: Tried, objective: Objective) -> str:
    ended = tried.ended
    if ended.cause is Cause.INFEASIBLE:
        return "no other values were tried, so it is not known whether the rest works"
    if ended.end is None or ended.cause is not Cause.COMPLETED:
        return f"it ended early ({ended.cause}), so it is not known whether a trial works"
    steps, value = ended.end.training.num_steps, ended.end.metrics[objective.split][objective.metric]
    works = f"{steps} steps and an evaluation work"
    if not math.isfinite(value):
        works = f"{steps} steps were trained, but {objective.name} is then {number_text(value)}"
    return f"with the values of the next trial {works}" if tried.infeasible else works


def _where(studies: Sequence[str], round_: Round) -> str:
    """In which studies that is so, where the round has several."""
    num = len(round_.studies)
    if num == 1:
        return ""
    if len(studies) == num:
        return f" in each of the {num} studies"
    return f" ({', '.join(studies)})" if len(studies) <= 2 else f" in {len(studies)} of the {num} studies"


def _are(what: str, names: Sequence[str]) -> str:
    return f"{what}s {', '.join(names)} are" if len(names) > 1 else f"{what} {names[0]} is"
