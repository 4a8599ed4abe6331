"""The command line: ``raytune-playbook run JOB`` and its companions.

Exit codes: 0 done, or stopped cleanly; 1 the run failed (its records are kept); 2 bad input (nothing was started or
written); 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raytune_playbook.errors import InputError, PlaybookError

if TYPE_CHECKING:
    from raytune_playbook.engine.rounds.result import Result

Command = Callable[[argparse.Namespace], int | None]
"""Returns an exit code, or None for 0."""

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options) or 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except PlaybookError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InputError) else 1


# ---------------------------------------------------------------------- commands
# Each imports what it needs, so that listing rounds need not wait for ray and torch.


def _run(options: argparse.Namespace) -> int:
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.run import run

    job = load_job(options.job)
    result = run(job.round, storage=options.storage, address=options.address, job=job, profile=options.profile)
    return _exit_code(result)


def _resume(options: argparse.Namespace) -> int:
    from raytune_playbook.engine.rounds.run import resume

    result = resume(options.round, storage=options.storage, address=options.address, retry_failed=options.retry_failed)
    return _exit_code(result)


def _extend(options: argparse.Namespace) -> int:
    from raytune_playbook.engine.rounds.run import extend

    result = extend(options.round, options.num_trials, storage=options.storage, address=options.address)
    return _exit_code(result)


def _exit_code(result: Result) -> int:
    status = result.store.status()
    return INTERRUPTED if status is not None and status.reason == "interrupted" else 0


def _check(options: argparse.Namespace) -> None:
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.run import check

    check(load_job(options.job).round, address=options.address)


def _preprocess(options: argparse.Namespace) -> None:
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.preprocess import preprocess

    preprocess(load_job(options.job).round, storage=options.storage, address=options.address)


def _stop(options: argparse.Namespace) -> None:
    from raytune_playbook.engine.driver.requests import stop

    stop(options.round, storage=options.storage, trial=options.trial)
    what = f"Trial {options.trial}" if options.trial else f"Round {options.round}"
    print(f"{what} ends at the next evaluation.")  # noqa: T201


def _report(options: argparse.Namespace) -> None:
    from raytune_playbook.records.store import RoundStore, Storage
    from raytune_playbook.report.page.page import write_page

    store = RoundStore(Storage(options.storage), options.round)
    store.round()
    print(write_page(store))  # noqa: T201


def _rounds(options: argparse.Namespace) -> None:
    from raytune_playbook.records.store import Storage
    from raytune_playbook.report.terminal import new_console, rounds_table

    new_console().print(rounds_table(Storage(options.storage)))


def _note(options: argparse.Namespace) -> None:
    from raytune_playbook.records.store import RoundStore, Storage

    store = RoundStore(Storage(options.storage), options.round)
    store.round()
    if options.text is not None:
        before = store.notes()
        store.write_notes(f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{options.text}\n")
    print(store.notes(), end="")  # noqa: T201


def _predict(options: argparse.Namespace) -> None:
    from raytune_playbook.engine.trained.predict import predict_file

    num_examples = predict_file(
        options.round,
        options.trial,
        data=options.data,
        output=options.output,
        storage=options.storage,
        step=options.step,
    )
    print(f"{num_examples} predictions stand in {options.output}.")  # noqa: T201


def _submit(options: argparse.Namespace) -> None:
    from raytune_playbook.submission.submit import Job, submit

    job = Job(options.job, storage=options.storage, ship_package=options.ship_package)
    print(submit(job, options.address))  # noqa: T201


def _status(options: argparse.Namespace) -> None:
    from raytune_playbook.submission.submit import status

    answer = status(options.submission, options.address)
    print(answer.state + (f": {answer.message}" if answer.message else ""))  # noqa: T201


def _logs(options: argparse.Namespace) -> None:
    from raytune_playbook.submission.submit import logs

    for text in logs(options.submission, options.address, follow=options.follow):
        print(text, end="", flush=True)  # noqa: T201


# ---------------------------------------------------------------------- their arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raytune-playbook",
        description="Tune deep networks on a Ray cluster the way the Deep Learning Tuning Playbook says to.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Command, help_: str, *, storage: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_, description=help_)
        added.set_defaults(command=command)
        if storage:
            added.add_argument(
                "--storage",
                default="rounds",
                metavar="URI",
                help="folder or URI that holds the rounds (default: rounds)",
            )
        return added

    def add_address(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--address", metavar="ADDRESS", help="of a Ray cluster (default: RAY_ADDRESS, or this machine)"
        )

    run = add("run", _run, "run the round that a job file defines, or go on with it")
    run.add_argument("job", metavar="JOB", help="a Python file that defines a Round")
    run.add_argument(
        "--profile", metavar="FIRST-LAST", help="training steps of trial 0 of each study that a profiler traces"
    )
    add_address(run)

    resume = add("resume", _resume, "finish what is left of a round")
    resume.add_argument("round", metavar="ROUND")
    resume.add_argument("--retry-failed", action="store_true", help="also run the trials that failed")
    add_address(resume)

    extend = add("extend", _extend, "give a round more trials, and run them")
    extend.add_argument("round", metavar="ROUND")
    extend.add_argument("--num-trials", type=int, required=True, metavar="N", help="how many it shall have in all")
    add_address(extend)

    stop = add("stop", _stop, "end a running round, or one of its trials, at the next evaluation")
    stop.add_argument("round", metavar="ROUND")
    stop.add_argument("--trial", metavar="STUDY/INDEX")

    check = add("check", _check, "train a few steps and evaluate, and record nothing", storage=False)
    check.add_argument("job", metavar="JOB", help="a Python file that defines a Round")
    add_address(check)

    preprocess = add("preprocess", _preprocess, "preprocess a job's examples once and save them for later runs")
    preprocess.add_argument("job", metavar="JOB", help="a Python file that defines a Round")
    add_address(preprocess)

    report = add("report", _report, "write a round's page and say where it is")
    report.add_argument("round", metavar="ROUND")

    add("rounds", _rounds, "list the rounds in a storage")

    note = add("note", _note, "show a round's notes, or add a line to them")
    note.add_argument("round", metavar="ROUND")
    note.add_argument("text", metavar="TEXT", nargs="?")

    predict = add("predict", _predict, "write what a trial's kept model says of any examples")
    predict.add_argument("round", metavar="ROUND")
    predict.add_argument("trial", metavar="STUDY/INDEX")
    predict.add_argument("--data", required=True, metavar="URI", help="Parquet files with the examples")
    predict.add_argument("--output", required=True, metavar="FILE", help="Parquet file to write")
    predict.add_argument("--step", type=int, metavar="STEP", help="of a kept checkpoint (default: the best)")

    _add_submission(add)
    return parser


def _add_submission(add: Callable[..., argparse.ArgumentParser]) -> None:
    submit = add("submit", _submit, "hand a job file to a Ray cluster, and print the submission's id")
    submit.add_argument("job", metavar="JOB", help="a Python file that defines a Round; its helper modules go with it")
    submit.add_argument("--ship-package", action="store_true", help="also send this package, where it is not installed")
    for name, command, help_ in (
        ("status", _status, "say how a submission stands"),
        ("logs", _logs, "print what a submission has printed"),
    ):
        added = add(name, command, help_, storage=False)
        added.add_argument("submission", metavar="ID")
        added.add_argument("--address", metavar="URL", help="of the cluster's dashboard")
        if name == "logs":
            added.add_argument("--follow", action="store_true", help="until the job ends")
    submit.add_argument("--address", metavar="URL", help="of the cluster's dashboard, such as http://127.0.0.1:8265")
