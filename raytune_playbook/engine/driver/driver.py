"""The driver of a round: Tune schedules in a thread, while the main thread writes records and shows progress."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ray.exceptions
from ray import tune

from raytune_playbook.analysis.wording import duration_text
from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.cluster.termination import has_come
from raytune_playbook.engine.driver.checkpoint_limit import CheckpointLimit
from raytune_playbook.engine.driver.metrics import RoundMetrics
from raytune_playbook.engine.driver.pace import Pace
from raytune_playbook.engine.driver.progress import Left, ProgressLine
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.driver.standing import Standing, status_of
from raytune_playbook.engine.gang.messages import Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.events import AttemptEnded, GangChanged, News
from raytune_playbook.engine.session import ANSWER_TIMEOUT_S, Gangs
from raytune_playbook.engine.tune.round_search import PlannedTrial, RoundSearch, num_by_study
from raytune_playbook.engine.tune.trainable import LeaseTrainable
from raytune_playbook.errors import RunError, StorageFailure
from raytune_playbook.records.driving.claims import Claim, ClaimLostError
from raytune_playbook.records.driving.requests import Answer, StopRequest, answer, requests_to
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState, RoundStatus
from raytune_playbook.study.settings import Budget

LOG = logging.getLogger("raytune_playbook")
STATUS_EVERY_S = 5.0
SHOW_EVERY_S = 0.25
"""What is shown takes all trials into account; looked at after each event, it would cost a large round its time."""

TUNE_LEAVES_S = 15.0
"""Within this Tune has heard that its trials are over."""

TERMINATED_S = 0.5
"""So long is waited instead after SIGTERM: Ray's own job API kills 3 s later."""

REQUESTS_EVERY_S = 1.0


@dataclass(frozen=True)
class TrialsLeft:
    """What is left to run of a round.

    Fields:
        trials: in the order in which they are to run.
        estimates_s: seconds of each by study, from the check before trial 0, where it gave them.
        running_bytes: the most that the checkpoints of those take which run at once, likewise; 0 where it is not known.
    """

    context: RoundContext
    trials: list[PlannedTrial]
    budget: Budget
    estimates_s: Mapping[str, float]
    running_bytes: int = 0

    def pace(self) -> Pace:
        """What of it will have been measured."""
        return Pace(num_by_study(self.trials), self.budget.max_train_steps, self.estimates_s)


@dataclass(frozen=True)
class HeldRound:
    """A round's records, and the claim without which they must not be written."""

    store: RoundStore
    claim: Claim


def _examples_lost(news: News) -> Iterator[str]:
    """Sentences: no trial can be trained any more before they are read anew."""
    for _, event in news.events:
        if isinstance(event, AttemptEnded) and event.ended.cause is Cause.EXAMPLES_LOST:
            yield event.ended.error or str(event.ended.cause)


