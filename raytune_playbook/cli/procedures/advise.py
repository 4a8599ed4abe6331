"""Where a project stands in the playbook."""

from __future__ import annotations

import click

from raytune_playbook.cli.arguments import require_named_storage
from raytune_playbook.cli.group import commands
from raytune_playbook.records import DEFAULT_STORAGE


@commands.command("advise")
@click.argument("storage", metavar="[STORAGE]", default=DEFAULT_STORAGE, type=click.Path())
def _advise(storage: str) -> None:
    """Say where each project of a storage stands in the playbook, and what to do next.

    Every stage is done, stale, next, not needed or later, with its evidence and the command that does it.
    """
    require_named_storage(storage)
    from raytune_playbook.procedures.advise.advise import advise

    advice = advise(storage)
    click.echo(str(advice))
    for sentence in advice.broken:
        click.echo(sentence, err=True)
