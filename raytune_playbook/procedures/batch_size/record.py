"""What a choice of the batch size comes to: the record's verdict, numbers and next steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from raytune_playbook.analysis.wording import duration_text, form_for, number_text
from raytune_playbook.procedures.batch_size.measured import Measured, Proof, ToTarget
from raytune_playbook.procedures.batch_size.scaling import CLOSE, Cost, as_fast, chance, costs, least
from raytune_playbook.procedures.batch_size.sentences import ended_sentence, steps_sentences, throughput_sentences
from raytune_playbook.procedures.batch_size.shown import (
    budgets_table,
    cost_plot,
    parts_plot,
    sizes_table,
    steps_plot,
    steps_table,
    throughput_plot,
)
from raytune_playbook.procedures.batch_size.sizes import BATCH_SIZE, tuned_anew
from raytune_playbook.procedures.batch_size.throughput import Scaling
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord, ShownPlot, ShownTable
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Resources

FEW_STEPS = 10
"""Where an epoch has fewer, the rule of thumb that more examples need fewer steps is not relied on."""


@dataclass(frozen=True)
class About:
    """All that was measured for a round.

    Fields:
        to_target: None where no steps were measured.
        next_command: that chooses the number of steps.
    """

    round: Round
    measured: Measured
    proof: Proof
    to_target: ToTarget | None
    next_command: str

    @cached_property
    def scaling(self) -> Scaling:
        return Scaling(self.measured.sizes)

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """Of the sizes that have reached the target; empty where there is none."""
        if self.to_target is None:
            return ()
        return costs(self.to_target.scaling, self._interval_s, consumption(self.round.resources)[0])

    @cached_property
    def least(self) -> Cost | None:
        """The cost at the size that reaches the target in the least time; None where that was not measured."""
        return least(self.costs, self.scaling.stops_at)

    @property
    def chance_least(self) -> float | None:
        """In what share of draws of the trials that is so."""
        if self.to_target is None or self.least is None:
            return None
        return chance(self.to_target.scaling, self._interval_s, self.least.size, self.scaling.stops_at)

    @property
    def _interval_s(self) -> dict[int, tuple[float, ...]]:
        return {each.size: each.interval_s for each in self.measured.sizes}

    @property
    def least_time(self) -> int:
        """Of measured steps; else where throughput stops growing, for steps halve as the batch doubles."""
        return self._supposed(self.scaling.stops_at) if self.least is None else self.least.size

    @property
    def least_resources(self) -> int:
        """Of measured steps; else a doubled batch has to pay with steps that fall by less than they should."""
        return self._supposed(self.scaling.pays_to) if self.least is None else self.least.size

    def _supposed(self, size: int) -> int:
        """The size, or the largest below it at which an epoch has enough steps for the rule of thumb.

        That rule alone sends nobody to a smaller size than the job's own.
        """
        sizes = [each.size for each in self.measured.sizes]
        own = self.own_size or 0
        relied_on = [each for each in sizes if each <= size and (each <= own or self.is_relied_on(each))]
        return max(relied_on, default=sizes[0])

    def is_relied_on(self, size: int) -> bool:
        """Whether an epoch at a size has enough steps for the rule of thumb."""
        return size * FEW_STEPS <= self.measured.num_examples

    @property
    def own_size(self) -> int | None:
        """The job's own batch size."""
        own = self.round.fixed_values.get(BATCH_SIZE)
        return own if isinstance(own, int) else None


def consumption(resources: Resources) -> tuple[float, str]:
    """What a gang takes each second, and of what."""
    if resources.gpus_per_worker:
        return resources.num_workers * resources.gpus_per_worker, "GPU"
    return resources.num_workers * resources.cpus_per_worker, "CPU"


