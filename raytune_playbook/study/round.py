"""A round: one goal, the role of every hyperparameter, and the studies that follow from them.

See the playbook's "Exploration vs exploitation", "Choosing the goal for the next round of experiments" and "Identifying
scientific, nuisance, and fixed hyperparameters".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from pydantic import ConfigDict, Field, SkipValidation, model_validator

from raytune_playbook.errors import SpecError
from raytune_playbook.study.checks.refusals import (
    refuse_conditions,
    refuse_configurations,
    refuse_grid,
    refuse_names,
    refuse_roles,
    refuse_study_names,
    refuse_two_settings,
)
from raytune_playbook.study.datasets import InputPipeline
from raytune_playbook.study.fingerprints import round_fingerprint
from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.hyperparameters.space import (
    active,
    arm_values,
    arms,
    grid_shape,
    listed,
    setting,
)
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.shown import Shown, facts_table
from raytune_playbook.study.study import Search, StudySpec, WorkloadSpec
from raytune_playbook.study.wording import range_text, values_text

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_STUDIES = 16
"""More combinations of scientific values than this share one joint study, which samples them evenly (rule SD6)."""


@runtime_checkable
class HasHyperparameters(Protocol):
    """What a round needs to know of a workload; `raytune_playbook.Workload` is the real thing."""

    def hyperparameters(self) -> Mapping[str, Value]:
        """Every hyperparameter's default value, by name."""

    def spec(self) -> WorkloadSpec:
        """Which workload this is."""


