"""The stages of the playbook, each judged by a project's records alone: from the initial configuration to the test set.

A stage that is open is ``later`` here; the first of them that is to be done now is found when all are known.
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.findings.changes import TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.wording import count_text, form_for
from raytune_playbook.procedures.advise.checklist import Stage, Standing
from raytune_playbook.procedures.advise.commands import job_text, named_next, of_job, of_round
from raytune_playbook.procedures.advise.recorded import ProjectRecords, RecordedRound
from raytune_playbook.records.procedures import ProcedureRecord, stale_facts
from raytune_playbook.records.types import RoundState

TITLES = {
    "new": "Write a job",
    "check-initial": "Check the initial configuration",
    "batch-size": "Choose a batch size",
    "train-steps": "Choose the number of training steps",
    "rounds": "Explore in rounds",
    "stability": "Mend unstable training",
    "lengthen": "Train for longer",
    "exploit": "Exploit the refined space",
    "variance": "Measure how much retraining varies",
    "launch": "Decide about the launch",
    "test": "Look at the test set, once",
}
"""By the name of each stage, in the playbook's order."""

_INSTABILITY = ("UN10", "IN4")
_LENGTH = ("IN8", "IN14")


class Judge:
    """Judges the stages of one project.

    Fields:
        project: its records.
        storage: where they are, for the commands.
    """

    def __init__(self, project: ProjectRecords, storage: str) -> None:
        self.project = project
        self.storage = storage
        newest = project.newest
        self.since = tuple(r for r in project.procedures if newest is None or r.ended_at >= newest.created_at)

    # ------------------------------------------------------------------ starting

    def new(self) -> Stage:
        job = job_text(self.project)
        return _stage(
            "new", Standing.DONE, f"It is {job}." if job else f"{self.project.workload} is trained from Python."
        )

    def check_initial(self) -> Stage:
        record, learned = self._record("check-initial"), self.project.learned
        newest = self.project.newest
        if newest is not None and learned is not None and learned.best is not None:
            is_overtaken = record is None or (record.is_good is False and record.ended_at < newest.created_at)
            if is_overtaken:
                sentence = f"{newest.name} has trained since: best {learned.best}."
                return _stage("check-initial", Standing.NOT_NEEDED, sentence)
        ask = "Is it fast, simple, and clearly better than chance on the validation set?"
        return self._judged("check-initial", record, ask, of_job("check-initial", self.project, self.storage))

    def batch_size(self) -> Stage:
        record = self._record("batch-size")
        ask = "Which one trains fastest is measured; everything after it is tuned for it."
        stage = self._judged("batch-size", record, ask, of_job("batch-size", self.project, self.storage))
        return stage if record is None else _with(stage, self._other_batch_size(record))

    def train_steps(self) -> Stage:
        record = self._record("train-steps")
        command = of_job("train-steps", self.project, self.storage)
        if record is not None:
            if record.is_good is False and named_next("train-steps", (record,)) is None:
                return _stage("train-steps", Standing.NOT_NEEDED, _evidence(record))  # nothing fits: it does not apply
            stage = self._judged("train-steps", record, "", command)
            return _with(stage, self._other_train_steps(record))
        longer = self._asks_longer()
        if longer:
            return _stage("train-steps", Standing.NOT_NEEDED, f"Training is compute-bound: {longer[0].sentence}")
        if self._length_is_right():
            name = self.project.newest.name if self.project.newest else ""
            return _stage("train-steps", Standing.NOT_NEEDED, f"The curves of {name} ask for no other number of steps.")
        ask = "How many are needed to fit the training set, where training is not compute-bound?"
        return self._judged("train-steps", None, ask, command)

    # ------------------------------------------------------------------ exploring

    def rounds(self) -> Stage:
        newest, learned = self.project.newest, self.project.learned
        if newest is None or learned is None:
            return _stage(
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
            return _stage(
                "rounds", Standing.LATER, f"No trial of {newest.name} was completed; its page says why.", report
            )
        asking = self._asking()
        number = len(self.project.rounds)
        rounds = f"{number} {form_for(number, 'round', 'rounds')}, the newest {newest.name}: best {learned.best}"
        if asking:
            rules = ", ".join(dict.fromkeys(finding.rule for finding in asking))
            asks = f"{len(asking)} {form_for(len(asking), 'finding asks', 'findings ask')} for another study ({rules})."
            sentence = f"{rounds}. {asks}"
            return _stage("rounds", Standing.LATER, sentence, of_round("propose", newest, self.storage))
        num_open = sum(finding.is_open for finding in learned.findings)
        left = f"; {num_open} more to look at on its page" if num_open else ""
        return _stage("rounds", Standing.DONE, f"{rounds}. No finding asks for another study{left}.")

    def _unfinished(self, newest: RecordedRound, ended: str) -> Stage:
        if newest.state is RoundState.RUNNING:
            return _stage("rounds", Standing.LATER, f"{ended}; it runs.")
        command = of_round("resume", newest, self.storage) if newest.job else "raytune_playbook.run(round)"
        return _stage("rounds", Standing.LATER, f"{ended}, and it does not run; go on with it.", command)

    def stability(self) -> Stage:
        if self.project.learned is None:
            return _stage("stability", Standing.LATER, "A round tells whether it is needed.")
        asking = self._open(_INSTABILITY)
        record = self._record("stability", self.since if asking else self.project.procedures)
        if record is None and not asking:
            name = self.project.newest.name if self.project.newest else ""
            return _stage("stability", Standing.NOT_NEEDED, f"No finding of {name} speaks of instability.")
        return self._of_newest("stability", record, asking[0].sentence if asking else "")

    def lengthen(self) -> Stage:
        if self.project.learned is None:
            return _stage("lengthen", Standing.LATER, "A round tells whether training is compute-bound.")
        asking = self._asks_longer()
        record = self._record("lengthen", self.since if asking else self.project.procedures)
        if record is None and not asking:
            name = self.project.newest.name if self.project.newest else ""
            sentence = f"No finding of {name} says that training is compute-bound."
            return _stage("lengthen", Standing.NOT_NEEDED, sentence)
        return self._of_newest("lengthen", record, asking[0].sentence if asking else "")

    # ------------------------------------------------------------------ finishing

    def exploit(self) -> Stage:
        ask = "Once exploration has refined the space, Bayesian optimization looks for its best point."
        return self._of_newest("exploit", self._record("exploit", self.since), ask)

    def variance(self) -> Stage:
        ask = "Retrain the best points with other seeds, to know what is chance."
        return self._of_newest("variance", self._record("variance", self.since), ask)

    def launch(self) -> Stage:
        record = self._record("launch", self.since)
        if record is not None and not _is_adopted(record):
            record = record.model_copy(update={"is_good": False})
        ask = "Is the candidate better than the baseline by more than retraining varies?"
        return self._of_newest("launch", record, ask)

    def test(self) -> Stage:
        launched = self._record("launch", self.since)
        record = self._record("test", self.since)
        if record is None and launched is not None:
            looks = [score for score in self.project.test_scores if score.scored_at >= launched.ended_at]
            if looks:
                sentence = f"{looks[-1].study}/{looks[-1].trial} was scored on {looks[-1].scored_at[:10]}."
                return _stage("test", Standing.DONE, sentence)
        ask = "Only at the end: what the launched model scores on examples that chose nothing."
        return self._of_newest("test", record, ask)

    def launched(self) -> str | None:
        """What was launched, in words; None where nothing was since the newest round."""
        record = self._record("launch", self.since)
        return _evidence(record) if record is not None and _is_adopted(record) else None

    # ------------------------------------------------------------------ what they share

    def _record(self, procedure: str, among: Sequence[ProcedureRecord] | None = None) -> ProcedureRecord | None:
        """The latest record of a procedure."""
        records = self.project.procedures if among is None else among
        return next((record for record in reversed(records) if record.procedure == procedure), None)

    def _of_newest(self, name: str, record: ProcedureRecord | None, ask: str) -> Stage:
        """A stage whose procedure is one of the newest round's."""
        newest = self.project.newest
        command = named_next(name, self.since)
        if command is None and newest is not None:
            command = of_round(name, newest, self.storage)
        return self._judged(name, record, ask, command)

    def _judged(self, name: str, record: ProcedureRecord | None, ask: str, command: str | None) -> Stage:
        """A stage by the record of its procedure, by a procedure that was cut off, or to be done with a command."""
        begun = self._begun(name, record)
        if begun is not None and begun.part_of is not None:
            is_running = begun.state is RoundState.RUNNING
            sentence = (
                f"It runs ({begun.name})." if is_running else f"It was begun ({begun.name}) and is to be gone on with."
            )
            return _stage(name, Standing.LATER, sentence, None if is_running else begun.part_of.command)
        if record is None:
            return _stage(name, Standing.LATER, ask, command)
        stale = stale_facts(record, self.project.facts)
        if stale:
            changed = "; ".join(f"the {fact} was {was} and is {now}" for fact, (was, now) in stale.items())
            return _stage(name, Standing.STALE, f"{_evidence(record)} Since then {changed}.", command)
        if record.is_good is False:
            following = next((each.command for each in record.next if each.command is not None), record.command)
            return _stage(name, Standing.LATER, _evidence(record), following)
        return _stage(name, Standing.DONE, _evidence(record))

    def _begun(self, procedure: str, record: ProcedureRecord | None) -> RecordedRound | None:
        """The latest round of a procedure that has not come to its end."""
        parts = [part for part in self.project.parts if part.part_of and part.part_of.procedure == procedure]
        if not parts or (record is not None and parts[-1].created_at <= record.ended_at):
            return None
        newest = self.project.newest
        is_old = newest is not None and parts[-1].created_at < newest.created_at
        return None if is_old and record is not None else parts[-1]

    def _open(self, rules: Sequence[str]) -> list[Finding]:
        learned = self.project.learned
        return [] if learned is None else [f for f in learned.findings if f.is_open and f.rule in rules]

    def _asks_longer(self) -> list[Finding]:
        """The findings by which training is compute-bound (rule LN1)."""
        return [finding for finding in self._open(("IN8",)) if finding.numbers.get("num_improving")]

    def _length_is_right(self) -> bool:
        """Whether curves and best steps have told that the number of steps is right."""
        learned = self.project.learned
        told = [] if learned is None else [f.status for f in learned.findings if f.rule in _LENGTH]
        return len(told) > 1 and all(status is Status.PASSES for status in told)

    def _asking(self) -> list[Finding]:
        """The open findings for which the next study of the newest round is changed, and no other stage is there."""
        learned = self.project.learned
        if learned is None:
            return []
        found: list[Finding] = []
        for proposed in learned.next_study.changes:
            for finding in proposed.findings:
                is_elsewhere = finding.rule in _INSTABILITY or (
                    isinstance(proposed.change, TrainSteps) and bool(self._asks_longer())
                )
                if finding.is_open and not is_elsewhere and finding not in found:
                    found.append(finding)
        return found

    def _other_batch_size(self, record: ProcedureRecord) -> str:
        newest = self.project.newest
        advised = {record.numbers.get(name) for name in ("least_time", "least_resources")} - {None}
        if newest is None or not advised or not newest.batch_sizes or advised.intersection(newest.batch_sizes):
            return ""
        used = " or ".join(map(count_text, newest.batch_sizes))
        return f" But {newest.name} trains with {used}."

    def _other_train_steps(self, record: ProcedureRecord) -> str:
        newest, steps = self.project.newest, record.numbers.get("max_train_steps")
        if newest is None or not isinstance(steps, int) or newest.max_train_steps == steps:
            return ""
        return f" But {newest.name} trains for {count_text(newest.max_train_steps)} steps."


def _stage(name: str, standing: Standing, sentence: str, command: str | None = None) -> Stage:
    return Stage(name, TITLES[name], standing, sentence, command)


def _with(stage: Stage, more: str) -> Stage:
    return Stage(stage.name, stage.title, stage.standing, f"{stage.sentence}{more}", stage.command)


def _is_adopted(record: ProcedureRecord) -> bool:
    """Whether a launch's verdict is to adopt, or it was launched anyway; of the others one is against it, and one has
    too little evidence."""
    if record.numbers.get("launch") is not None:
        return True
    return record.numbers.get("verdict", "adopt" if record.is_good else None) == "adopt"


def _evidence(record: ProcedureRecord) -> str:
    """What a procedure came to, when, and of which round."""
    verdict = record.verdict.rstrip()
    end = "" if verdict.endswith((".", "!", "?")) else "."
    return f"{verdict}{end} ({record.ended_at[:10]}, {record.round})"
