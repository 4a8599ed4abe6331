"""The command that reads the test set."""

from __future__ import annotations

import sys

import click

from raytune_playbook.cli.arguments import ADDRESS, ROUND, STORAGE
from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_of_round


@commands.command("test")
@ROUND
@click.option("--reason", metavar="TEXT", help="Why the test set is read again.")
@click.option("--fold-validation", is_flag=True, help="Train on the validation examples, too; the workload ends there.")
@click.option("--yes", is_flag=True, help="Confirm that it ends there.")
@STORAGE
@ADDRESS
def _test(
    round: str, *, reason: str | None, fold_validation: bool, yes: bool, storage: str, address: str | None
) -> None:
    """Score a launched model on the test set: once, when tuning is over.

    With --fold-validation the launched configuration is trained on training and validation examples together first,
    and nothing of the workload can be launched after it.
    """
    job = job_of_round(round, storage)
    confirmed = yes
    if fold_validation and not yes and sys.stdin.isatty():
        confirmed = click.confirm("Nothing of this workload can be launched or compared after it. Does it end here?")
    from raytune_playbook.procedures.test_set.test import test

    test(
        job.round,
        reason=reason,
        fold_validation=fold_validation,
        confirmed=confirmed,
        storage=storage,
        address=address,
        job=job,
    )
