"""The driver of a round: Tune schedules in a thread, while the main thread writes records and shows progress."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
import threading
import time
from typing import Literal, TypeAlias

import ray.exceptions
from ray import tune

from raytune_playbook.engine.cluster.calls import ask
from raytune_playbook.engine.driver.progress import Progress, duration_text
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.jobs.provenance import command
from raytune_playbook.engine.pool.events import GangChanged, News
from raytune_playbook.engine.session import ANSWER_TIMEOUT_S, Gangs
from raytune_playbook.engine.tune.round_search import RoundSearch
from raytune_playbook.engine.tune.trainable import LeaseTrainable
from raytune_playbook.errors import RunError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.study import StudySpec

LOG = logging.getLogger("raytune_playbook")
STATUS_EVERY_S = 5.0
REQUESTS_EVERY_S = 1.0

State: TypeAlias = Literal["running", "finished", "stopped", "failed"]
Reason: TypeAlias = tuple[State, str]
"""A round's state at its end, and a sentence."""


class Driver:
    """Runs the trials that are left, until they are done or something ends the round."""

    def __init__(
        self,
        gangs: Gangs,
        context: RoundContext,
        store: RoundStore,
        recorder: Recorder,
        todo: list[tuple[StudySpec, int]],
        budget: Budget,
        progress: Progress,
    ) -> None:
        self._pool, self._context, self._store, self._recorder = gangs.pool, context, store, recorder
        self._todo, self._budget, self._progress = todo, budget, progress
        self._searcher = RoundSearch(todo, max_concurrent=len(gangs.facts()) + 1)
        self._ending: Reason | None = None
        self._tune_error: Exception | None = None
        self._last_event = 0
        self._started_s = time.monotonic()
        self._status_at_s = self._requests_at_s = 0.0

    def run(self) -> RoundStatus:
        """Run to the end and return the status that was written last.

        Raises:
            RunError: the pool is gone.
            KeyboardInterrupt: at the second Ctrl-C; the first ends the round cleanly.
        """
        tuning = threading.Thread(target=self._tune, name="tune", daemon=True)
        tuning.start()
        try:
            while True:
                try:
                    running = tuning.is_alive()  # before fetching, so that no event is left when it has ended
                    if not self._turn() and not running:
                        break
                except KeyboardInterrupt:
                    if self._ending is not None:
                        raise
                    self._progress.say(
                        "Interrupted: trials end at their next evaluation; press Ctrl-C again to cut them off."
                    )
                    self._end("stopped", "interrupted")
        except ray.exceptions.RayError as error:
            self._write_status("failed", "the pool of gangs was lost")
            raise RunError(
                f"The round stopped: the pool of gangs was lost ({str(error).splitlines()[0]}).\n"
                f"Finished trials are kept; go on with: {resume_command(self._store)}"
            ) from None
        except BaseException:
            self._write_status("stopped", "cut off")
            raise
        finally:
            self._recorder.close()
        return self._write_status(*self._reason())

    # ------------------------------------------------------------------ the main thread

    def _turn(self) -> bool:
        """Fetch and record events, look at what may end the round; False when there was nothing to record."""
        news = ask(
            News, self._pool.news.remote(self._last_event, self._searcher.max_concurrent), timeout_s=ANSWER_TIMEOUT_S
        )
        for number, event in news.events:
            self._recorder.handle(event)
            if isinstance(event, GangChanged):
                LOG.info(event.sentence)
            self._last_event = number
        tally, now_s = self._recorder.tally, time.monotonic()
        self._searcher.max_concurrent = len(news.gangs) + 1  # one waits in the queue while each gang has one
        self._tell()
        has_workers = any(state in ("ready", "busy") for state in news.gangs.values())
        self._progress.update(tally, self._recorder.best, has_workers=has_workers)
        if now_s - self._status_at_s >= STATUS_EVERY_S:
            self._status_at_s = now_s
            self._write_status("running", "")
        if now_s - self._requests_at_s >= REQUESTS_EVERY_S:
            self._requests_at_s = now_s
            self._obey_requests()
        self._look_for_an_end(news.failure)
        return bool(news.events)

    def _look_for_an_end(self, failure: str | None) -> None:
        tally, budget = self._recorder.tally, self._budget
        if self._ending is not None:
            return
        if failure is not None:
            self._end("failed", failure)
        elif tally.is_hopeless():
            self._end("failed", "most trials fail, which is a bug rather than a matter of hyperparameters")
        elif budget.wall_clock_s is not None and time.monotonic() - self._started_s > budget.wall_clock_s:
            self._end("stopped", f"the wall-clock budget of {duration_text(budget.wall_clock_s)} is used up")

    def _end(self, state: State, sentence: str) -> None:
        self._ending = (state, sentence)
        self._searcher.stop()
        ask(type(None), self._pool.stop_round.remote(self._context.round_id), timeout_s=ANSWER_TIMEOUT_S)

    def _obey_requests(self) -> None:
        """What `raytune-playbook stop` left in the storage, from whichever machine."""
        path = f"{self._store.name}/stop.json"
        content = self._store.storage.read(path)
        if content is None:
            return
        self._store.storage.delete(path)
        trial = json.loads(content).get("trial")
        if trial is None:
            if self._ending is None:
                self._end("stopped", "stopped on request")
        else:
            self._progress.say(f"Stopping trial {'/'.join(trial)} on request.")
            stopping = self._pool.stop_trial.remote(self._context.round_id, tuple(trial))
            ask(type(None), stopping, timeout_s=ANSWER_TIMEOUT_S)

    def _tell(self) -> None:
        """Sentences that the user should see at once."""
        tally = self._recorder.tally
        while tally.warnings:
            self._progress.say(f"Warning: {tally.warnings.pop(0)}")
        while tally.new_failures:
            study, key = tally.new_failures.pop(0)
            trial = tally.trials[study, key]
            log = f"{self._store.uri}/{study}/logs/{key}.attempt{len(trial.attempts)}.rank0.log"
            self._progress.say(f"Trial {study}/{key} failed: {(trial.reason or '').strip()}\n  log: {log}")

    def _reason(self) -> Reason:
        tally = self._recorder.tally
        if self._ending is not None:
            return self._ending
        if tally.num() == tally.num_trials:
            return "finished", ""
        if self._tune_error is not None:
            return "failed", f"Ray Tune ended with {type(self._tune_error).__name__}: {self._tune_error}"
        return "stopped", f"{len(tally.stopped)} trial(s) stopped on request"

    def _write_status(self, state: State, reason: str) -> RoundStatus:
        tally = self._recorder.tally
        status = RoundStatus(
            state=state,
            reason=reason,
            driver=f"{socket.gethostname()}:{os.getpid()}",
            seen_at_s=time.time(),
            num_done=tally.num(),
            num_trials=tally.num_trials,
        )
        self._store.write_status(status)
        return status

    # ------------------------------------------------------------------ Tune's thread

    def _tune(self) -> None:
        trainable = tune.with_parameters(LeaseTrainable, pool=self._pool, round_id=self._context.round_id)
        with tempfile.TemporaryDirectory(prefix="raytune-playbook-") as scratch:
            tuner = tune.Tuner(
                # A trial may not ask for nothing at all, and one byte of memory is to be had anywhere.
                tune.with_resources(trainable, {"cpu": 0, "memory": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=self._searcher,
                    num_samples=len(self._todo),
                    max_concurrent_trials=len(self._todo),  # the searcher keeps to a limit of its own, which may rise
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="round", storage_path=scratch, verbose=0, failure_config=tune.FailureConfig(max_failures=0)
                ),
            )
            try:
                tuner.fit()
            except Exception as error:  # noqa: BLE001 - told by the main thread, as the round's end
                self._tune_error = error


def resume_command(store: RoundStore) -> str:
    """The command that goes on with a round."""
    return command("resume", store.name, "--storage", store.storage.uri)
