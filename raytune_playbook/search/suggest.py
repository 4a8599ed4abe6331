"""From a study and an index to a trial: a pure function, the same everywhere and in any order (rules QR2 to QR4)."""

from __future__ import annotations

from raytune_playbook.search import halton
from raytune_playbook.study.spec import TrialSpec, Value
from raytune_playbook.study.study import StudySpec


def suggest(study: StudySpec, index: int, repeat: int = 0) -> TrialSpec:
    """Trial ``index`` of a study; a repeat is the same point with other random seeds, not a new point."""
    return TrialSpec(
        study=study.name,
        index=index,
        repeat=repeat,
        seed=study.seed,
        values=values_at(study, index),
        max_train_steps=study.max_train_steps,
        evaluation_interval_steps=study.evaluation_interval_steps,
        divergence_factor=study.divergence_factor,
        objective=study.objective,
    )


def values_at(study: StudySpec, index: int) -> dict[str, Value]:
    """All hyperparameter values of trial ``index``, by name."""
    units = halton.point(index, len(study.space), study.seed)
    varied: dict[str, Value] = {
        name: kind.from_unit(float(unit)) for (name, kind), unit in zip(study.space.items(), units, strict=True)
    }
    return dict(sorted((study.fixed | study.arm | varied).items()))
