"""What the command `report` judges trials by."""

from __future__ import annotations

from raytune_playbook.report.objectives import objective_of
from raytune_playbook.study.settings import Objective


def test_qr5_what_is_not_said_is_as_in_the_rounds_own():
    own = Objective(metric="accuracy", goal="maximize", over="last")
    assert objective_of(own) is None
    assert objective_of(own, split="train") == Objective(metric="accuracy", split="train", goal="maximize", over="last")
    assert objective_of(own, metric="loss", goal="minimize", over="best") == Objective(metric="loss")
