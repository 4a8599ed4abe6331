"""The command that decides whether to launch, and the registry of launches."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raytune_playbook.cli.arguments import ADDRESS, STORAGE, require_named_storage
from raytune_playbook.cli.group import commands
from raytune_playbook.cli.procedures.given import AGAIN, job_of_round
from raytune_playbook.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from raytune_playbook.records.registry import LaunchRecord, TestRecord


@commands.command("launch")
@click.argument("round", metavar="[ROUND]", required=False)
@click.option("--against", metavar="ROUND", help="Whose best is the baseline (default: what was launched last).")
@click.option("--complexity", metavar="TEXT", help="What the change adds to the pipeline, in words, or none.")
@click.option("--num-retrains", type=int, metavar="N", help="Of both (default: 20, fewer of long trainings).")
@click.option("--path-retrains", type=int, metavar="N", help="Of each configuration in between; 0 for no path.")
@click.option("--anyway", metavar="REASON", help="Launch it whatever the verdict, and record why.")
@click.option("--list", "is_list", is_flag=True, help="Show the registry of launches instead.")
@click.option("--output", metavar="FILE", type=click.Path(), help="Write the registry as .csv or .parquet.")
@AGAIN
@STORAGE
@ADDRESS
def _launch(
    round: str | None,
    *,
    against: str | None,
    complexity: str | None,
    num_retrains: int | None,
    path_retrains: int | None,
    anyway: str | None,
    is_list: bool,
    output: str | None,
    again: bool,
    storage: str,
    address: str | None,
) -> None:
    """Decide whether a round's best configuration is launched, and record it.

    Candidate and baseline are trained again with other seeds, and their medians compared. With --list or --output the
    registry of launches is shown or written.
    """
    if is_list or output is not None:
        require_named_storage(storage)
        _show_registry(storage, output, is_list=is_list)
        return
    if round is None:
        raise click.UsageError(
            "A ROUND is launched, but none was given; name one, or give --list for what was launched",
            click.get_current_context(),
        )
    job, other = job_of_round(round, storage), None if against is None else job_of_round(against, storage)
    if complexity is None:
        raise InputError(
            "What a change adds to the training pipeline is said before it is launched (rule AD4), but nothing was; "
            f"say it in words, or: {shlex.join(['raytune-playbook', 'launch', round, '--complexity', 'none'])}"
        )
    from raytune_playbook.procedures.launch.launch import launch

    launch(
        job.round,
        complexity=complexity,
        against=None if other is None else other.round,
        num_retrains=num_retrains,
        path_retrains=path_retrains,
        anyway=anyway,
        storage=storage,
        address=address,
        job=job,
        again=again,
    )


def _show_registry(storage: str, output: str | None, *, is_list: bool) -> None:
    from raytune_playbook.analysis.wording import form_for
    from raytune_playbook.records.registry import read_launches, read_tests, registry_table
    from raytune_playbook.records.storage import Storage, has_columns, refuse_other_file
    from raytune_playbook.report.terminal import new_console

    launches, tests = read_launches(Storage(storage)), read_tests(Storage(storage))
    if output is not None:
        import pyarrow.csv as csv
        import pyarrow.parquet as pq

        if not output.endswith((".csv", ".parquet")):
            raise InputError(f"The registry is written as .csv or .parquet, but got {output!r}; name the file so.")
        if not Path(output).absolute().parent.is_dir():
            raise InputError(
                f"The registry is written into a folder that is there, but {output!r} is in none; make it first."
            )
        refuse_other_file(output, has_columns("launch", "launched_at"), "registries of launches")
        table = registry_table(launches, tests)
        csv.write_csv(table, output) if output.endswith(".csv") else pq.write_table(table, output)
        stand = form_for(len(launches), "launch stands", "launches stand")
        click.echo(f"{len(launches)} {stand} in {output}.")
    if output is not None and not is_list:
        return
    if launches:
        new_console().print(_table(launches, tests))
    else:
        click.echo("Nothing was launched yet; decide on a round: raytune-playbook launch ROUND --complexity none")


def _table(launches: list[LaunchRecord], tests: list[TestRecord]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from raytune_playbook.analysis.wording import number_text
    from raytune_playbook.study.wording import values_text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in (
        "launch",
        "workload",
        "trial",
        "median",
        "replaced",
        "probability",
        "verdict",
        "changes",
        "test",
        "launched",
    ):
        table.add_column(head, overflow="fold")
    for launch in launches:
        read = [f"{number_text(t.value)}{' (folded)' * t.is_folded}" for t in tests if t.launch == launch.number]
        against = "" if launch.anyway is None else f", launched against it: {launch.anyway}"
        changed = {name: value for change in launch.changes for name, value in change.now.items()}
        row = (
            str(launch.number),
            launch.workload.name,
            f"{launch.trial} of {launch.round}",
            number_text(launch.median),
            launch.replaced,
            f"{launch.probability:.1%}" if launch.probability is not None else "",
            f"{launch.verdict}{against}",
            values_text(changed),
            ", then ".join(read),
            launch.launched_at[:10],
        )
        table.add_row(*(Text(cell) for cell in row))
    return table
