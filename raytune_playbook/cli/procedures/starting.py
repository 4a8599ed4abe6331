"""Commands that a project begins with."""

from __future__ import annotations

import shlex
import sys

import click

from raytune_playbook.cli.arguments import JOB
from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_at, of_job
from raytune_playbook.procedures.new import usual_labels_text

_KINDS, _TASKS = ("bundled", "arrays", "files", "torch-dataset"), ("classification", "regression")

_SOURCES = {
    "arrays": "An .npz file with an array per column",
    "files": "Path, URI or pattern of Parquet, CSV, NumPy or image files",
    "torch-dataset": "module:attribute of a torch Dataset of (input, label)",
}


@commands.command("new")
@JOB
@click.option("--data", type=click.Choice(_KINDS), help="What kind (default: told by --source, or bundled).")
@click.option("--source", metavar="SOURCE", help="An .npz file, a path or pattern of files, or module:attribute.")
@click.option("--task", type=click.Choice(_TASKS), help="What is predicted (default: told by the labels).")
@click.option("--label", metavar="COLUMN", help=f"That holds the labels (default: {usual_labels_text()}).")
def _new(job: str, data: str | None, source: str | None, task: str | None, label: str | None) -> None:
    """Write a job file to start from, which runs as it is.

    It says at each place what to change. On a terminal it asks for what is not given. Nothing is overwritten.
    """
    from raytune_playbook.procedures.new.new import data_text, kind_of, new, new_file

    new_file(job)  # before anything is asked
    if _is_terminal():
        if data is None and source is None:
            data = click.prompt("Which data?", type=click.Choice(_KINDS), default="bundled")
        if data in _SOURCES and source is None:
            source = click.prompt(_SOURCES[data])
        if (data or kind_of(source)) == "bundled" and task is None:
            task = click.prompt("Which task?", type=click.Choice(_TASKS), default="classification")
    file = new(job, data=data, source=source, task=task, label=label)
    click.echo(f"Written: {file}, for {data_text(data, source, task)}.")
    click.echo("It runs as it is; CHANGE says at each place what to make your own.")
    next_command = shlex.join(["raytune-playbook", "check-initial", str(file)])
    click.echo(f"Check the configuration that it starts from:\n  {next_command}")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


@commands.command("check-initial")
@click.option("--round-hours", type=float, default=12.0, metavar="H", help="How long a round may take (default: 12).")
@of_job
def _check_initial(job: str, round_hours: float, again: bool, storage: str, address: str | None) -> None:
    """Is a job's initial configuration fast, simple, and better than chance?

    Trains one trial: what the job fixes, the workload's defaults, and of what its round varies the default too where it
    is in the range. Its validation metric is compared with that of permuted labels.
    """
    loaded = job_at(job, storage)
    from raytune_playbook.procedures.check_initial.check_initial import check_initial

    check_initial(loaded.round, round_hours=round_hours, job=loaded, storage=storage, address=address, again=again)


@commands.command("train-steps")
@click.option("--loss", type=float, metavar="X", help="A training loss that is a perfect fit (default: no error).")
@click.option("--max-steps", type=int, metavar="N", help="The most to try (default: 4 times the job's).")
@click.option("--learning-rate", type=float, metavar="X", help="The middle of the grid (default: the initial one).")
@of_job
def _train_steps(
    job: str,
    loss: float | None,
    max_steps: int | None,
    learning_rate: float | None,
    again: bool,
    storage: str,
    address: str | None,
) -> None:
    """Find a candidate for max_train_steps, where training is not compute-bound.

    Sweeps a constant learning rate without augmentation and regularization, over more and more steps, until one fits
    the training set perfectly. Run again when the job's round has run, it also says what its best steps suggest.
    """
    loaded = job_at(job, storage)
    from raytune_playbook.procedures.train_steps.train_steps import train_steps

    train_steps(
        loaded.round,
        loss=loss,
        max_steps=max_steps,
        learning_rate=learning_rate,
        job=loaded,
        storage=storage,
        address=address,
        again=again,
    )
