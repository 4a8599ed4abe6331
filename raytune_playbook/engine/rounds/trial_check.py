"""The check before trial 0: a few steps and an evaluation on one gang, not recorded."""

from __future__ import annotations

from raytune_playbook.engine.driver.pace import Pace
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.errors import RunError, SpecError
from raytune_playbook.report.formatting import duration_text
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.round import Round

CHECK_STEPS = 3


def try_out(running: RunningRound, context: RoundContext, *, num_left: int) -> float | None:
    """Train a few steps and evaluate on one gang; the estimate of a trial's seconds follows from their time.

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
    estimate_s = Pace(num_left, round_.budget.max_train_steps, trial_s).left_s(session.capacity(), 0.0)
    about = f"; the round will take about {duration_text(round(estimate_s))}" if estimate_s else ""
    console.print(f"  Check: {steps} steps and an evaluation work{about}", soft_wrap=True)
    return trial_s


def _trial_s(ended: AttemptEnd, round_: Round) -> float | None:
    end = ended.end
    if end is None or end.step_s is None or end.training.evaluations_s is None:
        return None
    training, budget = end.training, round_.budget
    steps_s = 0.0 if training.time_by_part is None else training.time_by_part.total_s
    num_evaluations = 1 + -(-budget.max_train_steps // budget.evaluation_interval_steps)
    # Its two evaluations as they came: a trial's later ones, which are faster than the first, keep checkpoints.
    evaluation_s = training.evaluations_s / 2
    start_s = max(0.0, training.train_s - steps_s - training.evaluations_s)
    return start_s + end.step_s * budget.max_train_steps + evaluation_s * num_evaluations
