"""Commands that use trained models."""

from __future__ import annotations

import click

from raytune_playbook.cli.arguments import ROUND, STORAGE
from raytune_playbook.cli.group import commands
from raytune_playbook.study.datasets import SPLITS


@commands.command("predict")
@ROUND
@click.argument("trial", metavar="STUDY/INDEX")
@click.option("--data", metavar="URI", type=click.Path(), help="Files with the examples, in any format.")
@click.option("--split", type=click.Choice(SPLITS), help="Score this split of the round's instead, on record.")
@click.option("--output", metavar="FILE", type=click.Path(), help="Parquet file to write.")
@click.option("--step", type=int, metavar="STEP", help="Of a kept checkpoint (default: the best).")
@STORAGE
def _predict(
    round: str, trial: str, *, data: str | None, split: str | None, output: str | None, step: int | None, storage: str
) -> None:
    """Write what a trial's kept model says of any examples, or score a split.

    With --data, examples of any origin are predicted; with --split, all examples of one of the round's splits are
    scored by the workload's metrics, and the round's records say that they were.
    """
    if (data is None) == (split is None) or (data is not None and output is None):
        raise click.UsageError("Give --data with --output, or --split", click.get_current_context())
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    store = RoundStore(Storage(storage), round)
    store.trial_id(trial)  # before ray and torch are imported, which takes seconds
    if split is not None:
        from raytune_playbook.engine.trained.score import score
        from raytune_playbook.report.terminal import new_console, score_summary

        new_console().print(score_summary(store, score(store, trial, split, step=step, output=output)), soft_wrap=True)
    elif data is not None and output is not None:
        from raytune_playbook.engine.trained.predict import predict_file

        num_examples = predict_file(round, trial, data=data, output=output, storage=storage, step=step)
        click.echo(f"{num_examples} predictions stand in {output}.")
