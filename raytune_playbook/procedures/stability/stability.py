"""``raytune-playbook stability ROUND``: is training unstable above the best learning rate, and what mends that?

See the playbook's "How can optimization failures be debugged and mitigated?" (rules UN1 to UN8).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from rich.console import Console

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, TrialCurves
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.command import job_path, part_of_round
from raytune_playbook.procedures.procedure import Procedure, done_before, procedure
from raytune_playbook.procedures.stability import parts
from raytune_playbook.procedures.stability.judging import judged, loss_of
from raytune_playbook.procedures.stability.mends import (
    MOST_THRESHOLDS,
    first_threshold,
    mend_of,
    shortest_stable,
    smaller_threshold,
)
from raytune_playbook.procedures.stability.parts import Baseline, baseline_of
from raytune_playbook.procedures.stability.record import completed
from raytune_playbook.procedures.stability.study import Study
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.columns import GRADIENT_NORM
from raytune_playbook.records.facts import CODE, MODEL, NUM_STEPS, OPTIMIZER
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.reading import read_all
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.round import Round

VERB = "stability"

BASE_TIMES = 10.0
"""The warmup study's base learning rate, as a multiple of the unstable one (rule UN4)."""


def stability(
    round: Round,
    *,
    base_times: float = BASE_TIMES,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Sweep learning rates above a round's best, and mend what is unstable there by warmup and by clipping.

    Args:
        round: that was run; its best trial is the configuration whose stability is studied.
        base_times: the warmup study's base learning rate, as a multiple of the unstable one: 10, or say 100.
        storage, gangs, address, job, console: as of `raytune_playbook.run`.
        again: do it anew where it was done before and nothing has changed.

    Returns:
        The record. Its ``numbers``: ``best_learning_rate``, ``largest_stable_learning_rate`` (up to which all of the
        sweep are stable), ``unstable_base_learning_rate`` (None where none of the sweep is unstable), ``kind``
        (``early``, ``mid`` or ``none``), ``is_limiting`` (whether instability keeps the learning rate small),
        ``baseline_objective``, and of what was tried ``warmup_steps``, ``widening_by_warmup``, ``warmup_objective``,
        ``clipping_norm``, ``widening_by_clipping``, ``clipping_objective``, ``clipped_share``; ``remedy`` is the
        hyperparameter that mends it best, None where none does.

    Raises:
        InputError: there is no such round, no trial of it is feasible, or its gradient norms were not logged.
        RunError: a part of the study failed; the same call goes on.
    """
    if not base_times > 1:
        raise SpecError(
            f"base_times must be above 1, but got {base_times:g}; the playbook's default is {BASE_TIMES:g}."
        )
    place = Place(storage, console or new_console(), gangs, address, job)
    part = part_of_round(VERB, round, place, {"base_times": base_times if base_times != BASE_TIMES else None})
    store = RoundStore(Storage(storage), round.name)
    evidence = _evidence_of(store)
    round = as_recorded(store, round)
    baseline, best = _baseline(round, evidence, place)
    if not again and (record := done_before(part, round, place)):
        return record
    with procedure(part, round, place) as running:
        study = _studied(_Course(running, baseline, base_times), best, evidence)
        draft = running.draft("", bound_to=(MODEL, CODE, OPTIMIZER, NUM_STEPS))
        return running.conclude(completed(draft, study, job_path(job)))


def _baseline(round_: Round, evidence: Evidence, place: Place) -> tuple[Baseline, TrialCurves]:
    """The round's best configuration, and what was measured of it.

    Raises:
        SpecError: it cannot be studied.
    """
    run_first = shlex.join(["raytune-playbook", "run", job_path(place.job)])
    if not evidence.ranked:
        raise SpecError(
            f"A stability study starts from a round's best trial, but no trial of {round_.name!r} is feasible; search "
            f"lower learning rates under a new name first: {run_first}"
        )
    best = evidence.ranked[0]
    curves = evidence.curves.get(best.id)
    if curves is None or GRADIENT_NORM not in curves.digests:
        raise SpecError(
            f"A stability study chooses a clipping threshold from logged gradient norms, but {best.text} of "
            f"{round_.name!r} has none; run the round again under a new name, which logs them: {run_first}"
        )
    baseline = baseline_of(round_, best)
    if baseline is None:
        raise SpecError(
            f"A stability study varies learning_rate, but that of {best.text} of {round_.name!r} is no number above "
            f"zero; tune it first: {run_first}"
        )
    if not parts.warmup_lengths(baseline.max_train_steps):
        raise SpecError(
            f"A stability study tries a warmup of a tenth of training, at least {parts.SHORTEST_WARMUP_STEPS} steps, "
            f"but {round_.name!r} trains for {baseline.max_train_steps} steps; train longer under a new name first: "
            f"{run_first}"
        )
    return baseline, curves


def _evidence_of(store: RoundStore) -> Evidence:
    return insight_of(*read_all(store)).evidence


# ---------------------------------------------------------------------- the course of a study


@dataclass(frozen=True)
class _Course:
    """A study that runs.

    Fields:
        procedure: runs its parts.
        base_times: see `stability`.
    """

    procedure: Procedure
    baseline: Baseline
    base_times: float

    def trained(self, what: str, round_: Round) -> Evidence:
        """Run a part."""
        return _evidence_of(self.procedure.run(what, round_).store)


def _studied(course: _Course, best: TrialCurves, evidence: Evidence) -> Study:
    """Find what is unstable; where that limits the learning rate, try to mend it."""
    baseline, rate = course.baseline, parts.rounded(course.baseline.learning_rate)
    goal = f"Is training stable at and above {rate:g}, the best learning rate of {baseline.round.name}?"
    trained = course.trained("sweep", parts.sweep(baseline, goal, baseline.rates))
    at_best = next((one for one in judged(trained) if one.learning_rate == rate), None)
    reference = loss_of(at_best) if at_best is not None and at_best.is_stable else None
    sweep = judged(trained, reference=reference)
    goal = f"Does training at {2 * rate:.3g} start badly and recover, unseen by rare evaluations?"
    check = course.trained("check", parts.early_check(baseline, goal, evidence.num_validation_examples))
    study = Study(baseline, best, sweep, judged(check, reference=reference, whole_steps=baseline.max_train_steps))
    course.procedure.say(f"  {study.found}")
    if not study.is_limiting:
        return study
    study = _with_warmup(course, study, reference)
    return _with_clipping(course, study, reference)


def _with_warmup(course: _Course, study: Study, reference: Curve | None) -> Study:
    """The warmup study, and the whole sweep with the shortest warmup that it finds (rule UN4)."""
    baseline, onset = study.baseline, study.unstable_rate
    lengths = parts.warmup_lengths(baseline.max_train_steps, baseline.warmup_steps)
    if onset is None or not lengths:
        return study
    base = parts.rounded(course.base_times * onset)
    rates = [rate for rate in baseline.rates if onset <= rate < base] + [base]
    tried = {}
    for steps in lengths:
        goal = f"Does a warmup of {steps:,} steps make learning rates up to {base:g} stable?"
        round_ = parts.warmup_part(baseline, goal, rates, steps)
        trained = course.trained(f"warmup-{steps}", round_)
        tried[steps] = judged(trained, reference=reference, whole_steps=baseline.max_train_steps)
    study = replace(study, warmups=tried, base_rate=base)
    found = shortest_stable(tried)
    if found is None:
        course.procedure.say("  No warmup of up to a tenth of training is stable at any of these rates.")
        return study
    rates = [*baseline.rates, *([found.rate] if found.rate not in baseline.rates else [])]
    mend = None
    for steps in (steps for steps in lengths if steps >= found.steps):
        goal = f"What does a warmup of {steps:,} steps do for {baseline.max_train_steps:,} steps of training after it?"
        round_ = parts.sweep(baseline, goal, rates, {"warmup_steps": steps})
        whole = judged(course.trained(f"with-warmup-{steps}", round_), reference=reference)
        mend = mend_of("warmup_steps", steps, study.sweep, whole, baseline.round.objective)
        if mend.is_stable_at(onset):  # else what was stable for a while is not to the end: a longer one may be
            break
    return study if mend is None else replace(study, mends=(*study.mends, mend))


def _with_clipping(course: _Course, study: Study, reference: Curve | None) -> Study:
    """The whole sweep with clipped gradients, at ever smaller thresholds until it is stable (rules UN6 and UN7)."""
    baseline, onset = study.baseline, study.unstable_rate
    norms = study.norms
    if onset is None or norms is None:
        return study
    threshold = first_threshold(norms, baseline.clipping_norm)
    mend = None
    for number in range(1, MOST_THRESHOLDS + 1):
        goal = f"Does clipping gradients to a norm of {threshold:g} make training stable?"
        round_ = parts.sweep(baseline, goal, baseline.rates, {"clipping_norm": threshold})
        whole = judged(course.trained(f"clipping-{number}", round_), reference=reference)
        mend = mend_of("clipping_norm", threshold, study.sweep, whole, baseline.round.objective)
        if mend.is_stable_at(onset) or mend.is_lower_rate:
            break
        threshold = smaller_threshold(threshold)
    return study if mend is None else replace(study, mends=(*study.mends, mend))
