"""Commands that read what rounds have recorded."""

from __future__ import annotations

from pathlib import Path

import click

from raytune_playbook.cli.arguments import ROUND, STORAGE, require_named_storage
from raytune_playbook.cli.group import commands
from raytune_playbook.cli.report_options import ReportOptions, report_options, write_foreign_page
from raytune_playbook.errors import InputError
from raytune_playbook.records import DEFAULT_STORAGE


@commands.command("report")
@click.argument("round", metavar="[ROUND]", required=False)
@report_options
@click.option("--static", metavar="FOLDER", type=click.Path(), help="Write its plots as PNG and SVG there instead.")
@STORAGE
def _report(round: str | None, *, static: str | None, storage: str, **given: object) -> None:
    """Write a round's page and say where it is.

    With --objective, --maximize, --over and --split a round is judged otherwise than by its own objective, on a page of
    its own; what is not given is as in the round's. With --from-ray-tune, --from-optuna or --from-csv the trials are
    another tool's.
    """
    options = ReportOptions.model_validate(given)  # its types are the options' own
    if options.is_foreign:
        if round is not None:
            raise click.UsageError(
                f"Name ROUND {round!r} or another tool's trials, not both", click.get_current_context()
            )
        click.echo(write_foreign_page(options, static))
        return
    if round is None:
        raise click.UsageError("Name a ROUND, or another tool's trials", click.get_current_context())
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    store = RoundStore(Storage(storage), round)
    objective = options.judging(store.round().objective)
    if static is None:
        from raytune_playbook.report.page.page import write_page

        click.echo(write_page(store, objective=objective))
        return
    from raytune_playbook.report.page.page import read_insight
    from raytune_playbook.report.static import write_static

    files = write_static(read_insight(store, objective=objective), Path(static))
    click.echo(f"{len(files)} files in {static}")


@commands.command("propose")
@ROUND
@click.option("--output", metavar="FILE", type=click.Path(), help="Job file to write, under a name that is free.")
@click.option("--num-trials", type=int, metavar="N", help="Of the next round, in place of what follows from this one.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@STORAGE
def _propose(round: str, *, output: str | None, num_trials: int | None, dry_run: bool, storage: str) -> None:
    """Write the job file of the next round, with what a round's findings ask for.

    It lies beside the job file of ROUND, is named like it with a number behind, and runs as it is. Its header says
    which finding asked for what.
    """
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    store = RoundStore(Storage(storage), round)
    store.round()
    from raytune_playbook.procedures.propose.propose import write_job

    write_job(store, click.echo, output=output, num_trials=num_trials, dry_run=dry_run)


@commands.command("rounds")
@click.option("--all", "has_parts", is_flag=True, help="Also those that procedures ran.")
@STORAGE
def _rounds(has_parts: bool, storage: str) -> None:
    """List the rounds in a storage, and count those that procedures ran."""
    require_named_storage(storage)
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.report.terminal import new_console, rounds_table

    console = new_console()
    width = console.width if console.is_terminal else None
    console.print(rounds_table(Storage(storage), width=width, has_parts=has_parts), crop=False)


@commands.command("serve")
@click.argument("storage", metavar="[STORAGE]", default=DEFAULT_STORAGE, type=click.Path())
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen (default: this machine only).")
@click.option("--port", default=8471, type=int, metavar="PORT", help="Where to listen; 0 for any (default: 8471).")
@click.option("--no-token", is_flag=True, help="Let everybody on this machine see the rounds.")
def _serve(storage: str, host: str, port: int, no_token: bool) -> None:
    """List the rounds in a storage and show their pages in a browser.

    The pages are made fresh from the records, and those of running rounds refresh themselves.
    """
    require_named_storage(storage)
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.report.serve.server import Address, serve

    serve(Storage(storage), Address(host, port), click.echo, needs_token=not no_token)


@commands.command("note")
@ROUND
@click.argument("text", metavar="[TEXT]", required=False)
@STORAGE
def _note(round: str, text: str | None, storage: str) -> None:
    """Show a round's notes, or add a line to them."""
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    if text is not None and not text.strip():
        raise InputError("A note says something, but got an empty text; write it, or leave it out to see the notes.")
    store = RoundStore(Storage(storage), round)
    store.round()
    if text is not None:
        before = store.notes()
        store.write_notes(f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{text}\n")
    click.echo(store.notes(), nl=False)
