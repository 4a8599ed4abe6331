"""``raytune-playbook stability ROUND``."""

from __future__ import annotations

import click

from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import job_of_round, of_round


@commands.command("stability")
@of_round
@click.option(
    "--base-times",
    type=float,
    default=10.0,
    show_default=True,
    help="The warmup study's base learning rate, as a multiple of the unstable one.",
)
def stability(round: str, base_times: float, storage: str, address: str | None, again: bool) -> None:
    """Find where training becomes unstable above a round's best learning rate, and mend it by warmup or clipping.

    Sweeps learning rates from half the best to ten times, evaluates the first steps at twice the best at every step,
    and, where instability keeps the learning rate small, finds the shortest stable warmup and a clipping threshold,
    and trains the whole sweep with each.
    """
    job = job_of_round(round, storage)
    from raytune_playbook.procedures.stability.stability import stability as run_stability

    run_stability(job.round, base_times=base_times, storage=storage, address=address, job=job, again=again)
