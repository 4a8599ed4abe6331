"""``raytune-playbook propose ROUND``: from a round's findings to the job file of the next one (rule IN16)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.errors import InputError, JobFileError, StorageError
from raytune_playbook.procedures.propose.applied import applied
from raytune_playbook.procedures.propose.source import job_source
from raytune_playbook.procedures.propose.words import changes_text, closed_text, cost_text, header, unfinished_text
from raytune_playbook.procedures.propose.workload import workload_source
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.study.round import Round

Say = Callable[[str], None]


def propose(round: Round, result: Result, *, num_trials: int | None = None) -> Round | None:
    """The next round: what the findings of a round ask for, applied to it.

    Args:
        round: that was run.
        result: what it came to.
        num_trials: of the next round, in place of what follows from the findings.

    Returns:
        The round to run next, under a name of its own; None where no finding asks for a change.

    Raises:
        InputError: the result is another round's, or of a round that a procedure ran.
    """
    store = result.store
    _refuse_part(store)
    round = as_recorded(store, round)
    next_study = read_insight(store).next_study
    if not next_study.changes:
        return None
    return applied(round, next_study, next_name(store), num_trials=num_trials)


def write_job(
    store: RoundStore, say: Say, *, output: str | None = None, num_trials: int | None = None, dry_run: bool = False
) -> None:
    """Write the job file of the next round beside the one of a round, and say what it changes.

    Args:
        store: of the round.
        say: prints a text.
        output: the file to write; None for one named like the next round. A file that is there is left as it is.
        num_trials: of the next round, in place of what follows from the findings.
        dry_run: say what would change, and write nothing.

    Raises:
        InputError: there is no such round, a procedure ran it, its job file is gone or defines another round by now, or
            another file is there.
    """
    _refuse_part(store)
    insight = read_insight(store)
    for text in (unfinished_text(insight), None if insight.next_study.changes else closed_text(insight)):
        if text is not None:
            say(text)
    if not insight.next_study.changes:
        return
    if dry_run and insight.reading.record.job is None:
        say(changes_text(insight))
        return
    job = _job(store)
    named = None if output is None else _named(output, job)
    name = next_name(store, job.path, named)
    target = named or job.path.parent / file_name(name)
    new = applied(as_recorded(store, job.round), insight.next_study, name, num_trials=num_trials)
    text = _text(insight, job, new, target, store)
    is_there = _is_there(target, text)
    if not dry_run and not is_there:
        _write(target, text, new)
    say(changes_text(insight))
    say(f"Costs: {cost_text(new, insight.evidence.first_runs)}.")
    say(f"{'To be written' if dry_run else 'Written'}: {_shown(target)}")
    if not dry_run:
        say(f"Run it with: {_run_command(target, store)}")


# ---------------------------------------------------------------------- where it comes from


def _refuse_part(store: RoundStore) -> None:
    """A round of a procedure asks what the procedure wants to know: its findings are no reason for another round."""
    if (part := store.round().part_of) is not None:
        raise StorageError(
            f"A next round follows a round of its own, but {store.name!r} is part of the {part.text}, which says what "
            f"to do next: {part.command}"
        )


def _job(store: RoundStore) -> Job:
    """The job file that a round was run from.

    Raises:
        StorageError: it was run from Python, or its job file is gone or defines another round by now.
    """
    record = store.round()
    if record.job is None:
        raise StorageError(
            f"A job file is written beside another, but round {record.name!r} was run from Python ({record.command}); "
            "there, `raytune_playbook.propose(round, result)` returns the next round, and --dry-run shows its changes."
        )
    at = "" if record.commit is None else f" of commit {record.commit[:12]}"
    if not Path(record.job).is_file():
        raise StorageError(
            f"The next job file is made from the job file of round {record.name!r}, but {record.job} is gone; put the "
            f"file{at} back, or see the changes with --dry-run."
        )
    job = load_job(record.job)
    if job.round.fingerprint != record.fingerprint:
        raise StorageError(
            f"The next job file is made from the job file of round {record.name!r}, but {record.job} defines another "
            f"round by now; put the file{at} back, or run what it defines under a name of its own."
        )
    return job


# ---------------------------------------------------------------------- where it goes


def next_name(store: RoundStore, job: Path | None = None, output: Path | None = None) -> str:
    """The name of the round after one: ``digits``, ``digits_2``, ``digits_3``; none that a round in the storage has.

    Args:
        store: of the round.
        job: its job file; a name whose job file lies beside it is the next one all the same.
        output: the file that was asked for; with one it is not.
    """

    def is_round(name: str) -> bool:
        return RoundStore(store.storage, name).exists()

    def is_written(name: str) -> bool:
        return job is not None and (job.parent / file_name(name)).exists()

    def is_taken(name: str) -> bool:
        if job is None or output is None:
            return is_round(name) and not is_written(name)
        return is_round(name) or (is_written(name) and job.parent / file_name(name) != output)

    base, number = store.name, 2
    counted = re.fullmatch(r"(.+)_(\d+)", store.name)
    if counted is not None and (is_round(counted[1]) or is_written(counted[1])):  # `resnet_50` is no 50th round
        base, number = counted[1], int(counted[2]) + 1
    while is_taken(f"{base}_{number}"):
        number += 1
    return f"{base}_{number}"


def file_name(name: str) -> str:
    """A round's name as that of a Python file, which others can import."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{'round_' if stem[0].isdigit() else ''}{stem}.py"


