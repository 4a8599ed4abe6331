"""The check before trial 0: a few steps and an evaluation on one gang, not recorded.

It trains a round's first points, up to the first one that is not infeasible, since an infeasible one shows little of
what a round needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console

from raytune_playbook.analysis.metrics import not_reported
from raytune_playbook.data.examples import SAMPLED_FRAGMENTS, Examples
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.jobs.preflight import NUM_CHECKED, workload_of
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.errors import RunError, SpecError
from raytune_playbook.report.formatting import duration_text, number_text
from raytune_playbook.report.tracebacks import from_users_code
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.workload import Values

CHECK_STEPS = 3

MAX_POINTS = 3
"""As many points are trained before the check says that none of them could be."""


def try_out(running: RunningRound, context: RoundContext, *, num_left: int) -> float | None:
    """Train a few steps and evaluate on one gang; the estimate of the whole round's seconds follows from their time.

    Raises:
        InputError: the workload breaks a rule, or reports no such metric as the round is judged by.
        RunError: its code raises.
    """
    round_, session, console = running.round, running.session, running.console
    points, infeasible = _points(round_)
    ended = AttemptEnd(Cause.STOPPED)
    for spec in points:
        with console.status("Starting workers and checking a few steps and an evaluation ..."):
            ended = session.try_out(context, _shortened(spec))
        _require_success(ended)
        if ended.end is not None:
            _require_metric(ended.end, round_.objective)
        if ended.cause is not Cause.INFEASIBLE:
            break
        infeasible[spec.key] = ended.end.reason or "" if ended.end else ""
    trial_s = _trial_s(ended, round_)
    estimate_s = None if trial_s is None else trial_s * num_left / max(1, min(session.capacity(), num_left))
    about = f"; the round will take about {duration_text(round(estimate_s))}" if estimate_s else ""
    console.print(f"  Check: {_what_happened(ended, infeasible, round_)}{about}", soft_wrap=True, markup=False)
    _say_what_is_not_finite(console, context.examples)
    return estimate_s


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


def _points(round_: Round) -> tuple[list[TrialSpec], dict[str, str]]:
    """The points to train, and by the key of their trial why earlier ones are infeasible: the workload says so."""
    study, declared = round_.studies[0], {}
    points = [suggest(study, index) for index in range(min(study.num_trials, NUM_CHECKED))]
    for spec in points:
        if (reason := workload_of(round_).infeasible(Values(spec.values))) is None:
            break
        declared[spec.key] = f"declared: {reason}"
    left = points[len(declared) :]
    return (left[:MAX_POINTS], declared) if left else (points[:1], {})


def _shortened(spec: TrialSpec) -> TrialSpec:
    steps = min(CHECK_STEPS, spec.max_train_steps)
    values = spec.values | {"warmup_steps": 0, "decay_steps": None}
    return spec.model_copy(update={"max_train_steps": steps, "evaluation_interval_steps": steps, "values": values})


def _require_success(ended: AttemptEnd) -> None:
    if ended.is_input_error:
        raise SpecError(ended.error or "")
    if ended.cause in (Cause.EXCEPTION, Cause.WORKER_DIED, Cause.NODE_LOST):
        shown = from_users_code(ended.traceback or ended.error or "")
        raise RunError(f"The check before trial 0 failed, so no trial was started.\n{shown}")


def _require_metric(end: End, objective: Objective) -> None:
    """An evaluation has been made, even of a trial that was then found infeasible, unless it was declared so."""
    if end.metrics and (sentence := not_reported(objective, end.metrics)) is not None:
        raise SpecError(sentence)


def _what_happened(ended: AttemptEnd, infeasible: Mapping[str, str], round_: Round) -> str:
    """What the check shows, in words.

    Args:
        infeasible: why, by the key of the trial.
    """
    trials = f"trial {next(iter(infeasible), '')} is" if len(infeasible) == 1 else f"trials {', '.join(infeasible)} are"
    points = f"{trials} infeasible ({next(iter(infeasible.values()), '')})"
    if ended.cause is Cause.INFEASIBLE:
        return f"{points}; no other values were tried, so it is not known whether the rest works"
    if ended.end is None or ended.cause is not Cause.COMPLETED:
        return f"it ended early ({ended.cause}), so it is not known whether a trial works"
    objective, steps = round_.objective, ended.end.training.num_steps
    value = ended.end.metrics[objective.split][objective.metric]
    works = f"{steps} steps and an evaluation work"
    if not math.isfinite(value):
        works = f"{steps} steps were trained, but {objective.name} is then {number_text(value)}"
    return f"{points}; with the values of the next trial {works}" if infeasible else works


def _trial_s(ended: AttemptEnd, round_: Round) -> float | None:
    end = ended.end
    if end is None or end.step_s is None or end.evaluation_s is None:
        return None
    budget = round_.budget
    num_evaluations = 1 + -(-budget.max_train_steps // budget.evaluation_interval_steps)
    return end.step_s * budget.max_train_steps + end.evaluation_s * num_evaluations
