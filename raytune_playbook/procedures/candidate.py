"""The job file of a candidate: one point as a round of its own, which can be retrained, launched and tuned further."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.errors import InputError, JobFileError
from raytune_playbook.procedures.propose.propose import file_name
from raytune_playbook.procedures.propose.source import job_source
from raytune_playbook.procedures.propose.workload import workload_source
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import is_same
from raytune_playbook.study.round import Round

_WIDTH = 118


def candidate_of(round_: Round, values: Mapping[str, Value], name: str, goal: str) -> Round:
    """A round of one trial at one point.

    Args:
        round_: whose workload, budget of a trial, objective and resources it has.
        values: of all of the workload's hyperparameters.
    """
    fixed = {n: values[n] for n, default in round_.defaults.items() if not is_same(values[n], default)}
    changes = {"num_trials": 1, "wall_clock_s": None, "target": None, "whole_checkpoints": ()}
    return round_.model_copy(
        update={
            "name": name,
            "goal": goal,
            "scientific": {},
            "nuisance": {},
            "configurations": (),
            "search": "halton",
            "fixed": fixed,
            "budget": round_.budget.model_copy(update=changes),
        }
    )


def write_candidate(job: Job, candidate: Round, header: str) -> Path:
    """Write the job file of a candidate beside the job file that it came from; one that is there is left alone.

    Args:
        job: that the candidate came from.
        candidate: under the name that it shall have, to which a number is added where another round's file is there.
        header: what it is, for its docstring.

    Returns:
        The file.

    Raises:
        JobFileError: it cannot be written, or would define another round.
    """
    workload, number = workload_source(job), 1
    while True:
        named = candidate if number == 1 else candidate.model_copy(update={"name": f"{candidate.name}_{number}"})
        path = job.path.parent / file_name(named.name)
        if not path.exists():
            break
        if _defines(path, named):
            return path
        number += 1
    try:
        path.write_text(job_source(named, workload, textwrap.fill(header, _WIDTH)), encoding="utf-8")
    except OSError as error:
        raise JobFileError(f"The job file {path} cannot be written: {error.strerror}; allow access.") from None
    if not _defines(path, named):
        path.unlink()
        raise JobFileError(
            f"A candidate's job file imports the workload of {job.path.name}, but as {path.name} it finds another; "
            "give the job file, and modules beside it, names that no other module has."
        )
    return path


def _defines(path: Path, round_: Round) -> bool:
    try:
        return load_job(str(path)).round.fingerprint == round_.fingerprint
    except InputError:
        return False