class Driver:
    """Runs the trials that are left, until they are done or something ends the round."""

    def __init__(
        self, session: Gangs, left: TrialsLeft, held: HeldRound, recorder: Recorder, progress: ProgressLine
    ) -> None:
        self._pool, self._recorder, self._progress = session.pool, recorder, progress
        self._store, self._claim = held.store, held.claim
        self._trials, self._budget, self._round_id = left.trials, left.budget, left.context.round_id
        self._searcher = RoundSearch(left.trials, max_concurrent=len(session.facts()) + 1)
        recorder.begin_again(trial.id for trial in left.trials)
        self._pace = left.pace()
        self._metrics = RoundMetrics(held.store.name, recorder)
        self._limit = CheckpointLimit(held.store, recorder, left.budget, left.running_bytes)
        self._ending: Standing | None = None
        self._tune_error: BaseException | None = None
        self._last_event = 0
        self._started_s = time.monotonic()
        self._status_at_s = self._requests_at_s = self._shown_at_s = 0.0

    def run(self) -> RoundStatus:
        """Run to the end and return the status that was written last.

        Raises:
            RunError: the pool is gone, or another driver runs the round.
            KeyboardInterrupt: at SIGTERM, or at the second Ctrl-C; the first ends the round cleanly.
        """
        tuning = threading.Thread(target=self._tune, name="tune", daemon=True)
        tuning.start()
        try:
            return self._until_it_ends(tuning)
        except ray.exceptions.RayError as error:
            self._write_last_status(Standing(RoundState.FAILED, "the pool of gangs was lost"))
            raise RunError(
                f"The round stopped: the pool of gangs was lost ({str(error).splitlines()[0]}).\n"
                f"Finished trials are kept; go on with: {self._store.command('resume')}"
            ) from None
        except StorageFailure as error:
            self._write_last_status(Standing(RoundState.FAILED, str(error)))
            raise RunError(
                f"The round stopped: {error}\nWhat was recorded is kept; go on with: {self._store.command('resume')}"
            ) from None
        except ClaimLostError:  # the status is the other driver's
            raise
        except BaseException:
            self._write_last_status(Standing(RoundState.STOPPED, "terminated" if has_come() else "cut off"))
            raise
        finally:
            self._leave(tuning)
            self._recorder.close()
            self._metrics.tell(time.monotonic())

    def _until_it_ends(self, tuning: threading.Thread) -> RoundStatus:
        while True:
            try:
                running = tuning.is_alive()  # before fetching, so that no event is left when it has ended
                if not self._turn() and not running:
                    self._recorder.compact(self._claim.require, is_end=True)
                    self._tell()
                    return self._write_status(self._how_it_ended())
            except KeyboardInterrupt:
                if has_come():
                    self._progress.say(f"Trials are cut off; go on with: {self._store.command('resume')}")
                    raise
                if self._ending is not None:
                    raise
                self._progress.say(
                    "Interrupted: trials end at their next evaluation; press Ctrl-C again to cut them off."
                )
                self._end(RoundState.STOPPED, "interrupted")

    def _leave(self, tuning: threading.Thread) -> None:
        """Close the round, so that Tune's thread ends and nothing of it meets the session's next one."""
        self._searcher.stop()
        with contextlib.suppress(ray.exceptions.RayError):  # a pool that is gone has no rounds any more
            closing = self._pool.close_round.remote(self._round_id)
            answer_of(closing, timeout_s=TERMINATED_S if has_come() else ANSWER_TIMEOUT_S)
            tuning.join(TERMINATED_S if has_come() else TUNE_LEAVES_S)
        if tuning.is_alive():  # its last words would come after the log has ended, on the terminal
            logging.getLogger("ray.tune").setLevel(logging.ERROR)

    # ------------------------------------------------------------------ the main thread

    def _turn(self) -> bool:
        """Fetch and record events, look at what may end the round; False when there was nothing to record."""
        asked = self._pool.news.remote(self._round_id, self._last_event, self._searcher.max_concurrent)
        news = answer_of(asked, timeout_s=ANSWER_TIMEOUT_S)
        self._claim.require()
        for number, event in news.events:
            self._recorder.handle(event)
            self._pace.heard(event, time.monotonic())
            self._metrics.heard(event, time.monotonic())
            self._limit.heard(event)
            if isinstance(event, GangChanged):
                LOG.info(event.sentence)
            self._last_event = number
        self._limit.keep(len(news.gangs), self._claim.require)
        self._recorder.compact(self._claim.require)
        tally, now_s = self._recorder.tally, time.monotonic()
        self._searcher.max_concurrent = len(news.gangs) + 1  # one waits in the queue while each gang has one
        self._tell()
        self._metrics.gangs_are(news.gangs, now_s)
        if now_s - self._shown_at_s >= SHOW_EVERY_S:
            self._shown_at_s = now_s
            num_gangs = sum(state.has_workers for state in news.gangs.values())
            self._progress.update(tally, self._recorder.best, Left(num_gangs, self._pace.left_s(num_gangs, now_s)))
        if now_s - self._status_at_s >= STATUS_EVERY_S:
            self._status_at_s = now_s
            self._write_status(Standing(RoundState.RUNNING))
        if now_s - self._requests_at_s >= REQUESTS_EVERY_S:
            self._requests_at_s = now_s
            self._obey_requests()
        self._look_for_an_end(news.failure or next(_examples_lost(news), None))
        return bool(news.events)

    def _look_for_an_end(self, failure: str | None) -> None:
        tally, budget = self._recorder.tally, self._budget
        if self._ending is not None:
            return
        if failure is not None:
            self._end(RoundState.FAILED, failure)
        elif tally.is_hopeless():
            reason = "most trials fail, which is a bug rather than a matter of hyperparameters"
            self._end(RoundState.FAILED, reason, retry_helps=False)
        elif budget.wall_clock_s is not None and time.monotonic() - self._started_s > budget.wall_clock_s:
            budget_text = duration_text(round(budget.wall_clock_s))
            self._end(RoundState.STOPPED, f"the wall-clock budget of {budget_text} is used up")

    def _end(self, state: RoundState, reason: str, *, retry_helps: bool = True) -> None:
        self._ending = Standing(state, reason, retry_helps)
        self._searcher.stop()
        answer_of(self._pool.stop_round.remote(self._round_id), timeout_s=ANSWER_TIMEOUT_S)

    def _obey_requests(self) -> None:
        """What `raytune-playbook stop` left in the storage, from whichever machine."""
        for name, request in requests_to(self._store, self._claim.run).items():
            answer(self._store, name, self._obey(request))

    def _obey(self, request: StopRequest) -> Answer:
        if request.trial is None:
            if self._ending is None:
                self._end(RoundState.STOPPED, "stopped on request")
            return Answer(obeys=True, sentence=f"Round {self._store.name} ends at the next evaluation.")
        named = "/".join(request.trial)
        known = self._recorder.tally.trials.get(request.trial)
        if known is not None and known.outcome is not None:
            return Answer(
                obeys=False, sentence=f"A trial must run to be stopped, but {named} has ended: {known.outcome}."
            )
        asked = self._pool.stop_trial.remote(self._round_id, request.trial)
        if not answer_of(asked, timeout_s=ANSWER_TIMEOUT_S):
            return Answer(obeys=False, sentence=f"A trial must run to be stopped, but {named} has not begun.")
        self._progress.say(f"Stopping trial {named} on request.")
        return Answer(obeys=True, sentence=f"Trial {named} ends at the next evaluation.")

    def _tell(self) -> None:
        """Sentences that the user should see at once."""
        tally = self._recorder.tally
        while tally.warnings:
            self._progress.say(f"Warning: {tally.warnings.pop(0)}")
        while tally.new_failures:
            study, key = tally.new_failures.pop(0)
            trial = tally.trials[study, key]
            log = self._store.uri_of(f"{study}/logs/{key}.attempt{len(trial.attempts)}.rank0.log")
            self._progress.say(f"Trial {study}/{key} failed: {(trial.reason or '').strip()}\n  log: {log}")

    def _how_it_ended(self) -> Standing:
        tally = self._recorder.tally
        if self._ending is not None:
            return self._ending
        if tally.num() == tally.num_trials:
            return Standing(RoundState.FINISHED)
        if self._tune_error is not None:
            error = f"{type(self._tune_error).__name__}: {self._tune_error}"
            return Standing(RoundState.FAILED, f"Ray Tune ended with {error}")
        if not tally.stopped:
            return Standing(RoundState.FAILED, "Ray Tune ended before all trials had")
        return Standing(RoundState.STOPPED, f"{len(tally.stopped)} trial(s) stopped on request")

    def _write_status(self, now: Standing) -> RoundStatus:
        status = status_of(self._recorder.tally, now)
        self._store.write_status(status)
        return status

    def _write_last_status(self, now: Standing) -> None:
        """As far as the storage takes it: that this driver runs the round no more is said by its claim as well."""
        with contextlib.suppress(StorageFailure):
            self._write_status(now)

    # ------------------------------------------------------------------ Tune's thread

    def _tune(self) -> None:
        trainable = tune.with_parameters(LeaseTrainable, pool=self._pool, round_id=self._round_id)
        # Tune looks trainables up by their names, and another round's has other parameters.
        trainable.__name__ = f"{LeaseTrainable.__name__}-{self._round_id}"
        with tempfile.TemporaryDirectory(prefix="raytune-playbook-") as scratch:
            tuner = tune.Tuner(
                # A trial may not ask for nothing at all, and one byte of memory is to be had anywhere.
                tune.with_resources(trainable, {"cpu": 0, "memory": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=self._searcher,
                    num_samples=len(self._trials),
                    max_concurrent_trials=len(self._trials),  # the searcher keeps to a limit of its own, which may rise
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="round",
                    storage_path=scratch,
                    verbose=0,
                    progress_reporter=tune.CLIReporter(),  # by itself Tune clears a notebook's output for a table
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
            try:
                tuner.fit()
            except BaseException as error:  # noqa: BLE001 - told by the main thread, as the round's end
                self._tune_error = error
