"""The command line: ``raytune-playbook run JOB`` and its companions.

Exit codes: 0 done, or stopped cleanly; 1 the run failed, or none of its trials completed (its records are kept); 2 bad
input (nothing was started or written); 130 interrupted; 143 terminated. What is wrong is said in one sentence, without
a traceback.

A verb is a function in one of the modules here: its docstring is the help, its decorators are its arguments and
options. It imports what it needs when it is called, so that help, completion and listing rounds need not wait for ray
and torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from raytune_playbook.cli import (  # each registers its commands
    cluster,  # noqa: F401
    kubernetes,  # noqa: F401
    procedures,  # noqa: F401
    reading,  # noqa: F401
    running,  # noqa: F401
    submissions,  # noqa: F401
    trained,  # noqa: F401
)
from raytune_playbook.cli.group import BAD_INPUT, EXIT_0_IF_HOPELESS, HOPELESS, PROGRAM, commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code: int = commands.main(arguments, PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        click.echo(_usage_sentence(error), err=True)
        if EXIT_0_IF_HOPELESS not in arguments:
            return BAD_INPUT
        click.echo(HOPELESS, err=True)
        return 0
    return code


def _usage_sentence(error: click.UsageError) -> str:
    message = error.format_message()
    if error.ctx is None or not message.endswith("."):  # such as "Did you mean --storage?"
        return message
    return f"{message.removesuffix('.')}; see {error.ctx.command_path} --help."
