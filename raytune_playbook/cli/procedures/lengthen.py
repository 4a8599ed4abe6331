"""``raytune-playbook lengthen``."""

from __future__ import annotations

import click

from raytune_playbook.cli.group import Command, commands
from raytune_playbook.cli.procedures.given import job_of_round, of_round

ALL = "all"
"""What ``--branch-decays`` stands for without lengths."""


class _Lengthen(Command):
    """The command, which click would tell of ``--branch-decays=-5`` that there is no option ``-5``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for each in args:
            if each.startswith("--branch-decays="):
                _lengths(each.partition("=")[2])
        return super().parse_args(ctx, args)


@commands.command("lengthen", cls=_Lengthen)
@of_round
@click.option(
    "--max-train-steps", type=int, required=True, metavar="N", help="Of the long round; about 10 x the short one's."
)
@click.option(
    "--num-trials", type=int, default=8, show_default=True, metavar="N", help="Of the best points are trained again."
)
@click.option(
    "--branch-decays",
    is_flag=False,
    flag_value=ALL,
    metavar="[STEPS,...]",
    help="Branch decays of these lengths (or of 10, 20 and 40%) off a run at a constant learning rate.",
)
def _lengthen(
    round: str,
    storage: str,
    address: str | None,
    again: bool,
    max_train_steps: int,
    num_trials: int,
    branch_decays: str | None,
) -> None:
    """Train a short round's best points for longer, and check its conclusions.

    Schedules are extended, not scaled: a linear decay keeps its length, a cosine stretches.
    """
    decays = _lengths(branch_decays)
    job = job_of_round(round, storage)
    from raytune_playbook.procedures.lengthen.lengthen import lengthen

    lengthen(
        job.round,
        max_train_steps=max_train_steps,
        num_trials=num_trials,
        branch_decays=decays,
        storage=storage,
        address=address,
        job=job,
        again=again,
    )


def _lengths(given: str | None) -> bool | list[int]:
    if given is None or given == ALL:
        return given == ALL
    if not all(part.strip().isdigit() for part in given.split(",")):
        raise click.BadParameter(f"decay lengths are numbers of steps, such as 100,200,400, but got {given!r}.")
    return [int(part) for part in given.split(",")]
