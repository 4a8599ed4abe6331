"""The line that says how a round stands."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.driver.progress import ProgressLine
from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.types import TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Objective


@pytest.mark.parametrize(
    ("num_ended", "has_workers", "line"),
    [
        (0, False, "0/2 trials | workers are starting"),
        (0, True, "0/2 trials | about 1 min 40 s left"),
        (2, True, "2/2 trials"),
        (2, False, "2/2 trials"),  # the gangs have given their resources back
    ],
)
def test_workers_are_starting_only_while_there_is_something_for_them_to_do(
    make_round, quiet, num_ended, has_workers, line
):
    study = make_round("line").studies[0]
    tally = Tally(num_trials=2)
    for index in range(num_ended):
        (trial,) = trials_of(trials_table([TrialRecord(suggest(study, index), outcome="completed")]))
        tally.trials[trial.id] = trial
    progress = ProgressLine(quiet, Objective(), num_left=2, estimate_s=100.0)
    assert progress.line(tally, None, has_workers=has_workers) == line
