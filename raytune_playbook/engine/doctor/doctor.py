"""`doctor`: whether a cluster is fit for rounds."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raytune_playbook.analysis.wording import form_for
from raytune_playbook.engine.doctor.facts import Diagnosis, Level
from raytune_playbook.engine.doctor.gather import gather
from raytune_playbook.engine.doctor.judge import judge
from raytune_playbook.engine.session import cluster_address, connect
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.storage import Storage
from raytune_playbook.report.terminal import new_console

STYLES = {Level.OK: "green", Level.LOOK: "yellow", Level.WRONG: "bold red"}


def doctor(
    *, storage: str = DEFAULT_STORAGE, address: str | None = None, console: Console | None = None
) -> list[Diagnosis]:
    """Look at every node of a cluster from inside, and print what is well and what is not, with what to do.

    Versions, clocks, memory, disks, GPUs, and a real write, read and all-reduce. Nothing is left on the nodes or in the
    storage.

    Args:
        storage: where rounds would be stored, as for `run`.
        address: of the cluster, as for `connect`.
        console: None for the terminal.

    Returns:
        The lines that were printed.

    Raises:
        InputError: the storage cannot be understood, or written from this machine where that is the cluster; or there
            is no such cluster.
    """
    console = console or new_console()
    place = Storage(storage)
    if not ray.is_initialized() and cluster_address(address) is None:
        place.check_writable()  # as its only node would
        console.print("Starting a cluster on this machine, as `run` does.")
    owns_cluster = connect(address)
    try:
        lines = judge(gather(place.uri))
    finally:
        if owns_cluster:
            ray.shutdown()
    _print(lines, console)
    return lines


def is_well(lines: Sequence[Diagnosis]) -> bool:
    """Whether nothing is wrong."""
    return all(line.level is not Level.WRONG for line in lines)


def _print(lines: Sequence[Diagnosis], console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for line in lines:
        table.add_row(Text(line.level.value, STYLES[line.level]), line.subject, Text(line.sentence))
    console.print(table)
    num_wrong, num_look = (sum(line.level is level for line in lines) for level in (Level.WRONG, Level.LOOK))
    sentence = f"{_things(num_wrong)} to mend before a round" if num_wrong else "Fit for rounds"
    console.print(f"{sentence}; {_things(num_look)} to look at." if num_look else f"{sentence}.")


def _things(num: int) -> str:
    return f"{num} {form_for(num, 'thing', 'things')}"
