"""The group of all commands: their order, their exit codes, and errors as one sentence."""

from __future__ import annotations

import click

from raytune_playbook.errors import NOT_RETRIED, InputError, PlaybookError

PROGRAM = "raytune-playbook"

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes."""

EXIT_0_IF_HOPELESS = "--exit-0-if-hopeless"
"""The option of `run` for whoever starts failed jobs again."""

HOPELESS = f"The run failed, and {NOT_RETRIED}; so the exit code is 0."
"""What is said with that option where nothing is to be started again."""

ORDER = (
    *("run", "resume", "extend", "stop", "check", "preprocess"),
    *("report", "propose", "rounds", "serve", "note", "predict"),
    *("new", "check-initial", "batch-size", "train-steps", "stability", "lengthen", "exploit"),
    *("variance", "launch", "test", "advise"),
    *("doctor", "submit", "status", "logs", "cancel", "manifest"),
)
"""Of the commands in the list of them: those of a round's life, then the playbook's procedures in its order."""


class Command(click.Command):
    """One that is listed with its whole first sentence."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help, whole, for the list of commands."""
        return (self.help or "").partition("\n")[0]


class _Commands(click.Group):
    """The commands in `ORDER`; turns what one raises into a sentence and an exit code."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=ORDER.index)

    def invoke(self, ctx: click.Context) -> int:
        try:
            code: int | None = super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # the latter while something is asked
            from raytune_playbook.engine.cluster.termination import EXIT_CODE, has_come

            click.echo("Terminated." if has_come() else "Interrupted.", err=True)
            return EXIT_CODE if has_come() else INTERRUPTED
        except PlaybookError as error:
            click.echo(error, err=True)
            return BAD_INPUT if isinstance(error, InputError) else FAILED
        return code or 0


@click.group(cls=_Commands, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Tune deep networks on a Ray cluster the way the Deep Learning Tuning Playbook says to."""
