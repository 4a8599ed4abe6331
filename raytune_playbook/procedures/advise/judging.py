"""What all stages of the playbook are judged by: a project's records, and what holds of them."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.findings.changes import TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.advise.checklist import Stage, Standing
from raytune_playbook.procedures.advise.commands import named_next, of_round
from raytune_playbook.procedures.advise.recorded import ProjectRecords, RecordedRound
from raytune_playbook.records.facts import CODE, SOURCE
from raytune_playbook.records.procedures import ProcedureRecord, stale_facts
from raytune_playbook.records.registry import LaunchRecord, TestRecord
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

_MUST_BE_GOOD = ("check-initial", "batch-size", "train-steps")
"""With another verdict these are to be done again, mended; whatever the others come to is for a person to judge."""

INSTABILITY = ("UN10", "IN4")
_LENGTH = ("IN8", "IN14")


class Judging:
    """Judges by the records of one project.

    Fields:
        project: its records.
        storage: where they are, for the commands.
    """

    def __init__(self, project: ProjectRecords, storage: str) -> None:
        self.project = project
        self.storage = storage
        newest = project.newest
        self.since = tuple(r for r in project.procedures if newest is None or r.ended_at >= newest.created_at)

    def _record(self, procedure: str, among: Sequence[ProcedureRecord] | None = None) -> ProcedureRecord | None:
        """The latest record of a procedure."""
        records = self.project.procedures if among is None else among
        return next((record for record in reversed(records) if record.procedure == procedure), None)

    def _of_newest(self, name: str, record: ProcedureRecord | None, ask: str) -> Stage:
        """A stage whose procedure is one of the newest round's, or of its candidate."""
        newest = self.project.newest
        if name in ("variance", "launch"):
            newest = self.project.candidate or newest
        subject = newest.name if newest is not None and newest.job is not None else None
        command = named_next(name, self.since, subject)
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
            return stage_of(name, Standing.LATER, sentence, None if is_running else begun.part_of.command)
        if record is None:
            return stage_of(name, Standing.LATER, ask, command)
        stale = stale_facts(record, self.project.facts)
        if stale:
            changed = "; ".join(
                "the code has changed" if fact in (CODE, SOURCE) else f"the {fact} was {was} and is {now}"
                for fact, (was, now) in stale.items()
            )
            return stage_of(name, Standing.STALE, f"{evidence(record)} Since then {changed}.", command)
        if record.is_good is False and name in _MUST_BE_GOOD:
            following = next((each.command for each in record.next if each.command is not None), record.command)
            return stage_of(name, Standing.LATER, evidence(record), following)
        return stage_of(name, Standing.DONE, evidence(record))

    def _begun(self, procedure: str, record: ProcedureRecord | None) -> RecordedRound | None:
        """The latest round of a procedure that has not come to its end."""
        parts = [part for part in self.project.parts if part.part_of and part.part_of.procedure == procedure]
        if not parts or parts[-1].part_of is None:
            return None
        begun, of_round_ = parts[-1], parts[-1].part_of.round
        ended = [r.ended_at for r in self.project.procedures if (r.procedure, r.round) == (procedure, of_round_)]
        if any(begun.created_at <= each for each in (*ended, *([record.ended_at] if record else []))):
            return None
        newest = self.project.newest
        is_old = newest is not None and begun.created_at < newest.created_at
        return None if is_old and (record is not None or procedure not in _MUST_BE_GOOD) else begun

    def _open(self, rules: Sequence[str]) -> list[Finding]:
        learned = self.project.learned
        return [] if learned is None else [f for f in learned.findings if f.is_open and f.rule in rules]

    def _asks_longer(self) -> list[Finding]:
        """The findings by which training is compute-bound (rule LN1)."""
        return [finding for finding in self._open(("IN8",)) if finding.numbers.get("num_improving")]

    def _longer_elsewhere(self) -> str:
        """Where longer training is decided though training is not compute-bound; empty where no finding asks for it."""
        learned, newest = self.project.learned, self.project.newest
        for proposed in () if learned is None else learned.next_study.changes:
            steps = proposed.change.max_train_steps if isinstance(proposed.change, TrainSteps) else 0
            rules = [finding.rule for finding in proposed.findings if finding.is_open and finding.rule in _LENGTH]
            if rules and newest is not None and steps > newest.max_train_steps:
                return f" {rules[0]} asks for more steps in the next round, above: {proposed.words}"
        return "".join(f" {finding.rule}: {finding.sentence}" for finding in self._open(("IN14",)))

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
                is_elsewhere = finding.rule in INSTABILITY or (
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


def stage_of(name: str, standing: Standing, sentence: str, command: str | None = None) -> Stage:
    return Stage(name, TITLES[name], standing, sentence, command)


def with_more(stage: Stage, more: str) -> Stage:
    return Stage(stage.name, stage.title, stage.standing, f"{stage.sentence}{more}", stage.command)


def evidence(record: ProcedureRecord) -> str:
    """What a procedure came to, when, and of which round."""
    verdict = record.verdict.rstrip()
    end = "" if verdict.endswith((".", "!", "?")) else "."
    return f"{verdict}{end} ({record.ended_at[:10]}, {record.round})"


def launch_text(launch: LaunchRecord) -> str:
    """What was launched, on which evidence, and when."""
    found = f"{launch.trial} of {launch.round} is launch {launch.number}"
    medians = (
        f"median {launch.objective.name} {number_text(launch.median)} against {number_text(launch.replaced_median)}"
    )
    against = "" if launch.anyway is None else f", against the verdict ({launch.verdict}), because: {launch.anyway}"
    return f"{found}: {medians}{against}. ({launch.launched_at[:10]})"


def test_text(test: TestRecord, num_reads: int) -> str:
    """What the test set has shown last of a launch."""
    error = "" if test.standard_error is None else f" ± {number_text(test.standard_error, 2)}"
    folded = ", trained on the validation examples, too," if test.is_folded else ""
    reads = "" if num_reads == 1 else f"; it was read {num_reads} times"
    of = f"Test {test.metric} of launch {test.launch}{folded}"
    found = f"is {number_text(test.value)}{error} on {count_text(test.num_examples)} examples{reads}."
    return f"{of} {found} ({test.tested_at[:10]})"
