"""Arguments and options that several commands have.

Paths are completed as files, and looked at by the commands themselves: most may be URIs.
"""

from __future__ import annotations

import click
from click.core import ParameterSource

from raytune_playbook.records import DEFAULT_STORAGE

JOB = click.argument("job", metavar="JOB", type=click.Path())
ROUND = click.argument("round", metavar="ROUND")
SUBMISSION = click.argument("submission", metavar="ID")
STORAGE = click.option(
    "--storage",
    default=DEFAULT_STORAGE,
    metavar="URI",
    type=click.Path(),
    help=f"Folder or URI that holds the rounds (default: {DEFAULT_STORAGE}).",
)


def _not_blank(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An option that is given says something: a variable in a script may be empty."""
    if value is not None and not value.strip():
        raise click.BadParameter(f"a cluster's HOST:PORT is needed, but got {value!r}; leave it out for the default.")
    return value


ADDRESS = click.option(
    "--address",
    metavar="ADDRESS",
    callback=_not_blank,
    help="Of a Ray cluster (default: RAY_ADDRESS, or this machine).",
)
DASHBOARD = click.option("--address", metavar="URL", help="Of the cluster's dashboard, such as http://127.0.0.1:8265.")


def require_named_storage(storage: str) -> None:
    """Refuse a storage that was named and is not there; the default one may still come.

    Raises:
        StorageError: there is no such folder.
    """
    from raytune_playbook.records.storage import Storage

    if click.get_current_context().get_parameter_source("storage") is ParameterSource.COMMANDLINE:
        Storage(storage).require_there()
