"""Runs the branches of a long run: one round at the constant rate, then a round for each length of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.procedures.lengthen.branches import (
    Branch,
    BranchEnd,
    best_after,
    constant_values,
    decaying_values,
    planned,
)
from raytune_playbook.procedures.lengthen.points import alike
from raytune_playbook.procedures.procedure import Procedure
from raytune_playbook.records.store import RoundStore
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, is_same
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import trial_key
from raytune_playbook.train.saved.branching import KeptWhole
from raytune_playbook.train.saved.checkpoints import checkpoints_folder


@dataclass(frozen=True)
class Branched:
    """What the run at the constant rate and its branches came to."""

    constant: BranchEnd
    ends: tuple[BranchEnd, ...]


def run_branches(
    p: Procedure, round_: Round, values: Mapping[str, Value], decays: Sequence[int], max_train_steps: int
) -> Branched:
    """Train one configuration at a constant rate, and branch decays off it.

    Args:
        round_: whose workload, seed and resources they have.
        values: the configuration.
        decays: lengths, in steps.
        max_train_steps: of the longest branches, and of the run that they are branched off.
    """
    warmup, interval = values.get("warmup_steps"), min(round_.budget.evaluation_interval_steps, min(decays))
    plan = planned(decays, max_train_steps, warmup if isinstance(warmup, int) else 0, interval)
    p.say(
        f"The best point is trained for {count_text(max_train_steps)} steps at a constant learning rate, and "
        f"{len(plan)} decays are branched off its checkpoints."
    )
    constant = _of(round_, constant_values(values), max_train_steps, interval)
    steps = tuple(sorted({branch.from_step for branch in plan if branch.from_step}))
    constant = constant.model_copy(update={"budget": constant.budget.model_copy(update={"whole_checkpoints": steps})})
    base = p.run(f"constant-{max_train_steps}", constant)
    whole = {step: _kept(base.store, step) for step in steps}
    ends: list[BranchEnd] = []
    for total in dict.fromkeys(branch.max_train_steps for branch in plan):
        own = [branch for branch in plan if branch.max_train_steps == total]
        branching = _of(round_, decaying_values(values), total, interval, decays=[each.decay_steps for each in own])
        result = p.run(f"decays-{total}", branching, prepare=partial(_prepare, own, whole))
        trials = {trial.study: trial for trial in trials_of(result.trials) if trial.repeat == 0}
        for study, branch in zip(branching.studies, own, strict=True):
            ends.append(_end(branch, result.store, trials.get(study.name), whole))
    (trained,) = [trial for trial in trials_of(base.trials) if trial.repeat == 0]
    return Branched(_end(Branch(max_train_steps, 0, 0), base.store, trained, {}), tuple(ends))


def _of(
    round_: Round, values: Mapping[str, Value], steps: int, interval: int, decays: Sequence[int] | None = None
) -> Round:
    """A round of one configuration, with a study for each decay: every one of them is trial 0, and so has its seeds."""
    varied = {"decay_steps"} if decays else set[str]()
    fixed = {
        name: value
        for name, value in values.items()
        if name in round_.defaults and name not in varied and not is_same(value, round_.defaults[name])
    }
    scientific = {"decay_steps": Discrete(list(decays))} if decays else {}
    num_trials = len(decays) if decays else 1
    return alike(
        round_, steps, fixed=fixed, num_trials=num_trials, evaluation_interval_steps=interval, scientific=scientific
    )


def _kept(store: RoundStore, step: int) -> KeptWhole:
    (study,) = store.round().studies
    return KeptWhole(store.storage, f"{store.name}/{checkpoints_folder(study, trial_key(0))}", step)


def _prepare(own: Sequence[Branch], whole: Mapping[int, KeptWhole], named: Round) -> None:
    """Give each branch the checkpoint that it goes on from."""
    for study, branch in zip(named.studies, own, strict=True):
        if (kept := whole.get(branch.from_step)) is not None:
            folder = f"{named.name}/{checkpoints_folder(study.name, trial_key(0))}"
            kept.copy_to(folder, suggest(study, 0), named.resources.num_workers)


def _end(branch: Branch, store: RoundStore, trial: Trial | None, whole: Mapping[int, KeptWhole]) -> BranchEnd:
    trained_s = trial.training.train_s if trial is not None and trial.training is not None else 0.0
    kept = whole.get(branch.from_step)
    own_s = max(0.0, trained_s - ((kept.seconds() or 0.0) if kept is not None else 0.0))
    if trial is None or trial.objective is None:
        return BranchEnd(branch, None, trained_s, own_s)
    best = best_after(branch.from_step, store.measurements(trial.study, trial.key), store.round().objective)
    if best is None:
        return BranchEnd(branch, None, trained_s, own_s)
    return BranchEnd(branch, best.value, trained_s, own_s, best.step)
