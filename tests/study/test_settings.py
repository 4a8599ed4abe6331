"""What a round is judged by, may spend and needs."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.settings import Objective, Resources


def test_ad6_the_test_split_cannot_be_an_objective():
    with pytest.raises(SpecError, match="split"):
        Objective(split="test")


def test_in13_the_best_value_of_the_validation_error_is_the_default_objective():
    assert (Objective().name, Objective().goal, Objective().over) == ("validation error", "minimize", "best")
    assert Objective().is_better(0.1, 0.2)
    assert not Objective().is_better(0.2, 0.2)
    assert Objective(goal="maximize").is_better(0.3, 0.2)


@pytest.mark.parametrize(("cpus", "threads"), [(0.25, 1), (1.0, 1), (1.9, 1), (4.0, 4)])
def test_threads_follow_from_logical_cpus_not_from_the_machine(cpus, threads):
    assert Resources(cpus_per_worker=cpus).threads_per_worker == threads
