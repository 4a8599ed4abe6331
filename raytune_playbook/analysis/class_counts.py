"""How many examples of a class were predicted correctly (rule EV6).

"For datasets with a small number of examples in a class label, log the number of examples predicted correctly to get
more insight into accuracy improvements (.05 sensitivity improvement sounds exciting, but was it just one more example
correct?)" (the playbook, "Choosing a sample for periodic evaluation").
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

NUM_CORRECT = "num_correct."
NUM_OF_CLASS = "num_examples."


def num_correct_column(label: str) -> str:
    """The measurement of how many of a class's examples were predicted correctly."""
    return NUM_CORRECT + label


def num_examples_column(label: str) -> str:
    """The measurement of how many examples of a class there are in the split."""
    return NUM_OF_CLASS + label


@dataclass(frozen=True)
class ClassCount:
    """One class at one evaluation.

    Fields:
        label: the class's name.
        num_examples, num_correct: in the split, and predicted correctly.
    """

    label: str
    num_examples: int
    num_correct: int

    @property
    def sensitivity(self) -> float | None:
        """The share that was predicted correctly; None for a class without examples."""
        return self.num_correct / self.num_examples if self.num_examples else None

    @property
    def sensitivity_of_one(self) -> float | None:
        """What one more correct example adds to the sensitivity."""
        return 1 / self.num_examples if self.num_examples else None


def class_counts(measurements: pa.Table | None, step: int, split: str = "validation") -> tuple[ClassCount, ...]:
    """The counts that the evaluation of a split at a step recorded, the rarest class first."""
    if measurements is None:
        return ()
    chosen = pc.and_(pc.equal(measurements["step"], step), pc.equal(measurements["split"], split))
    rows = measurements.filter(chosen).to_pylist()
    found = [
        ClassCount(name.removeprefix(NUM_CORRECT), int(row[NUM_OF_CLASS + name.removeprefix(NUM_CORRECT)]), int(value))
        for row in rows[-1:]
        for name, value in row.items()
        if name.startswith(NUM_CORRECT) and value is not None
    ]
    return tuple(sorted(found, key=lambda count: (count.num_examples, count.label)))


def gained(before: ClassCount, after: ClassCount) -> str:
    """A sentence that says of a gain in sensitivity how many examples it is.

    Raises:
        ValueError: they are of different classes or splits.
    """
    if (before.label, before.num_examples) != (after.label, after.num_examples):
        raise ValueError(f"counts of one class on one split can be compared, but got {before} and {after}")
    if before.sensitivity is None or after.sensitivity is None:
        return f"Class {before.label} has no examples here."
    more = after.num_correct - before.num_correct
    return (
        f"Class {before.label}: sensitivity {before.sensitivity:.3g} to {after.sensitivity:.3g}, "
        f"which is {more:+d} of {after.num_examples} examples."
    )
