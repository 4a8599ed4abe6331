"""The command line: ``raytune-playbook run JOB`` and its companions.

Exit codes: 0 done, or stopped cleanly; 1 the run failed, or none of its trials completed (its records are kept); 2 bad
input (nothing was started or written); 130 interrupted. What is wrong is said in one sentence, without a traceback.

A verb is a function below: its docstring is the help, its decorators are its arguments and options. It imports what it
needs when it is called, so that help, completion and listing rounds need not wait for ray and torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from raytune_playbook.errors import InputError, PlaybookError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.study.datasets import SPLITS

if TYPE_CHECKING:
    from raytune_playbook.engine.rounds.result import Result
    from raytune_playbook.submission.submit import JobStatus

PROGRAM = "raytune-playbook"

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code: int = commands.main(arguments, PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        click.echo(_usage_sentence(error), err=True)
        return BAD_INPUT
    return code


def _usage_sentence(error: click.UsageError) -> str:
    message = error.format_message()
    if error.ctx is None or not message.endswith("."):  # such as "Did you mean --storage?"
        return message
    return f"{message.removesuffix('.')}; see {error.ctx.command_path} --help."


class _Command(click.Command):
    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help, whole, for the list of commands."""
        return (self.help or "").partition("\n")[0]


class _Commands(click.Group):
    """The commands in the order below; turns what one raises into a sentence and an exit code."""

    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> int:
        try:
            code: int | None = super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            return INTERRUPTED
        except PlaybookError as error:
            click.echo(error, err=True)
            return BAD_INPUT if isinstance(error, InputError) else FAILED
        return code or 0


