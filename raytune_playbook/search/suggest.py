"""From a study and an index to a trial: a pure function, the same everywhere and in any order (rules QR2 to QR4)."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.errors import SpaceError
from raytune_playbook.search.sequences import arm_at, arm_start, grid_point, point_of
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.space import active
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import TrialSpec


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
        target=study.target,
        objective=study.objective,
    )


def values_at(study: StudySpec, index: int) -> dict[str, Value]:
    """All hyperparameter values of trial ``index``, by name; None for one that does not exist in this trial.

    Raises:
        SpaceError: the study has no point of this index.
    """
    arm, varied = _point(study, index)
    absent: dict[str, Value] = dict.fromkeys(study.space.keys() - varied.keys())
    values = study.fixed | arm | absent | varied
    set_here = {target: values[name] for name, target in study.sets.items() if values[name] is not None}
    return dict(sorted((values | set_here).items()))


def _point(study: StudySpec, index: int) -> tuple[dict[str, Value], dict[str, Value]]:
    """The scientific values that set the trial apart, and those of the search."""
    if study.configurations:
        if study.arms:
            turn = arm_at(index, [len(study.configurations)] * len(study.arms), study.seed)
            return study.arms[turn.arm], study.configurations[turn.index_in_arm]
        return study.arm, _listed(study.configurations, index)
    if study.grid:
        return study.arm, grid_point(study.space, study.grid, index)
    if not study.arms:
        return study.arm, point_of(study.space, study.search, study.seed, index)
    # Each arm counts its own trials, so that its points fill the whole space whatever the other arms are.
    turn = arm_at(index, study.num_points_of_arms, study.seed)
    arm, start = study.arms[turn.arm], arm_start(turn.arm, study.seed)
    return arm, point_of(active(study.space, arm), study.search, study.seed, turn.index_in_arm, start)


def _listed(configurations: Sequence[dict[str, Value]], index: int) -> dict[str, Value]:
    if index >= len(configurations):
        raise SpaceError(f"A list of {len(configurations)} configuration(s) has no number {index}; add some.")
    return configurations[index]
