"""The stages of the playbook, each judged by a project's records alone: from the initial configuration to the test set.

A stage that is open is ``later`` here; the first of them that is to be done now is found when all are known.
"""

from __future__ import annotations

from raytune_playbook.analysis.wording import form_for
from raytune_playbook.procedures.advise.checklist import Stage, Standing
from raytune_playbook.procedures.advise.commands import job_text, named_next, of_job, of_round
from raytune_playbook.procedures.advise.judging import (
    INSTABILITY,
    Judging,
    evidence,
    launch_text,
    stage_of,
    test_text,
    with_more,
)
from raytune_playbook.procedures.advise.recorded import RecordedRound
from raytune_playbook.procedures.command import another_question
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.registry import LaunchRecord
from raytune_playbook.records.types import RoundState

_FIND_CANDIDATES = ("lengthen", "exploit")
"""Procedures that may leave a job of one point, to be run before it is retrained."""


class Judge(Judging):
    """Judges the stages of one project."""

    # ------------------------------------------------------------------ starting

    def new(self) -> Stage:
        job = job_text(self.project)
        return stage_of(
            "new", Standing.DONE, f"It is {job}." if job else f"{self.project.workload} is trained from Python."
        )

    def check_initial(self) -> Stage:
        record, learned = self._record("check-initial"), self.project.learned
        newest = self.project.newest
        if newest is not None and learned is not None and learned.best is not None:
            is_overtaken = record is None or (record.is_good is False and record.ended_at < newest.created_at)
            if is_overtaken:
                sentence = f"{newest.name} has trained since: best {learned.best}."
                return stage_of("check-initial", Standing.NOT_NEEDED, sentence)
        ask = "Is it fast, simple, and clearly better than chance on the validation set?"
        return self._judged("check-initial", record, ask, of_job("check-initial", self.project, self.storage))

    def batch_size(self) -> Stage:
        record = self._record("batch-size")
        ask = "Which one trains fastest is measured; everything after it is tuned for it."
        stage = self._judged("batch-size", record, ask, of_job("batch-size", self.project, self.storage))
        return stage if record is None else with_more(stage, self._other_batch_size(record))

    def train_steps(self) -> Stage:
        record = self._record("train-steps")
        command = of_job("train-steps", self.project, self.storage)
        if record is not None:
            if record.is_good is False and named_next("train-steps", (record,)) is None:
                return stage_of("train-steps", Standing.NOT_NEEDED, evidence(record))  # nothing fits: it does not apply
            stage = self._judged("train-steps", record, "", command)
            return with_more(stage, self._other_train_steps(record))
        longer = self._asks_longer()
        if longer:
            return stage_of("train-steps", Standing.NOT_NEEDED, f"Training is compute-bound: {longer[0].sentence}")
        if self._length_is_right():
            name = self.project.newest.name if self.project.newest else ""
            return stage_of(
                "train-steps", Standing.NOT_NEEDED, f"The curves of {name} ask for no other number of steps."
            )
        ask = "How many are needed to fit the training set, where training is not compute-bound?"
        return self._judged("train-steps", None, ask, command)

    # ------------------------------------------------------------------ exploring

    def rounds(self) -> Stage:
        newest, learned = self.project.newest, self.project.learned
        if newest is None or learned is None:
            return stage_of(
                "rounds",
                Standing.LATER,
                "No round has been run yet; give one a question, and run it.",
                of_job("run", self.project, self.storage),
            )
        ended = f"{learned.num_ended:,} of {learned.num_planned:,} trials of {newest.name} have ended"
        if newest.state is not RoundState.FINISHED:
            return self._unfinished(newest, ended)
        if learned.best is None:
            report = of_round("report", newest, self.storage) if newest.job else None
            return stage_of(
                "rounds", Standing.LATER, f"No trial of {newest.name} was completed; its page says why.", report
            )
        asking = self._asking()
        number = len(self.project.rounds)
        rounds = f"{number} {form_for(number, 'round', 'rounds')}, the newest {newest.name}: best {learned.best}"
        if asking:
            rules = ", ".join(dict.fromkeys(finding.rule for finding in asking))
            asks = f"{len(asking)} {form_for(len(asking), 'finding asks', 'findings ask')} for another study ({rules})."
            sentence = f"{rounds}. {asks}"
            return stage_of("rounds", Standing.LATER, sentence, of_round("propose", newest, self.storage))
        num_open = sum(finding.is_open for finding in learned.findings)
        left = f"; {num_open} more to look at on its page" if num_open else ""
        if self._is_refused():
            sentence = f"{rounds}. No finding asks for another study{left}, and its candidate was not adopted."
            return stage_of("rounds", Standing.LATER, f"{sentence} {another_question(job_text(self.project))}")
        return stage_of("rounds", Standing.DONE, f"{rounds}. No finding asks for another study{left}.")

    def _unfinished(self, newest: RecordedRound, ended: str) -> Stage:
        if newest.state is RoundState.RUNNING:
            return stage_of("rounds", Standing.LATER, f"{ended}; it runs.")
        command = of_round("resume", newest, self.storage) if newest.job else "raytune_playbook.run(round)"
        return stage_of("rounds", Standing.LATER, f"{ended}, and it does not run; go on with it.", command)

    def stability(self) -> Stage:
        if self.project.learned is None:
            return stage_of("stability", Standing.LATER, "A round tells whether it is needed.")
        asking = self._open(INSTABILITY)
        record = self._record("stability", self.since if asking else self.project.procedures)
        if record is None and not asking:
            name = self.project.newest.name if self.project.newest else ""
            return stage_of("stability", Standing.NOT_NEEDED, f"No finding of {name} speaks of instability.")
        return self._of_newest("stability", record, asking[0].sentence if asking else "")

    def lengthen(self) -> Stage:
        if self.project.learned is None:
            return stage_of("lengthen", Standing.LATER, "A round tells whether training is compute-bound.")
        asking = self._asks_longer()
        record = self._record("lengthen", self.since if asking else self.project.procedures)
        if record is None and not asking:
            name = self.project.newest.name if self.project.newest else ""
            bound = f"No finding of {name} says that training is compute-bound."
            sentence = f"{bound}{self._longer_elsewhere()}"
            return stage_of("lengthen", Standing.NOT_NEEDED, sentence)
        return self._of_newest("lengthen", record, asking[0].sentence if asking else "")

    # ------------------------------------------------------------------ finishing

    def exploit(self) -> Stage:
        ask = "Once exploration has refined the space, Bayesian optimization looks for its best point."
        return self._of_newest("exploit", self._record("exploit", self.since), ask)

    def variance(self) -> Stage:
        ask = "Retrain the best points with other seeds, to know what is chance."
        record = self._record("variance", self.since)
        first = self._to_be_run_first()
        if first is not None:
            what, command = first
            return stage_of("variance", Standing.LATER, f"First run the candidate that {what}.", command)
        return self._of_newest("variance", record, ask)

    def _to_be_run_first(self) -> tuple[str, str] | None:
        """Who has found the newest candidate, in words, and what runs it; None where it was run, or passed over."""
        found = [each for each in self.since if each.procedure in _FIND_CANDIDATES]
        command = None if not found else named_next("run", found[-1:])
        if command is None:
            return None
        after = found[-1].ended_at
        decided = [each.ended_at for each in self.since if each.procedure in ("variance", "launch")]
        later = [*decided, *(each.created_at for each in (*self.project.rounds, *self.project.candidates))]
        if any(each >= after for each in later):
            return None
        return f"{found[-1].procedure} has found, a round of its own", command

    def launch(self) -> Stage:
        launched = self.launched()
        if launched is not None:
            return stage_of("launch", Standing.DONE, launch_text(launched))
        record = self._decision()
        if record is not None and record.is_good is not True:
            more = named_next("launch", (record,))
            return stage_of("launch", Standing.DONE if more is None else Standing.LATER, evidence(record), more)
        ask = "Is the candidate better than the baseline by more than retraining varies?"
        return self._of_newest("launch", None, ask)

    def test(self) -> Stage:
        in_use, looks = self.in_use, self.project.test_scores
        if in_use is None or self.launched() is None:
            ask = "Only at the end: what the launched model scores on examples that chose nothing."
            return stage_of("test", Standing.LATER, ask)
        tests = [each for each in self.project.tests if each.launch == in_use.number]
        if tests:
            return stage_of("test", Standing.DONE, test_text(tests[-1], len(tests)))
        if looks and looks[-1].scored_at >= in_use.launched_at:
            sentence = f"{looks[-1].study}/{looks[-1].trial} was scored on {looks[-1].scored_at[:10]}."
            return stage_of("test", Standing.DONE, sentence)
        ask = f"Only at the end: what launch {in_use.number} scores on examples that chose nothing."
        again = {"reason": f"launch {in_use.number}"} if looks else None
        if looks:
            ask += f" It was read before, last on {looks[-1].scored_at[:10]}; again asks for a reason (rule AD6)."
        found = [each for each in (*self.project.rounds, *self.project.candidates) if each.name == in_use.round]
        command = of_round("test", found[-1], self.storage, again) if found else None
        return stage_of("test", Standing.LATER, ask, command)

    # ------------------------------------------------------------------ what is in use

    @property
    def in_use(self) -> LaunchRecord | None:
        """What was launched last of the workload; None where nothing was."""
        return self.project.launches[-1] if self.project.launches else None

    def launched(self) -> LaunchRecord | None:
        """What is in use, where that ends the newest round: launched or tested since, or never to be replaced."""
        newest, in_use = self.project.newest, self.in_use
        if in_use is None or newest is None or self.project.closed is not None:
            return in_use
        read = [each.tested_at for each in self.project.tests if each.launch == in_use.number]
        return in_use if any(each >= newest.created_at for each in (in_use.launched_at, *read)) else None

    def _decision(self) -> ProcedureRecord | None:
        """What the last launch of the newest round, or of its candidate, came to."""
        subject = self.project.candidate or self.project.newest
        own = [each for each in self.since if subject is None or each.round == subject.name]
        return self._record("launch", own)

    def _is_refused(self) -> bool:
        """Whether the newest round's candidate is not to be launched, and nothing else of the round is left to do."""
        record = self._decision()
        if record is None or record.is_good is True or named_next("launch", (record,)) is not None:
            return False
        return self._record("exploit", self.since) is not None and self.launched() is None
