"""Is an improvement more than one more correct example of a rare class? (Rule EV6.)

The playbook: ".05 sensitivity improvement sounds exciting, but was it just one more example correct?"
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raytune_playbook.analysis.class_counts import NUM_CORRECT, ClassCount, num_examples_column
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.series.curves import Curve, Evaluation
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.study.wording import values_text

RULE, QUESTION = "EV6", "Is an improvement more than one more correct example of a rare class?"

EXCITING = 0.05
"""A gain of sensitivity that sounds exciting; a class of which one example is as much is rare."""

_MOST_NAMED = 4


def rare_classes(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the classes of which a single example changes the sensitivity by much, in each value's best trial."""
    of_arms = [(arm, counts) for arm in evidence.arms if arm.best and (counts := _counts(evidence, arm.best))]
    if not of_arms:
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "How many of each class are correct was not recorded.")]
    found = [_rare(count.label, of_arms) for count in of_arms[0][1] if (count.sensitivity_of_one or 0) >= EXCITING]
    if found:
        return found
    rarest = of_arms[0][1][0]
    sentence = (
        f"No class is rare: the fewest examples, {rarest.num_examples:,}, has class {rarest.label}, where one more "
        f"right raises the sensitivity by {number_text(rarest.sensitivity_of_one, 2)}."
    )
    return [Finding(RULE, QUESTION, Status.PASSES, sentence, {"num_examples": rarest.num_examples})]


def _rare(label: str, of_arms: Sequence[tuple[Arm, Sequence[ClassCount]]]) -> Finding:
    named = [(arm, count) for arm, counts in of_arms for count in counts if count.label == label]
    one = named[0][1]
    correct = ", ".join(
        f"{count.num_correct} with {values_text(arm.values)}" if arm.values else f"{count.num_correct}"
        for arm, count in named[:_MOST_NAMED]
    )
    examples = "1 example" if one.num_examples == 1 else f"{one.num_examples} examples"
    sentence = (
        f"Class {label} has {examples}, so one more that is right raises its sensitivity by "
        f"{number_text(one.sensitivity_of_one, 2)}. Right in the best trial: {correct}."
    )
    return Finding(
        RULE,
        QUESTION,
        Status.LOOK,
        sentence,
        {"num_examples": one.num_examples, "sensitivity_of_one": one.sensitivity_of_one or 0.0},
        trials=tuple(arm.best.id for arm, _ in named if arm.best),
        proposal=Proposal(
            f"Compare how many examples of class {label} are right rather than its sensitivity, or validate on more of "
            "them."
        ),
    )


def _counts(evidence: Evidence, trial: Trial) -> list[ClassCount]:
    """At the trial's best step, the rarest class first; classes without examples are left out."""
    curves = evidence.curves.get(trial.id)
    if curves is None:
        return []
    split = evidence.objective.split
    found = []
    for about, curve in curves.about.items():
        label = about.metric.removeprefix(NUM_CORRECT)
        if about.split != split or label == about.metric:
            continue
        correct = _at(curve, trial.best_step)
        examples = _at(curves.about.get(Evaluation(split, num_examples_column(label))), trial.best_step)
        if correct is not None and examples:
            found.append(ClassCount(label, int(examples), int(correct)))
    return sorted(found, key=lambda count: (count.num_examples, count.label))


def _at(curve: Curve | None, step: int | None) -> float | None:
    """The value at a step, or the last one where the best step is not known."""
    if curve is None or len(curve.steps) == 0:
        return None
    places = np.flatnonzero(curve.steps == step) if step is not None else np.array([], dtype=np.int64)
    value = float(curve.values[places[-1] if len(places) else -1])
    return value if math.isfinite(value) else None
