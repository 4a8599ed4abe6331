"""The points of a short round that are trained again, conditional branches included (rules LN4, SD5 and SD9)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from raytune_playbook import Budget, Categorical, Float, Objective, Round
from raytune_playbook.analysis.answer.answer import answer_of
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.procedures.exploit.explored import explored, searched_round
from raytune_playbook.procedures.lengthen.points import chosen, compared_points, longer_round, points_of, share_text
from raytune_playbook.records.types import Outcome
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.frozen import Value
from tests.regression import Regression

SHORT, LONG = 10, 100


@pytest.fixture
def branches() -> Round:
    """Nesterov momentum against Adam, each with a learning rate of its own and what only it has."""
    return Round(
        name="optimizers",
        goal="Which optimizer is better?",
        workload=Regression(),
        scientific={"optimizer": Categorical(["nesterov", "adam"])},
        nuisance={
            "nesterov.learning_rate": Float(0.01, 1, scale="log", when={"optimizer": "nesterov"}),
            "momentum": Float(0.5, 0.99, scale="log_one_minus", when={"optimizer": "nesterov"}),
            "adam.learning_rate": Float(1e-4, 1e-2, scale="log", when={"optimizer": "adam"}),
            "dropout": Float(0, 0.5),
        },
        fixed={"schedule": "linear"},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=40, max_train_steps=SHORT, evaluation_interval_steps=5, wall_clock_s=60),
        seed=3,
    )


def trained(round_: Round, loss_of: Mapping[str, float]) -> list[Trial]:
    """Trials whose loss grows with their index, from a level of their own for each study."""
    return [
        Trial(
            study.name,
            index,
            values=values_at(study, index),
            outcome=Outcome.COMPLETED,
            objective=loss_of[str(study.arm["optimizer"])] + index * 0.01,
        )
        for study in round_.studies
        for index in range(study.num_trials)
    ]


def test_sd9_the_best_points_of_each_branch_are_trained_again_as_they_were(branches):
    trials = trained(branches, {"nesterov": 0.5, "adam": 0.1})
    points = chosen(points_of(branches, branches.studies, trials, branches.objective), 4)
    assert [(point.arm["optimizer"], point.trial.index) for point in points] == [
        ("adam", 0), ("nesterov", 0), ("adam", 1), ("nesterov", 1),
    ]  # fmt: skip
    longer = longer_round(branches, points, SHORT, LONG)
    (study,) = longer.studies
    assert study.num_trials == 4
    for index, point in enumerate(points):
        before = values_at(next(s for s in branches.studies if s.name == point.trial.study), point.trial.index)
        now: dict[str, Value] = values_at(study, index)
        expected = {name: before[name] for name in branches.defaults} | {"decay_steps": SHORT}
        assert {name: now[name] for name in branches.defaults} == expected
    assert longer.budget.max_train_steps == LONG
    assert longer.budget.evaluation_interval_steps == 50  # as many evaluations as before
    assert longer.budget.wall_clock_s is None


def test_sd9_why_fewer_points_than_asked_for_are_trained_is_said(branches):
    points = points_of(
        branches, branches.studies, trained(branches, {"nesterov": 0.5, "adam": 0.1}), branches.objective
    )
    assert share_text(points, len(chosen(points, 4)), 4) is None
    assert len(chosen(points, 3)) == 2
    assert share_text(points, 2, 3) == (
        "Not 3: each of the 2 scientific values has as many, 1, so that none is better by more trials alone (SD9)."
    )
    few = points[:1]
    assert share_text(few, len(chosen(few, 3)), 3) == "Not 3: no more were completed."


def test_ln6_both_lengths_are_put_side_by_side_and_what_crashed_tells_nothing(branches):
    trials = trained(branches, {"nesterov": 0.5, "adam": 0.1})
    points = chosen(points_of(branches, branches.studies, trials, branches.objective), 4)
    long = [
        Trial("all", 0, outcome=Outcome.COMPLETED, objective=0.05),
        Trial("all", 1, outcome=Outcome.FAILED),
        Trial("all", 2, outcome=Outcome.INFEASIBLE, reason="diverged: x"),
    ]
    found = compared_points(branches, points, long, branches.objective)
    assert [(each.name, each.short, each.long) for each in found] == [
        ("optimizer=adam/00000", pytest.approx(0.1), 0.05),
        ("optimizer=adam/00001", pytest.approx(0.11), float("inf")),
    ]
    assert set(found[0].values) == {"optimizer", "learning_rate", "momentum", "dropout"}
    assert found[0].arm_text == "optimizer=adam"


def test_qr8_a_branch_is_searched_in_its_own_space_and_trained_under_the_workloads_names(branches):
    class Seen:
        evidence = Evidence(
            tuple(branches.studies), branches.objective, tuple(trained(branches, {"nesterov": 0.5, "adam": 0.1}))
        )
        answer = answer_of(evidence, (), ())

    found = explored(
        branches.model_copy(update={"reasons": dict.fromkeys(branches.nuisance, "a test")}), Seen(), "rounds"
    )  # type: ignore[arg-type]
    assert set(found.space) == {"adam.learning_rate", "dropout"}
    point: dict[str, Value] = {"adam.learning_rate": 0.002, "dropout": 0.1}
    batch = searched_round(branches, found, [point])
    values = values_at(batch.studies[0], 0)
    assert (values["optimizer"], values["learning_rate"], values["dropout"]) == ("adam", 0.002, 0.1)
    assert found.point(found.configuration(point)) == point
