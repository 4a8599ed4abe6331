"""What other tools call a hyperparameter changes nothing about what is found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Fix
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.instability import limited_by_instability
from raytune_playbook.analysis.findings.space.left_out import left_out
from tests.analysis.findings.generated import Plan, generated
from tests.analysis.findings.space.cases import NOISE, rounds, unit

Found = TypeVar("Found")


def test_other_tools_names_of_a_learning_rate_get_the_same_findings() -> None:
    """A learning rate that is not fixed, a wall of infeasible ones, and a range that ends at 0."""
    for rounds_of in (
        lambda: rounds({"learning_rate": 0.85, "momentum": 0.5, "weight_decay": 0.5}, 1, unstable_above=0.7),
        lambda: only_weight_decay_matters(0),
    ):
        ours = rounds_of()
        theirs = renamed(ours, "learning_rate", "optimizer/lr")
        found, expected = ([*limited_by_instability(e), *left_out(e), *boundary(e)] for e in (theirs, ours))
        assert [one.status for one in found] == [one.status for one in expected]
        assert [one.sentence for one in found] == [
            one.sentence.replace("learning_rate", "optimizer/lr") for one in expected
        ]


def only_weight_decay_matters(seed: int) -> Evidence:
    """Of which the other two can be fixed, a learning rate excepted."""
    return generated(
        Plan(trials_per_arm=40), seed, lambda values, rng: unit(values, "weight_decay") + NOISE * float(rng.normal())
    )


def renamed(evidence: Evidence, old: str, new: str) -> Evidence:
    """The same round with another name of one hyperparameter."""

    def of(values: Mapping[str, Found]) -> dict[str, Found]:
        return {new if name == old else name: value for name, value in values.items()}

    studies = [
        study.model_copy(update={"space": of(study.space), "fixed": of(study.fixed)}) for study in evidence.studies
    ]
    trials = [replace(trial, values=of(trial.values)) for trial in evidence.trials]
    return replace(evidence, studies=tuple(studies), trials=tuple(trials), roles=of(evidence.roles))


def test_a_learning_rate_is_not_fixed_whatever_it_is_called() -> None:
    evidence = only_weight_decay_matters(0)
    for found in (left_out(evidence), left_out(renamed(evidence, "learning_rate", "optim.lr"))):
        fixed = {c.name for one in found if one.proposal for c in one.proposal.changes if isinstance(c, Fix)}
        assert fixed == {"momentum"}
