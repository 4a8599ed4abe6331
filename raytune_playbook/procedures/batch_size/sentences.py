"""What the recommended batch sizes rest on, in words."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.wording import bytes_text
from raytune_playbook.procedures.batch_size.measured import Ended, Measured, Proof, ToTarget
from raytune_playbook.procedures.batch_size.scaling import PERFECT
from raytune_playbook.procedures.batch_size.throughput import GROWS, Bottleneck, Part, Scaling
from raytune_playbook.study.wording import values_text

_GROWN: dict[Part, str] = {
    "compute": "computing, so the hardware is at its limit, which no larger batch and no better input pipeline raises",
    "synchronization": "synchronization between the workers; before a larger batch is taken, put them closer together, "
    "or use fewer of them",
    "input": "waiting for batches; make the input pipeline faster before a larger batch is taken",
}


def ended_sentence(measured: Measured, proof: Proof) -> list[str]:
    """What ended the doubling, and how the largest size was proven."""
    size = f"{measured.next_size:,}"
    match measured.ended:
        case Ended.MEMORY:
            ended = f"{size} examples do not fit: {measured.reason}."
        case Ended.TRAINING_SET:
            ended = (
                f"The doubling ended before {size}, for the training set has {measured.num_examples:,} examples; "
                "memory had not run out."
            )
        case Ended.MAX:
            ended = f"The doubling ended at {size}, for --max allows no more; memory had not run out."
        case Ended.DECLARED:
            ended = f"The workload says that {size} examples are infeasible ({measured.reason})."
    found = [ended]
    found += [
        f"{larger:,} could be trained at first, but not in fresh workers ({reason}), so it is not counted."
        for larger, reason in proof.given_up.items()
    ]
    memory = f"; a worker took {bytes_text(proof.peak_memory_bytes)} at most" if proof.peak_memory_bytes else ""
    each = ""
    if len(proof.arms) > 1:
        each = f" with each of {'; '.join(values_text(arm) for arm in proof.arms)}"
    found.append(f"{proof.size:,} was trained and evaluated anew in fresh workers{each}{memory}.")
    return found


def throughput_sentences(scaling: Scaling, measured: Measured) -> list[str]:
    """Where throughput stops growing, and why (rules BA3, BA4 and PI1)."""
    stops_at, largest = scaling.stops_at, scaling.sizes[-1].size
    if stops_at < largest:
        found = [
            f"Throughput stops growing at {stops_at:,}: no larger batch is trained more than {GROWS - 1:.0%} faster, "
            "so none is to be considered."
        ]
    else:
        found = [f"Throughput still grows at {largest:,}, the largest size that was tried."]
    bottleneck = measured.bottleneck
    if bottleneck is None:
        if len(scaling.sizes) > 1:
            found.append(f"Each doubling nearly doubles the throughput up to {largest:,}: there is no bottleneck.")
    else:
        found.append(_bottleneck(bottleneck))
    waiting = {stops_at} | ({bottleneck.larger} if bottleneck and bottleneck.part == "input" else set())
    found += [
        f"At {size:,}: {measured.input_bound[size].sentence}" for size in sorted(waiting & measured.input_bound.keys())
    ]
    return found


def _bottleneck(found: Bottleneck) -> str:
    return (
        f"From {found.smaller:,} to {found.larger:,} the throughput grows {found.factor:.2f} times instead of nearly "
        f"doubling: {found.share:.0%} of what a step takes longer is {_GROWN[found.part]}."
    )


def steps_sentences(to_target: ToTarget, tuned: Sequence[str]) -> list[str]:
    """How the steps go with the batch size, and how well that is known (rules BA6, SD13)."""
    scaling = to_target.scaling
    num_trials = scaling.steps[0].num_trials
    found = []
    if scaling.is_critical_seen and scaling.critical == scaling.reached[0].size:
        found.append(
            f"Scaling is perfect nowhere from {scaling.critical:,} on, the smallest size that reached the target: the "
            f"critical batch size is no larger, and larger ones need more than {PERFECT:g} times its examples."
        )
    elif scaling.critical is not None and scaling.is_critical_seen:
        found.append(
            f"Scaling is perfect up to {scaling.critical:,}, the critical batch size: larger ones need more than "
            f"{PERFECT:g} times the fewest examples."
        )
    elif scaling.critical is not None:
        found.append(
            f"Scaling is perfect up to {scaling.critical:,}, the largest size that reached the target, so the critical "
            "batch size is no smaller."
        )
    found.append(
        f"Each size had {num_trials} trials over the same ranges of {', '.join(tuned)}, and counts by the fastest; its "
        f"steps are known to within {scaling.interval:,}, the interval between evaluations."
    )
    found.append(
        f"This is a step budget: a trial of any size could take {to_target.max_train_steps:,} steps. An epoch budget, "
        "of as many examples for each size, would show perfect scaling only."
    )
    if missed := [f"{each.size:,}" for each in scaling.steps if each.fewest is None]:
        found.append(
            f"No trial reached the target at {', '.join(missed)} within {to_target.max_train_steps:,} steps: a smaller "
            "batch needs more of them, or other ranges."
        )
    found += [
        f"At {size:,} the fastest trial has {' and '.join(names)} at an end of its range: with a wider one it may need "
        "fewer steps."
        for size, names in to_target.at_end_of_range.items()
        if names
    ]
    if to_target.schedule is not None:
        found.append(
            f"The learning rate was kept constant instead of the job's schedule {to_target.schedule}: where it decays, "
            "a trial of any size reaches a target when the rate has fallen, whatever its batch size."
        )
    return found
