"""``raytune-playbook lengthen ROUND``: from a short round to a long one (rules LN4, LN5 and LN6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from raytune_playbook.analysis.answer.answer import Verdict as Answered
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.procedures.command import command_of, part_of_round
from raytune_playbook.procedures.lengthen.branch_rounds import run_branches
from raytune_playbook.procedures.lengthen.branches import decays_of
from raytune_playbook.procedures.lengthen.comparison import Compared, Verdict, compare
from raytune_playbook.procedures.lengthen.points import (
    Point,
    chosen,
    compared_points,
    longer_round,
    points_of,
    share_text,
    varied_names,
)
from raytune_playbook.procedures.lengthen.record import Lengthened, completed_record
from raytune_playbook.procedures.lengthen.schedules import extension_text, small_rates_text
from raytune_playbook.procedures.lengthen.words import GROWTH, Lengths, growth_text
from raytune_playbook.procedures.procedure import Procedure, done_before, procedure
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.facts import CODE, MODEL, NUM_STEPS, OPTIMIZER
from raytune_playbook.records.procedures import ProcedureRecord, newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore, round_names
from raytune_playbook.records.types import RoundState
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.hyperparameters.known import purpose_of
from raytune_playbook.study.round import Round

VERB = "lengthen"

NUM_TRIALS = 8
"""So many of the best points are trained again where nothing else is asked for."""


def lengthen(
    round: Round,
    *,
    max_train_steps: int,
    num_trials: int = NUM_TRIALS,
    branch_decays: bool | Sequence[int] = False,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Train the best points of a short round for longer, and check again what it concluded.

    Their schedules are extended, not scaled. Where the round was lengthened to fewer steps before, the points are those
    of the longest such round. The record's ``numbers``: ``short_steps``, ``max_train_steps``, ``num_points``,
    ``is_same_answer`` and ``is_same_point`` (what is best at both lengths), ``holds`` (the short round can be relied
    on), ``has_paid`` (the longer training is better than the short one was), ``rank_correlation`` with
    ``rank_correlation_low`` and ``_high`` (where enough points tell), ``objective_short``, ``objective_long`` and
    ``best`` (the values of the best point of the long round), and of branches ``best_decay_steps``
    (None where no decay is better than none), ``objective_branch`` (of the steps after its branch alone),
    ``objective_constant``, ``branches_s`` and ``whole_runs_s``.

    Args:
        round: that was run.
        max_train_steps: of the long round; the short one's are best about a tenth of them.
        num_trials: of the best points, as many of each scientific value.
        branch_decays: also train the best point at a constant rate and branch decays off: lengths in steps, or True for
            a tenth, a fifth and two fifths of the training.
        storage, gangs, address, job, console: as for `raytune_playbook.run`.
        again: do it anew, where it was done before.

    Raises:
        InputError: there is no such round, it has no completed trial, or what was asked for makes no longer round.
        RunError: a round of it failed.
    """
    place = Place(storage, console or new_console(), gangs, address, job)
    lengths = list(branch_decays) if not isinstance(branch_decays, bool) else None
    options = {
        "max_train_steps": max_train_steps,
        "num_trials": None if num_trials == NUM_TRIALS else num_trials,
        "branch_decays": ",".join(map(str, lengths)) if lengths else bool(branch_decays),
    }
    store = RoundStore(Storage(storage), round.name)
    store.round()  # refuses one that was never run
    round = as_recorded(store, round)
    part = part_of_round(VERB, round, place, options)
    _refuse(round, max_train_steps, num_trials)
    decays = decays_of(lengths, max_train_steps) if branch_decays else ()
    short = _shorter(round, store, max_train_steps)
    if not again and _is_of(store, short) and (record := done_before(part, round, place)):
        return record
    points = chosen(short.points, num_trials)
    with procedure(part, round, place) as p:
        _announce(p, short, points, max_train_steps)
        if text := share_text(short.points, len(points), num_trials):
            p.say(text)
        longer = longer_round(round, points, short.num_steps, max_train_steps)
        result = p.run(f"steps-{max_train_steps}", longer, is_used_again=not again)
        judged = Lengths(short.num_steps, max_train_steps, round.objective)
        trials = read_insight(result.store).evidence.first_runs
        compared = compared_points(round, points, trials, round.objective)
        verdict = _require_verdict(compared, p)
        best = points[[point.trial.text for point in points].index(verdict.best_long.name)]
        branched = run_branches(p, round, best.values, decays, max_train_steps) if decays else None
        was_shown = read_insight(store).answer.verdict is Answered.BETTER
        draft = p.draft("", bound_to=[MODEL, CODE, OPTIMIZER, NUM_STEPS])
        came_to = Lengthened(judged, compared, verdict, best, branched, was_shown, short.name, short.num_trials)
        return p.conclude(completed_record(draft, round, place, came_to))