def nothing_fits(draft: ProcedureRecord, measured: Measured, given_up: Mapping[int, str]) -> ProcedureRecord:
    """The record where not even the smallest batch can be trained."""
    tried = min(given_up, default=measured.next_size)
    reason = given_up.get(tried, measured.reason)
    return draft.model_copy(
        update={
            "verdict": f"No batch size fits: not even {tried:,} examples can be trained ({reason}).",
            "is_good": False,
            "numbers": {"largest_feasible": None, "ended_by": str(measured.ended)},
            "next": (
                NextCommand(
                    sentence="Give each worker more memory, make the model smaller, or try fewer examples with --min."
                ),
            ),
        }
    )


def completed_record(draft: ProcedureRecord, about: About) -> ProcedureRecord:
    """The record of the sizes that fit."""
    amount, unit = consumption(about.round.resources)
    marked = (about.least_time, about.least_resources)
    tables: list[ShownTable] = [sizes_table(about.scaling, marked)]
    plots: list[ShownPlot] = [throughput_plot(about.scaling, about.least_time), parts_plot(about.scaling)]
    to_target = about.to_target
    if to_target is None:
        tables.append(budgets_table(about.scaling, about.round, amount, unit))
    else:
        tables.append(steps_table(to_target, about.costs, about.round.objective, unit, about.least))
        if about.costs:
            plots += [steps_plot(to_target, about.round.objective), cost_plot(about.costs, about.least)]
    return draft.model_copy(
        update={
            "verdict": _verdict(about, unit),
            "is_good": to_target is None or about.least is not None,
            "sentences": tuple(_sentences(about, amount, unit)),
            "numbers": _numbers(about),
            "tables": tuple(tables),
            "plots": tuple(plots),
            "next": tuple(_next(about)),
        }
    )


def _verdict(about: About, unit: str) -> str:
    objective, to_target, best = about.round.objective, about.to_target, about.least
    largest = f"the largest that fits is {about.proof.size:,}"
    if to_target is not None and best is None:
        return (
            f"No trial of a size to consider reached a {objective.name} of {to_target.target:g} within "
            f"{to_target.max_train_steps:,} steps, so the steps are not known; {largest}."
        )
    if to_target is not None and best is not None:
        reaches = f"it reaches a {objective.name} of {to_target.target:g}"
        if equal := as_fast(about.costs, best, about.scaling.stops_at):
            others = " and ".join(f"{each.size:,} ({duration_text(each.seconds)})" for each in equal)
            return (
                f"Take batch_size {best.size:,}: {reaches} in {duration_text(best.seconds)}, which {others} "
                f"{form_for(len(equal), 'equals', 'equal')} to within {CLOSE - 1:.0%}; of equals the smallest is "
                f"taken, which needs the least memory; {largest}."
            )
        return (
            f"Take batch_size {best.size:,}: {reaches} in the least time "
            f"({duration_text(best.seconds)}) and with the least resource consumption "
            f"({number_text(best.resources, 3)} {unit}-seconds); {largest}."
        )
    time, resources = about.least_time, about.least_resources
    by_epoch = _by_epoch(about) if time < about.scaling.stops_at else None
    if time == resources:
        why = by_epoch or "for the least training time and resource consumption"
        return f"Take batch_size {time:,}, {why}; {largest}."
    why = f" ({by_epoch})" if by_epoch else ""
    return (
        f"Take batch_size {time:,} for the least training time{why}, or {resources:,} for the least resource "
        f"consumption; {largest}."
    )


def _by_epoch(about: About) -> str:
    """Why no larger size is taken, where larger ones have more throughput."""
    rule = "the rule of thumb that a doubled batch halves the steps is not to be relied on"
    if about.is_relied_on(about.least_time):
        return f"the largest whose epoch has at least {FEW_STEPS} steps: with fewer {rule}"
    own, size = about.own_size, about.least_time
    which = "the smallest that was measured"
    if own is not None and size <= own:
        which = "which the job has" if size == own else f"the largest up to the job's {own:,}"
    return f"{which}: an epoch has fewer than {FEW_STEPS} steps even at that, and with so few {rule}"