class Round(Shown, FrozenSpec):
    """One round of experiments.

    Fields:
        name: names its folder in the storage.
        goal: one narrow question, in words (rule SD1).
        workload: what is trained.
        scientific: the hyperparameters whose effect the round measures; each combination is a study, or an arm of one
            joint study where there are more than `MAX_STUDIES`.
        nuisance: those that every study optimizes over, to compare scientific values fairly.
        configurations: nuisance values listed point by point instead, every study runs them in order (rule SD7).
        search: how points are chosen: ``"halton"``, or its substitutes ``"random"`` and, in one or two dimensions,
            ``"grid"``.
        fixed: values that differ from the workload's defaults; what nobody mentions is fixed at its default (SD2).
        reasons: why a hyperparameter has an unusual role, which silences the rule of thumb about it (SD4).
        objective, budget, resources, input_pipeline: see their own help.
        seed: everything random follows from it.
        notes: free text for the registry.

    Raises:
        SpecError: a name that the workload does not have, two roles for one name, or a role that the playbook refuses.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    goal: str = Field(min_length=1)
    workload: SkipValidation[HasHyperparameters] = Field(exclude=True)
    scientific: dict[str, Hyperparameter] = Field(default_factory=dict)
    nuisance: dict[str, Hyperparameter] = Field(default_factory=dict)
    configurations: tuple[dict[str, Value], ...] = ()
    search: Search = "halton"
    fixed: dict[str, Value] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)
    objective: Objective = Field(default_factory=Objective)
    budget: Budget
    resources: Resources = Field(default_factory=Resources)
    input_pipeline: InputPipeline = Field(default_factory=InputPipeline)
    seed: int = Field(default=0, ge=0, lt=2**64)
    notes: str = ""

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise SpecError(
                f"Round.name: letters, digits, '_', '-' and '.' make a folder's name, but got {self.name!r}; rename it."
            )
        # A class has the methods too, but cannot answer them.
        if isinstance(self.workload, type) or not isinstance(self.workload, HasHyperparameters):
            raise SpecError(
                f"Round.workload: an instance of a Workload is needed, but got {self.workload!r}; "
                "subclass raytune_playbook.Workload and pass an object of it."
            )
        refuse_configurations(self.configurations, self.nuisance, self.search)
        refuse_names(self.scientific, self.tuned, self.fixed, self.defaults, type(self.workload).__name__)
        refuse_roles(self.scientific, self.tuned)
        refuse_conditions(self.scientific, self.tuned)
        refuse_two_settings(self.space, self.arms, self.sets)
        if not self.is_joint and self.budget.num_trials < len(self.arms):
            raise SpecError(
                f"Budget.num_trials: each of the {len(self.arms)} studies needs at least one trial, "
                f"but got {self.budget.num_trials} trials for all; raise num_trials or compare fewer values."
            )
        if self.search == "grid":
            refuse_grid(self.studies)
        refuse_study_names([study_name(arm) for arm in self.arms])
        return self

    @cached_property
    def defaults(self) -> dict[str, Value]:
        """The workload's hyperparameters with their default values."""
        return dict(self.workload.hyperparameters())

    @cached_property
    def fixed_values(self) -> dict[str, Value]:
        """Every fixed hyperparameter with its value, those that nobody mentioned included (rules SD2, SD3).

        What a qualified hyperparameter sets under every scientific value is not fixed.
        """
        varied = self.scientific.keys() | self.tuned.keys()
        varied |= set.intersection(
            *({self.sets[q] for q in active(self.space, a) if q in self.sets} for a in self.arms)
        )
        return {name: value for name, value in (self.defaults | self.fixed).items() if name not in varied}

    @cached_property
    def tuned(self) -> dict[str, Hyperparameter]:
        """The nuisance hyperparameters, by name; those of listed configurations with the values that they take."""
        return (
            listed(self.configurations) if self.configurations else {n: self.nuisance[n] for n in sorted(self.nuisance)}
        )

    @cached_property
    def sets(self) -> dict[str, str]:
        """Which of the workload's hyperparameters each qualified one sets."""
        return setting([*self.scientific, *self.tuned], self.defaults)

    @cached_property
    def space(self) -> dict[str, Hyperparameter]:
        """The search's dimensions in order; some exist under some scientific values only."""
        # Scientific dimensions come first, where the Halton sequence has its smallest bases; the others by name, so
        # that reordering a dict changes no point.
        sampled = sorted(name for name, hyperparameter in self.scientific.items() if arm_values(hyperparameter) is None)
        return {name: self.scientific[name] for name in sampled} | self.tuned

    @cached_property
    def arms(self) -> list[dict[str, Value]]:
        """The combinations of scientific values; a single empty one where there is nothing to compare one by one."""
        return arms(self.scientific)

    @property
    def is_joint(self) -> bool:
        """Whether the arms share one study, because they are too many for one each."""
        return len(self.arms) > MAX_STUDIES

    @cached_property
    def studies(self) -> list[StudySpec]:
        """The round's studies: one for each arm, or one joint study (rule SD6)."""
        if self.is_joint:
            return [self._study("joint", {}, self.space, self.budget.num_trials)]
        share = self.budget.num_trials // len(self.arms)
        return [self._study(study_name(arm), arm, active(self.space, arm), share) for arm in self.arms]

    def _study(self, name: str, arm: dict[str, Value], space: dict[str, Hyperparameter], share: int) -> StudySpec:
        varied = {*space, *(self.scientific if self.is_joint else arm)}
        given: dict[str, Value] = self.defaults | self.fixed
        absent: dict[str, Value] = dict.fromkeys(self.space.keys() - space.keys())
        study = StudySpec(
            name=name,
            arm=arm,
            arms=tuple(self.arms) if self.is_joint else (),
            space=space,
            sets=self.sets,
            fixed={name: value for name, value in given.items() if name not in varied} | absent,
            search=self.search,
            grid=grid_shape(space, share) if self.search == "grid" else (),
            configurations=self.configurations,
            seed=self.seed,
            num_trials=share,
            objective=self.objective,
            max_train_steps=self.budget.max_train_steps,
            evaluation_interval_steps=self.budget.evaluation_interval_steps,
            divergence_factor=self.budget.divergence_factor,
            target=self.budget.target,
            workload=self.workload.spec(),
            input_pipeline=self.input_pipeline if self.input_pipeline != InputPipeline() else None,
            num_workers=self.resources.num_workers,
            threads_per_worker=self.resources.threads_per_worker,
        )
        limit = study.num_points
        return study if limit is None or limit >= share else study.model_copy(update={"num_trials": limit})

    @cached_property
    def caveats(self) -> list[str]:
        """What every conclusion of the round is bound to: its fixed hyperparameters (rule SD3)."""
        return [f"{name} = {value}" for name, value in sorted(self.fixed_values.items())]

    def extended(self, num_trials: int) -> Self:
        """The same round with another number of trials, which changes none of its points (rule QR4)."""
        return self.model_copy(update={"budget": Budget(**(dict(self.budget) | {"num_trials": num_trials}))})

    def __repr__(self) -> str:
        given = {"scientific": ", ".join(self.scientific), "nuisance": ", ".join(self.tuned)}
        roles = [f"{role} {names}" for role, names in given.items() if names]
        return f"<Round {self.name!r}: {'; '.join([*roles, self._spends])}>"

    __str__ = __repr__

    def __rich__(self) -> RenderableType:
        searched = {
            role: "\n".join(f"{name}: {range_text(each)}" for name, each in hyperparameters.items())
            for role, hyperparameters in (("scientific", self.scientific), ("nuisance", self.tuned))
        }
        facts = {
            "workload": type(self.workload).__name__,
            **searched,
            "fixed": values_text(self.fixed),
            "objective": f"{self.objective.name}, {self.objective.goal}d",
            "budget": self._spends,
            "search": f"{self.search}, seed {self.seed}",
            "notes": self.notes,
        }
        return facts_table(f"{self.name}: {self.goal}", facts)

    @property
    def _spends(self) -> str:
        trials, studies = self.budget.num_trials, len(self.studies)
        of_studies = f" in {studies} studies" if studies > 1 else ""
        return f"{trials:,} trial{'s' * (trials != 1)}{of_studies}, {self.budget.max_train_steps:,} steps each"

    @property
    def fingerprint(self) -> str:
        """Equal for two rounds exactly when all their trials are."""
        return round_fingerprint(self.name, self.seed, (study.fingerprint for study in self.studies))


def study_name(arm: Mapping[str, Value]) -> str:
    """What a study of these scientific values is called."""
    return ",".join(f"{name}={value}" for name, value in arm.items()) or "all"