# ---------------------------------------------------------------------- what it starts from


@dataclass(frozen=True)
class _Short:
    """The round whose points are trained for longer: the user's own, or a longer one of it.

    Fields:
        name: of the round.
        num_steps: its ``max_train_steps``.
        points: its completed trials, the best first.
        num_trials: that have ended.
        is_finished: whether no more trials are to come.
    """

    name: str
    num_steps: int
    points: Sequence[Point]
    num_trials: int
    is_finished: bool


def _refuse(round_: Round, max_train_steps: int, num_trials: int) -> None:
    short = round_.budget.max_train_steps
    if max_train_steps <= short:
        raise SpecError(
            f"max_train_steps: a longer round trains for more steps than the {count_text(short)} of {round_.name!r}, "
            f"but got {max_train_steps}; give more, such as {short * GROWTH} (LN4)."
        )
    if num_trials < 1:
        raise SpecError(f"num_trials: at least one point must be trained again, but got {num_trials}; give more.")
    if sizes := [name for name in varied_names(round_) if purpose_of(name) == "batch size"]:
        raise SpecError(
            f"A longer round tells nothing of batch sizes, which reach the same performance once each is tuned, but "
            f"{round_.name!r} compares values of {sizes[0]!r}; choose one with `raytune-playbook batch-size`, fix it, "
            "and run the round again (BA7)."
        )


def _shorter(round_: Round, store: RoundStore, max_train_steps: int) -> _Short:
    """The longest round that is shorter: of the user's own, and those that it was lengthened to before.

    Raises:
        StorageError: it has no completed trial.
    """
    found = [store, *_lengthened_before(store)]
    shorter = [each for each in found if each.round().budget.max_train_steps < max_train_steps]
    source = max(shorter, key=lambda each: each.round().budget.max_train_steps)
    evidence: Evidence = read_insight(source).evidence
    points = points_of(round_, evidence.studies, evidence.trials, round_.objective)
    if not points:
        raise StorageError(
            f"lengthen trains the best points of a round again, but no trial of {source.name!r} was completed; run "
            f"first: {store.command('propose')}"
        )
    num_ended = sum(trial.outcome is not None for trial in evidence.first_runs)
    return _Short(
        source.name, source.round().budget.max_train_steps, points, num_ended, is_finished=evidence.is_finished
    )


def _lengthened_before(store: RoundStore) -> list[RoundStore]:
    """The longer rounds of a round, by earlier runs of this procedure, that have finished."""
    prefix = f"{store.name}-{VERB}-steps-"
    there = [RoundStore(store.storage, name) for name in round_names(store.storage) if name.startswith(prefix)]
    return [each for each in there if (status := each.status()) is not None and status.state is RoundState.FINISHED]


def _is_of(store: RoundStore, short: _Short) -> bool:
    """Whether the newest record was made of these points: by now the round may have more."""
    record = newest_procedure(store, VERB)
    made_of = None if record is None else (record.numbers.get("short_round"), record.numbers.get("num_short_trials"))
    return made_of == (short.name, short.num_trials)


def _announce(p: Procedure, short: _Short, points: Sequence[Point], max_train_steps: int) -> None:
    """What is about to be done, and the playbook's doubts about it."""
    p.say(
        f"The best {len(points)} of {short.num_trials} trials of {short.name} are trained for "
        f"{count_text(max_train_steps)} steps instead of {count_text(short.num_steps)}."
    )
    if not short.is_finished:
        p.say(f"Round {short.name} has not finished, so what it has so far is taken; {p.store.command('resume')}")
    if text := growth_text(short.num_steps, max_train_steps):
        p.say(text)
    for text in dict.fromkeys(extension_text(point.values, short.num_steps, max_train_steps) for point in points[:4]):
        p.say(text)
    if text := small_rates_text(points[0].values, short.num_steps, max_train_steps):
        p.say(text)


def _require_verdict(compared: Sequence[Compared], p: Procedure) -> Verdict:
    verdict = compare(compared)
    if verdict is None:
        again = command_of(VERB, p.round.name, p.place.storage, {"again": True})
        raise StorageError(
            "A longer round must have a completed trial, but each of its points is infeasible or crashed; look at "
            f"{p.ran[-1]}, and find stable points first (raytune-playbook stability {p.round.name}), then: {again}"
        )
    return verdict
