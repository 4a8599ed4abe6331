"""Hyperparameters that vary and that nothing reads: found before trial 0, since their values would change no bit.

Each trial of the check tells which values were asked for, by the workload and by the training loop. A hyperparameter
that none asked for may still be read beside other values, as one optimizer's is, so further points are looked at first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.errors import SpecError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.hyperparameters.known import OPTIMIZERS
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.workload import Values

MAX_LOOKS = 32
"""So many further points are looked at."""

MAX_POINTS = 256
"""As many points of each study are there to choose them from."""

MAX_CHOICES = 16
"""What takes no more values than this may decide what else is read, so each of its values is looked at."""

USED_WITH: dict[str, str] = {
    "batch_norm": "a model that has batch norm",
    "virtual_batch_size": "batch_norm='ghost' and a model that has batch norm",
    "final_factor": "a schedule that decays",
    "decay_steps": "a schedule that decays",
    "weight_decay_kind": "a weight_decay above 0",
    "averaging_decay": "averaging='exponential'",
    "averaging_start_step": "averaging='exponential' or 'uniform'",
    **{
        name: f"the optimizers {', '.join(each for each, uses in OPTIMIZERS.items() if name in uses)}"
        for name in ("momentum", "beta1", "beta2", "epsilon", "rho", "momentum_decay")
    },
}
"""Beside what the training loop reads those of its hyperparameters that it does not always read."""


@dataclass(frozen=True)
class Look:
    """A trial of the check, and what it has shown."""

    spec: TrialSpec
    ended: AttemptEnd

    def reads(self, name: str, hyperparameter: Hyperparameter, sets: Mapping[str, str]) -> bool:
        """Whether something asked for the value, by its own name or by that of the one that it sets here."""
        read = self.ended.end.read if self.ended.end is not None else frozenset()
        return name in read or (sets.get(name) in read and hyperparameter.is_active(self.spec.values))


def refuse_not_used(round_: Round, looks: Sequence[Look], look_at: Callable[[TrialSpec], AttemptEnd]) -> None:
    """Refuse a hyperparameter that varies and that nothing reads.

    Args:
        looks: the trials of the check so far.
        look_at: trains a few steps of one more.

    Raises:
        SpecError: there is one.
    """
    all_looks = list(looks)
    if not _not_read(round_, all_looks):
        return
    for spec in itertools.islice(_further(round_, looks), MAX_LOOKS):
        all_looks.append(Look(spec, look_at(spec)))
        if not _not_read(round_, all_looks):
            return
    raise SpecError(_sentence(round_, _not_read(round_, all_looks), all_looks))


def _varied(round_: Round) -> dict[str, Hyperparameter]:
    given = round_.scientific | round_.tuned
    return {name: hyperparameter for name, hyperparameter in given.items() if hyperparameter.num_values != 1}


def _not_read(round_: Round, looks: Sequence[Look]) -> list[str]:
    """What exists in a trial of the check that went well, and was read in none."""
    return [
        name
        for name, hyperparameter in _varied(round_).items()
        if any(each.ended.cause is Cause.COMPLETED and hyperparameter.is_active(each.spec.values) for each in looks)
        and not any(each.reads(name, hyperparameter, round_.sets) for each in looks)
    ]


def _further(round_: Round, looks: Sequence[Look]) -> Iterator[TrialSpec]:
    """Points that the check has not trained, first those that show a choice which none before has."""
    gates = [name for name, each in _varied(round_).items() if each.num_values and each.num_values <= MAX_CHOICES]

    def choices(spec: TrialSpec) -> set[tuple[str, str, Value]]:
        return {(name, type(value).__name__, value) for name in gates if (value := spec.values[name]) is not None}

    known = {(each.spec.study, each.spec.index) for each in looks}
    seen = {choice for each in looks for choice in choices(each.spec)}
    later: list[TrialSpec] = []
    for spec in _points(round_):
        if (spec.study, spec.index) in known:
            continue
        if choices(spec) <= seen:
            later.append(spec)
        else:
            seen |= choices(spec)
            yield spec
    yield from later


def _points(round_: Round) -> Iterator[TrialSpec]:
    """The first points of all studies in turns, without those that are declared infeasible."""
    workload = workload_of(round_)
    for index in range(MAX_POINTS):
        for study in round_.studies:
            if index < study.num_trials:
                spec = suggest(study, index)
                if workload.infeasible(Values(spec.values)) is None:
                    yield spec


def _sentence(round_: Round, left: Sequence[str], looks: Sequence[Look]) -> str:
    name, *others = left
    role = "scientific" if name in round_.scientific else "configurations" if round_.configurations else "nuisance"
    nor = f" (nor {' and '.join(map(repr, others))})" if others else ""
    read = {each for look in looks if look.ended.end is not None for each in look.ended.end.read}
    of_loop = USED_WITH.get(round_.sets.get(name, name))
    hint = (
        f"it is only used with {of_loop}, so choose that, or fix it."
        if of_loop
        else did_you_mean(name, read - _varied(round_).keys(), "read it in the workload's first steps, or fix it.")
    )
    num = f"any of {len(looks)} trials" if len(looks) > 1 else "the trial"
    return (
        f"Round.{role}: a hyperparameter that varies must be read by the workload or the training loop, but {name!r}"
        f"{nor} was read by neither in {num} of the check, so none of its values would change anything; {hint}"
    )
