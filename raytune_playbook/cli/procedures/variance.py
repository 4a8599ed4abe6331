"""The command that says how much of a result is chance."""

from __future__ import annotations

import click

from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_of_round, of_round


@commands.command("variance")
@of_round
@click.option("--num-retrains", type=int, metavar="N", help="Of the best trial (default: 20, fewer of long trainings).")
@click.option("--study-seeds", type=int, metavar="N", help="Search the same space N times more.")
@click.option("--data-splits", type=int, metavar="N", help="Train in N other divisions of the examples.")
def _variance(
    round: str,
    *,
    num_retrains: int | None,
    study_seeds: int | None,
    data_splits: int | None,
    again: bool,
    storage: str,
    address: str | None,
) -> None:
    """Train a round's best configuration again, and say how much of its result is chance.

    By default 20 times, or as many times as one gang trains in an hour, at least 5.
    """
    job = job_of_round(round, storage)
    from raytune_playbook.procedures.variance.variance import variance

    variance(
        job.round,
        num_retrains=num_retrains,
        study_seeds=study_seeds,
        data_splits=data_splits,
        storage=storage,
        address=address,
        job=job,
        again=again,
    )