def _sentences(about: About, amount: float, unit: str) -> list[str]:
    round_, arms = about.round, [dict(arm) for arm in about.proof.arms]
    found = [*ended_sentence(about.measured, about.proof), *throughput_sentences(about.scaling, about.measured)]
    if len(arms) > 1:
        values = ", ".join(f"{name}={value}" for name, value in arms[0].items())
        found.append(f"The times are those of {values}.")
    same = (
        f"On one gang the consumption is its {amount:g} {unit}{form_for(int(amount), '', 's')} times the training time"
    )
    if about.to_target is None:
        found.append(
            "How many steps each size needs was not measured. The least time rests on the rule of thumb that a doubled "
            "batch halves them, as it does up to the critical batch size; the least consumption takes a doubling "
            f"only where it would pay even if it made the steps 1.4 times fewer instead of twice. {same}."
        )
        if (stops_at := about.scaling.stops_at) > about.least_time:
            epoch = max(1, about.measured.num_examples // stops_at)
            found.append(
                f"Larger sizes have more throughput, up to {stops_at:,}, but an epoch at that has only {epoch} "
                f"{form_for(epoch, 'step', 'steps')}: below {FEW_STEPS} the rule of thumb is not to be relied on. "
                "Measure the steps before you take one of them."
            )
    else:
        found += steps_sentences(about.to_target, tuple(tuned_anew(round_)))
        if about.least is not None:
            found.append(
                f"Were the trials drawn again, {about.least.size:,} would take the least time in "
                f"{about.chance_least:.0%} of the draws; more --num-trials tell better."
            )
        found.append(f"{same}, so that both are least at the same size.")
    fixed = round_.fixed_values
    if fixed.get("batch_norm") == "ghost" or any("ghost" in arm.values() for arm in arms):
        found.append(f"Ghost batch norm kept its virtual batch size of {fixed.get('virtual_batch_size')}.")
    stated = fixed.get("evaluation_batch_size")
    if isinstance(stated, int) and stated < about.least_time:
        found.append(
            f"evaluation_batch_size is {stated:,} in the job, and was raised to the batch size, since evaluation "
            "batches are no smaller than those of training; raise it in the job too."
        )
    return found


def _numbers(about: About) -> dict[str, JsonValue]:
    scaling, to_target = about.scaling, about.to_target
    bottleneck = about.measured.bottleneck
    numbers: dict[str, JsonValue] = {
        "sizes": [each.size for each in scaling.sizes],
        "examples_per_s": [each.examples_per_s for each in scaling.sizes],
        "s_per_step": [each.step_s for each in scaling.sizes],
        "largest_feasible": about.proof.size,
        "ended_by": str(about.measured.ended),
        "stops_growing_at": scaling.stops_at,
        "nearly_doubles_to": scaling.nearly_doubles_to,
        "bottleneck": bottleneck.part if bottleneck else None,
        "least_time": about.least_time,
        "least_resources": about.least_resources,
    }
    if to_target is not None:
        numbers |= {
            "target": to_target.target,
            "target_sizes": [each.size for each in to_target.scaling.steps],
            "steps_to_target": [each.fewest for each in to_target.scaling.steps],
            "critical_batch_size": to_target.scaling.critical,
            "is_critical_seen": to_target.scaling.is_critical_seen,
            "chance_least_time": about.chance_least,
        }
    return numbers


def _next(about: About) -> list[NextCommand]:
    size, round_ = about.least_time, about.round
    if about.to_target is not None and about.least is None:
        return [
            NextCommand(
                sentence="Choose a target that training reaches in fewer steps, or raise max_train_steps in the job, "
                "and run this again."
            )
        ]
    if about.own_size == size:
        first = f"The job has batch_size {size:,} already; choose the number of training steps for it:"
    else:
        again = ", ".join(tuned_anew(round_)) or "the optimizer's and the regularizers' hyperparameters"
        first = (
            f'Write "batch_size": {size} into the job\'s fixed (any other size needs {again} tuned anew), then choose '
            "the number of training steps for it:"
        )
    found = [NextCommand(sentence=first, command=about.next_command)]
    if about.to_target is None:
        found.append(
            NextCommand(
                sentence=f"To measure how many steps each size needs, give a {round_.objective.name} that training "
                "reaches: the same command with --steps-to-target."
            )
        )
    return found