@click.group(cls=_Commands, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Tune deep networks on a Ray cluster the way the Deep Learning Tuning Playbook says to."""


# ---------------------------------------------------------------------- arguments of several commands
# Paths are completed as files, and looked at by the commands themselves: most may be URIs.

_JOB = click.argument("job", metavar="JOB", type=click.Path())
_ROUND = click.argument("round", metavar="ROUND")
_SUBMISSION = click.argument("submission", metavar="ID")
_STORAGE = click.option(
    "--storage",
    default=DEFAULT_STORAGE,
    metavar="URI",
    type=click.Path(),
    help=f"Folder or URI that holds the rounds (default: {DEFAULT_STORAGE}).",
)
_ADDRESS = click.option(
    "--address", metavar="ADDRESS", help="Of a Ray cluster (default: RAY_ADDRESS, or this machine)."
)
_DASHBOARD = click.option("--address", metavar="URL", help="Of the cluster's dashboard, such as http://127.0.0.1:8265.")


# ---------------------------------------------------------------------- running rounds


@commands.command("run")
@_JOB
@click.option("--profile", metavar="FIRST-LAST", help="Training steps of trial 0 of each study that a profiler traces.")
@_STORAGE
@_ADDRESS
def _run(job: str, profile: str | None, storage: str, address: str | None) -> int:
    """Run the round that a job file defines, or go on with it.

    JOB is a Python file that defines a Round.
    """
    _look_at(job, storage)
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.run import run

    loaded = load_job(job)
    return _exit_code(run(loaded.round, storage=storage, address=address, job=loaded, profile=profile))


@commands.command("resume")
@_ROUND
@click.option("--retry-failed", is_flag=True, help="Also run the trials that failed.")
@_STORAGE
@_ADDRESS
def _resume(round: str, retry_failed: bool, storage: str, address: str | None) -> int:
    """Finish what is left of a round."""
    from raytune_playbook.engine.rounds.recorded import job_of
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    _look_at(job_of(RoundStore(Storage(storage), round)))
    from raytune_playbook.engine.rounds.run import resume

    return _exit_code(resume(round, storage=storage, address=address, retry_failed=retry_failed))


@commands.command("extend")
@_ROUND
@click.option("--num-trials", type=int, required=True, metavar="N", help="How many it shall have in all.")
@_STORAGE
@_ADDRESS
def _extend(round: str, num_trials: int, storage: str, address: str | None) -> int:
    """Give a round more trials, and run them."""
    from raytune_playbook.engine.rounds.recorded import job_to_extend
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    _look_at(job_to_extend(RoundStore(Storage(storage), round), num_trials))
    from raytune_playbook.engine.rounds.run import extend

    return _exit_code(extend(round, num_trials, storage=storage, address=address))


def _look_at(job: str, storage: str | None = None) -> None:
    """Refuse what needs no more than a look, before ray and torch are imported, which takes seconds."""
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.submission.staging import require_job_file

    require_job_file(Path(job))
    if storage is not None:
        Storage(storage).check_writable()


def _exit_code(result: Result) -> int:
    from raytune_playbook.report.terminal import no_answer

    status = result.store.status()
    if status is not None and status.reason == "interrupted":
        return INTERRUPTED
    return 0 if no_answer(result.store) is None else FAILED


@commands.command("stop")
@_ROUND
@click.option("--trial", metavar="STUDY/INDEX", help="Of the round's trials, the one to end.")
@_STORAGE
def _stop(round: str, trial: str | None, storage: str) -> None:
    """End a running round, or one of its trials, at the next evaluation."""
    from raytune_playbook.records.requests import stop

    click.echo(stop(round, storage=storage, trial=trial))


@commands.command("check")
@_JOB
@_ADDRESS
def _check(job: str, address: str | None) -> None:
    """Train a few steps of each study and evaluate, and record nothing.

    JOB is a Python file that defines a Round.
    """
    _look_at(job)
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.run import check

    check(load_job(job).round, address=address)


@commands.command("preprocess")
@_JOB
@_STORAGE
@_ADDRESS
def _preprocess(job: str, storage: str, address: str | None) -> None:
    """Preprocess a job's examples once and save them for later runs.

    JOB is a Python file that defines a Round.
    """
    _look_at(job, storage)
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.preprocess import preprocess

    preprocess(load_job(job).round, storage=storage, address=address)


# ---------------------------------------------------------------------- reading rounds


@commands.command("report")
@_ROUND
@_STORAGE
@click.option("--metric", metavar="NAME", help="Judge the trials by this metric, on a page of its own.")
@click.option("--split", type=click.Choice(["train", "validation"]), help="On which examples it is measured.")
@click.option("--over", type=click.Choice(["best", "last"]), help="The best value over training, or the last.")
@click.option("--goal", type=click.Choice(["minimize", "maximize"]), help="Whether small or large values are good.")
@click.option("--static", metavar="FOLDER", type=click.Path(), help="Write its plots as PNG and SVG there instead.")
def _report(
    round: str,
    *,
    metric: str | None,
    split: Literal["train", "validation"] | None,
    over: Literal["best", "last"] | None,
    goal: Literal["minimize", "maximize"] | None,
    static: str | None,
    storage: str,
) -> None:
    """Write a round's page and say where it is.

    By another objective than the round's own, which --metric, --split, --over and --goal name, it is judged without a
    new run. What is not given is as in the round's own.
    """
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore
    from raytune_playbook.report.objectives import objective_of

    store = RoundStore(Storage(storage), round)
    objective = objective_of(store.round().objective, metric=metric, split=split, over=over, goal=goal)
    if static is None:
        from raytune_playbook.report.page.page import write_page

        click.echo(write_page(store, objective=objective))
        return
    from raytune_playbook.report.page.page import read_insight
    from raytune_playbook.report.static import write_static

    files = write_static(read_insight(store, objective=objective), Path(static))
    click.echo(f"{len(files)} files in {static}")


@commands.command("propose")
@_ROUND
@click.option("--output", metavar="FILE", type=click.Path(), help="Job file to write, in place of what is there.")
@click.option("--num-trials", type=int, metavar="N", help="Of the next round, in place of what follows from this one.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@_STORAGE
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
@_STORAGE
def _rounds(storage: str) -> None:
    """List the rounds in a storage."""
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.report.terminal import new_console, rounds_table

    new_console().print(rounds_table(Storage(storage)))


@commands.command("serve")
@click.argument("storage", metavar="[STORAGE]", default=DEFAULT_STORAGE, type=click.Path())
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen (default: this machine only).")
@click.option("--port", default=8471, type=int, metavar="PORT", help="Where to listen; 0 for any (default: 8471).")
@click.option("--no-token", is_flag=True, help="Let everybody on this machine see the rounds.")
def _serve(storage: str, host: str, port: int, no_token: bool) -> None:
    """List the rounds in a storage and show their pages in a browser.

    The pages are made fresh from the records, and those of running rounds refresh themselves.
    """
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.report.serve.server import Address, serve

    serve(Storage(storage), Address(host, port), click.echo, needs_token=not no_token)


@commands.command("note")
@_ROUND
@click.argument("text", metavar="[TEXT]", required=False)
@_STORAGE
def _note(round: str, text: str | None, storage: str) -> None:
    """Show a round's notes, or add a line to them."""
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    store = RoundStore(Storage(storage), round)
    store.round()
    if text is not None:
        before = store.notes()
        store.write_notes(f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{text}\n")
    click.echo(store.notes(), nl=False)


@commands.command("predict")
@_ROUND
@click.argument("trial", metavar="STUDY/INDEX")
@click.option("--data", metavar="URI", type=click.Path(), help="Files with the examples, in any format.")
@click.option("--split", type=click.Choice(SPLITS), help="Score this split of the round's instead, on record.")
@click.option("--output", metavar="FILE", type=click.Path(), help="Parquet file to write.")
@click.option("--step", type=int, metavar="STEP", help="Of a kept checkpoint (default: the best).")
@_STORAGE
def _predict(
    round: str, trial: str, *, data: str | None, split: str | None, output: str | None, step: int | None, storage: str
) -> None:
    """Write what a trial's kept model says of any examples, or score a split.

    With --data, examples of any origin are predicted; with --split, all examples of one of the round's splits are
    scored by the workload's metrics, and the round's records say that they were.
    """
    if (data is None) == (split is None) or (data is not None and output is None):
        raise click.UsageError("Give --data with --output, or --split", click.get_current_context())
    if split is not None:
        from raytune_playbook.engine.trained.score import score
        from raytune_playbook.records.storage import Storage
        from raytune_playbook.records.store import RoundStore
        from raytune_playbook.report.terminal import new_console, score_summary

        store = RoundStore(Storage(storage), round)
        new_console().print(score_summary(store, score(store, trial, split, step=step, output=output)), soft_wrap=True)
    elif data is not None and output is not None:
        from raytune_playbook.engine.trained.predict import predict_file

        num_examples = predict_file(round, trial, data=data, output=output, storage=storage, step=step)
        click.echo(f"{num_examples} predictions stand in {output}.")


# ---------------------------------------------------------------------- on a cluster


@commands.command("submit")
@_JOB
@click.option("--ship-package", is_flag=True, help="Also send this package, where it is not installed.")
@_STORAGE
@_DASHBOARD
def _submit(job: str, ship_package: bool, storage: str, address: str | None) -> None:
    """Hand a job file to a Ray cluster, and print the submission's id.

    JOB is a Python file that defines a Round; its helper modules go with it.
    """
    from raytune_playbook.submission.submit import Job, submit

    click.echo(submit(Job(job, storage=storage, ship_package=ship_package), address))


@commands.command("status")
@_SUBMISSION
@_DASHBOARD
def _status(submission: str, address: str | None) -> int:
    """Say how a submission stands.

    The exit code is 0 while it waits or runs and when it has succeeded, 1 when it has failed, 130 when it was stopped.
    """
    from raytune_playbook.submission.submit import status

    answer = status(submission, address)
    click.echo(answer.state + (f": {answer.message}" if answer.message else ""))
    return _exit_code_of(answer)


def _exit_code_of(answer: JobStatus) -> int:
    return {"FAILED": FAILED, "STOPPED": INTERRUPTED}.get(answer.state, 0)


@commands.command("logs")
@_SUBMISSION
@click.option("--follow", is_flag=True, help="Until the job ends.")
@_DASHBOARD
def _logs(submission: str, follow: bool, address: str | None) -> int:
    """Print what a submission has printed.

    With --follow the exit code is that of `status`, so that it tells how the job has ended.
    """
    from raytune_playbook.submission.submit import logs, status

    for text in logs(submission, address, follow=follow):
        click.echo(text, nl=False)
    return _exit_code_of(status(submission, address)) if follow else 0
