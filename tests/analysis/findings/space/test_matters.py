"""Rules IN15 and IN19: what matters, what must be tuned together, and what the next study can leave out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytune_playbook.analysis.findings.changes import Fix, SearchOver
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.importance import importance
from raytune_playbook.analysis.findings.space.left_out import left_out
from raytune_playbook.analysis.findings.space.matters import matters
from tests.analysis.findings.generated import Plan, Values, generated
from tests.analysis.findings.space.cases import NOISE, all_matter, nothing_matters, one_matters, rounds, together, unit


def test_in19_noise_alone_is_told_for_all_hyperparameters_at_once() -> None:
    (found,) = matters(nothing_matters(0))
    assert found.status is Status.LOOK
    assert "(learning_rate, momentum, weight_decay)" in found.sentence
    assert found.numbers["num_points"] == 12  # three studies of the same points
    (found,) = matters(one_matters(0))
    assert found.status is Status.PASSES


def test_in15_interactions_are_named_with_their_share() -> None:
    (found,) = importance(together(0, depends=True))
    assert "learning_rate and momentum (" in found.sentence
    assert found.numbers["num_interactions"] == 1
    assert found.proposal is not None
    assert "tune the other again" in found.proposal.sentence


def test_in15_shares_are_told_the_largest_first() -> None:
    (found,) = importance(one_matters(0))
    assert found.sentence.startswith("Of the differences between trials each explains by itself: learning_rate ")
    assert found.numbers["share_learning_rate"] > 0.6


def test_in19_what_makes_no_difference_is_fixed_at_the_best_trials_value() -> None:
    evidence = all_matter(0, 0.0)
    found = left_out(evidence)
    changes = [
        change for finding in found if finding.is_open and finding.proposal for change in finding.proposal.changes
    ]
    assert changes == [Fix("weight_decay", evidence.ranked[0].values["weight_decay"])]


def test_in19_a_clear_bowl_is_narrowed_around_the_best_but_nothing_asks_for_it() -> None:
    evidence = rounds({"learning_rate": 0.5, "momentum": 0.5, "weight_decay": 0.5}, 0, num_trials=60)
    narrow = [finding for finding in left_out(evidence) if finding.status is Status.PASSES]
    (change,) = narrow[0].proposal.changes if narrow[0].proposal else ()
    assert isinstance(change, SearchOver)
    assert change.name == "learning_rate"
    best = evidence.ranked[0].values["learning_rate"]
    assert change.hyperparameter.to_unit(best) is not None


def test_in19_what_is_to_be_widened_is_neither_fixed_nor_narrowed() -> None:
    """Of a weight decay that matters the other way round in the second value, so that nothing shows on average."""

    def objective(values: Values, rng: np.random.Generator) -> float:
        slope = 0.3 if values["depth"] == 20 else -0.3
        bowl = (unit(values, "learning_rate") - 0.5) ** 2
        return 0.05 + bowl + slope * unit(values, "weight_decay") + NOISE * float(rng.normal())

    evidence = generated(Plan(arms=({"depth": 20}, {"depth": 50}), fixed={}, trials_per_arm=40), 2, objective)
    assert named(boundary(evidence)) == {"weight_decay"}
    assert named(left_out(evidence)) == {"learning_rate"}


def named(findings: Sequence[Finding]) -> set[str]:
    """The hyperparameters that findings ask to fix, or to search elsewhere."""
    changes = (change for finding in findings if finding.proposal for change in finding.proposal.changes)
    return {change.name for change in changes if isinstance(change, Fix | SearchOver)}
