"""The check before trial 0: a few steps and an evaluation on one gang, not recorded."""

from __future__ import annotations

from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.errors import RunError, SpecError
from raytune_playbook.report.formatting import duration_text
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.round import Round

CHECK_STEPS = 3


def try_out(running: RunningRound, context: RoundContext, *, num_left: int) -> float | None:
    """Train a few steps and evaluate on one gang; the estimate of the whole round's seconds follows from their time.

    Raises:
        InputError: the workload breaks a rule.
        RunError: its code raises.
    """
    round_, session, console = running.round, running.session, running.console
    first = suggest(round_.studies[0], 0)
    steps = min(CHECK_STEPS, first.max_train_steps)
    update = {"max_train_steps": steps, "evaluation_interval_steps": steps}
    values = first.values | {"warmup_steps": 0, "decay_steps": None}
    spec = first.model_copy(update=update | {"values": values})
    with console.status("Starting workers and checking a few steps and an evaluation ..."):
        ended = session.try_out(context, spec)
    if ended.is_input_error:
        raise SpecError(ended.error or "")
    if ended.cause in (Cause.EXCEPTION, Cause.WORKER_DIED, Cause.NODE_LOST):
        raise RunError(f"The check before trial 0 failed, so no trial was started.\n{(ended.traceback or '').rstrip()}")
    trial_s = _trial_s(ended, round_)
    estimate_s = None if trial_s is None else trial_s * num_left / max(1, min(session.capacity(), num_left))
    about = f"; the round will take about {duration_text(round(estimate_s))}" if estimate_s else ""
    console.print(f"  Check: {steps} steps and an evaluation work{about}", soft_wrap=True)
    return estimate_s


def _trial_s(ended: AttemptEnd, round_: Round) -> float | None:
    end = ended.end
    if end is None or end.step_s is None or end.evaluation_s is None:
        return None
    budget = round_.budget
    num_evaluations = 1 + -(-budget.max_train_steps // budget.evaluation_interval_steps)
    return end.step_s * budget.max_train_steps + end.evaluation_s * num_evaluations
