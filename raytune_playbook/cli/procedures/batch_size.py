"""The command that chooses a batch size."""

from __future__ import annotations

import click

from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_at, of_job


@commands.command("batch-size")
@of_job
@click.option("--min", type=int, metavar="N", help="The smallest size to try; 8 examples a worker by default.")
@click.option("--max", type=int, metavar="N", help="The largest size to try; until memory runs out by default.")
@click.option(
    "--steps-to-target",
    type=float,
    metavar="TARGET",
    help="Also measure the steps to this value of the objective, tuned anew at each size.",
)
@click.option("--num-trials", type=int, metavar="N", help="Of each size that look for the target; 10 by default.")
def _batch_size(
    job: str,
    min: int | None,
    max: int | None,
    steps_to_target: float | None,
    num_trials: int | None,
    again: bool,
    storage: str,
    address: str | None,
) -> None:
    """Find the batch sizes that fit, how fast each is trained, and which to take.

    JOB is a Python file that defines a Round.
    """
    loaded = job_at(job, storage)
    from raytune_playbook.procedures.batch_size.batch_size import batch_size

    batch_size(
        loaded.round,
        min=min,
        max=max,
        steps_to_target=steps_to_target,
        num_trials=num_trials,
        storage=storage,
        address=address,
        job=loaded,
        again=again,
    )
