"""``raytune-playbook advise``: where a project stands in the playbook, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raytune_playbook.procedures.advise.checklist import Advice, ProjectAdvice, Stage, Standing
from raytune_playbook.procedures.advise.commands import NEW_JOB
from raytune_playbook.procedures.advise.judging import TITLES, launch_text
from raytune_playbook.procedures.advise.recorded import ProjectRecords, read_projects
from raytune_playbook.procedures.advise.stages import Judge
from raytune_playbook.procedures.command import command_of
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.registry import ClosedRecord
from raytune_playbook.records.storage import Storage

_STARTING = ("check-initial", "batch-size", "train-steps")
"""Once rounds explore, one of these that is stale is told, but holds nothing up: the rest was tuned as it is."""


def advise(storage: str = DEFAULT_STORAGE) -> Advice:
    """Where each workload's project stands in the playbook and what to do next, with the evidence and the command.

    Args:
        storage: folder or URI of the rounds; one that is empty, or not there, is a newcomer's.

    Returns:
        For each workload the stages of the playbook, each done, stale, next, not needed or later. It is told from the
        records alone: of rounds, of what procedures came to, and of the newest round's findings.

    Raises:
        StorageError: the storage cannot be understood.
    """
    projects, broken = read_projects(Storage(storage))
    return advice_of(projects, storage, broken)


def advice_of(projects: Sequence[ProjectRecords], storage: str, broken: Sequence[str] = ()) -> Advice:
    """The same from records that have been read."""
    found = tuple(_project(records, storage) for records in projects)
    return Advice(found or (_newcomer(storage),), tuple(broken))


def _project(records: ProjectRecords, storage: str) -> ProjectAdvice:
    judge = Judge(records, storage)
    stages = [
        judge.new(),
        judge.check_initial(),
        judge.batch_size(),
        judge.train_steps(),
        judge.rounds(),
        judge.stability(),
        judge.lengthen(),
        judge.exploit(),
        judge.variance(),
        judge.launch(),
        judge.test(),
    ]
    is_exploring = records.learned is not None and records.learned.best is not None
    launch = judge.launched()
    launched = None if launch is None else launch_text(launch)
    if records.closed is not None:  # whatever would go on ends in a launch, which is refused
        over = tuple(replace(_settled(stage), command=None) for stage in stages)
        closed = f"{launched or 'what a record that is gone says.'} {_closed_text(records.closed)}"
        return ProjectAdvice(records.workload, over, None, closed)
    if launched is not None and stages[-1].standing is Standing.DONE:
        over = tuple(stage if stage.standing is Standing.STALE else _settled(stage) for stage in stages)
        return ProjectAdvice(records.workload, over, None, launched)
    return _with_next(records.workload, stages, is_exploring=is_exploring, launched=launched)


def _closed_text(closed: ClosedRecord) -> str:
    return (
        f"Closed to launches since {closed.closed_at[:10]} (rule AD8): the validation set was folded into training "
        f"from {closed.round}; go on with other validation examples, as another workload."
    )


def _settled(stage: Stage) -> Stage:
    """A stage that is open where what is in use was launched and tested: it may follow, and need not."""
    if stage.standing.is_settled:
        return stage
    return replace(stage, standing=Standing.NOT_NEEDED, sentence=f"The launch did not wait for it. {stage.sentence}")


def _with_next(
    workload: str | None, stages: Sequence[Stage], *, is_exploring: bool, launched: str | None
) -> ProjectAdvice:
    """The first stage that is not settled is the next, and those after it have no command before their time."""
    place = next((number for number, stage in enumerate(stages) if _holds_up(stage, is_exploring)), None)
    if place is None:
        return ProjectAdvice(workload, tuple(stages), None, launched)
    following = stages[place]
    if following.standing is Standing.LATER:
        following = replace(following, standing=Standing.NEXT)
    after = [
        replace(stage, command=None) if stage.standing is Standing.LATER else stage for stage in stages[place + 1 :]
    ]
    return ProjectAdvice(workload, (*stages[:place], following, *after), following, launched)


def _holds_up(stage: Stage, is_exploring: bool) -> bool:
    if stage.standing is Standing.STALE:
        return not (is_exploring and stage.name in _STARTING)
    return not stage.standing.is_settled


def _newcomer(storage: str) -> ProjectAdvice:
    """For whom nothing is recorded: the batch size comes first, and what it takes to choose one."""
    how = {
        "new": "it runs as it is, and says at each place what to change.",
        "check-initial": "fast, simple, and clearly better than chance on the validation set.",
        "batch-size": "it is measured, and everything after it is tuned for it.",
    }
    stages = [
        Stage(
            name,
            title,
            Standing.NEXT if name in how else Standing.LATER,
            how.get(name, "once that is done."),
            command_of(name, NEW_JOB, storage if name != "new" else DEFAULT_STORAGE) if name in how else None,
        )
        for name, title in TITLES.items()
    ]
    return ProjectAdvice(None, tuple(stages), stages[0])