def _named(output: str, job: Job) -> Path:
    target = Path(output).expanduser().resolve()
    if target.suffix != ".py" or not target.parent.is_dir() or target == job.path:
        raise JobFileError(
            f"--output: a Python file in a folder that is there, and not the old job file, is needed, but got "
            f"{output!r}; correct it."
        )
    return target


# ---------------------------------------------------------------------- writing it


def _text(insight: Insight, job: Job, new: Round, target: Path, store: RoundStore) -> str:
    workload = workload_source(job)
    if workload.is_users and target.parent.resolve() != job.path.parent:
        raise JobFileError(
            f"The next job file imports its workload from beside {job.path}, so it has to lie there, but --output "
            f"names {_shown(target)}; name a file in {job.path.parent}."
        )
    run, made_by = (
        _run_command(target, store),
        shlex.join(["raytune-playbook", "propose", store.name, *_storage(store)]),
    )
    return job_source(new, workload, header(insight, new, run=run, propose=made_by, job=_shown(job.path)))


def _is_there(target: Path, text: str) -> bool:
    """Whether the very job file is there already.

    Raises:
        JobFileError: another file is.
    """
    if not target.exists():
        return False
    if target.is_file() and target.read_bytes() == text.encode():
        return True
    raise JobFileError(
        f"A file is never overwritten, but {_shown(target)} is there and holds something else; run it or remove it, or "
        "name another with --output."
    )


def _write(target: Path, text: str, new: Round) -> None:
    """Write a job file, and see that it defines the round."""
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise JobFileError(
            f"The job file {_shown(target)} cannot be written: {error.strerror}; name another."
        ) from None
    if (fault := _fault(target, new)) is not None:
        target.unlink()
        raise JobFileError(
            f"The next job file imports its workload from the old one, but as {_shown(target)} {fault} Give the old "
            "file, and modules beside it, names that no other module has, or write the changes by hand (--dry-run "
            "shows them)."
        )


def _fault(target: Path, new: Round) -> str | None:
    """What is wrong with a job file that shall define a round."""
    try:
        loaded = load_job(str(target)).round
    except InputError as error:
        return f"it cannot be loaded: {error}"
    is_same = loaded.model_dump() == new.model_dump() and loaded.fingerprint == new.fingerprint
    return None if is_same else "it finds another workload."


def _run_command(target: Path, store: RoundStore) -> str:
    return shlex.join(["raytune-playbook", "run", _shown(target), *_storage(store)])


def _storage(store: RoundStore) -> list[str]:
    default = Path(DEFAULT_STORAGE).absolute()
    return [] if store.storage.local_path == default else ["--storage", store.storage.uri]


def _shown(path: Path) -> str:
    """From here, where it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
