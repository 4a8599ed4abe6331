"""Commands that a project begins with."""

from __future__ import annotations

import click

from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_at, of_job


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
