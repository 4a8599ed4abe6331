"""The line that says how a round stands."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.driver.progress import Left, ProgressLine
from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.types import TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Objective


def tally_of(make_round, num_ended: int) -> Tally:
    study = make_round("line").studies[0]
    tally = Tally(num_trials=2)
    for index in range(num_ended):
        (trial,) = trials_of(trials_table([TrialRecord(suggest(study, index), outcome="completed")]))
        tally.trials[trial.id] = trial
    return tally


@pytest.mark.parametrize(
    ("num_ended", "num_gangs", "line"),
    [
        (0, 0, "0/2 trials | workers are starting"),
        (0, 1, "0/2 trials | about 1 min 40 s left"),
        (2, 1, "2/2 trials"),
        (2, 0, "2/2 trials"),  # the gangs have given their resources back
    ],
)
def test_workers_are_starting_only_while_there_is_something_for_them_to_do(
    make_round, quiet, num_ended, num_gangs, line
):
    progress = ProgressLine(quiet, Objective())
    assert progress.line(tally_of(make_round, num_ended), None, Left(num_gangs, 100.0)) == line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, "1/2 trials | about 2 min 34 s left | best validation error 0.01944 (batch_norm=device/00006)"),
        (80, "1/2 trials | about 2 min 34 s left"),
    ],
)
def test_a_narrow_terminal_keeps_the_time_left_and_a_trial_is_named_as_commands_take_it(make_round, width, line):
    tally = tally_of(make_round, 1)
    best = replace(tally.trials["all", "00000"], study="batch_norm=device", index=6, objective=0.01944)
    console = Console(file=io.StringIO(), width=width)
    assert ProgressLine(console, Objective()).line(tally, best, Left(1, 154.3)) == line
