"""How many pods of what size a round's workers take; pure functions.

A worker's pod has what the overlay gives it, or less where the round says how many gangs it wants and fewer CPUs do.
Counted as the engine counts on a running cluster: whole gangs, beside the input pipeline's CPUs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from raytune_playbook.errors import CapacityError
from raytune_playbook.study.settings import GIB, Resources

HEAD_BYTES, GANG_BYTES = 4.0e9, 0.65e9
"""What Ray and the driver take on the head, and what the helpers of each gang take there."""


@dataclass(frozen=True)
class Pod:
    """What a worker's pod has."""

    cpus: int
    memory_gib: int
    gpus: int


@dataclass(frozen=True)
class Offer:
    """What an overlay offers.

    Fields:
        name: of the overlay, for messages.
        pod: of a worker, at most.
        least_pods, most_pods: of workers; equal where their number is fixed, and then they are no limit.
    """

    name: str
    pod: Pod
    least_pods: int
    most_pods: int

    @property
    def grows(self) -> bool:
        """Whether an autoscaler decides how many pods there are."""
        return self.most_pods > self.least_pods


@dataclass(frozen=True)
class Size:
    """What a round gets.

    Fields:
        num_gangs: that its pods hold at once.
    """

    pod: Pod
    least_pods: int
    most_pods: int
    num_gangs: int

    @property
    def head_memory_gib(self) -> int:
        """The memory that the head needs."""
        return math.ceil((HEAD_BYTES + GANG_BYTES * self.num_gangs) / GIB)


def size(resources: Resources, offer: Offer, *, pods: int | None = None) -> Size:
    """The pods for a round.

    Args:
        pods: so many in place of the overlay's, or at most so many where the overlay grows.

    Raises:
        CapacityError: not even one gang fits.
    """
    _require_worker(resources, offer)
    needed = _fewest_pods(offer.pod, resources, 1)
    most = pods or (offer.most_pods if offer.grows else None)
    if most is not None and needed > most:
        raise CapacityError(
            f"Resources: one gang of {resources.num_workers} worker(s), beside {resources.pipeline_cpus} CPU(s) for "
            f"the input pipeline, needs {needed} pods of overlay {offer.name} ({offer.pod.cpus} CPUs each), but there "
            f"are {most} at most; ask for fewer or smaller workers, or give --pods {needed}."
        )
    if offer.grows:
        chosen = pods or offer.most_pods
    elif resources.num_gangs is None:
        chosen = pods or max(needed, offer.least_pods)
    else:
        chosen = pods or _fewest_pods(offer.pod, resources, resources.num_gangs)
    gangs = num_gangs(offer.pod, chosen, resources)
    if resources.num_gangs is None:
        pod = offer.pod
    else:
        chosen = min(chosen, _fewest_pods(offer.pod, resources, gangs))
        pod = _smallest_pod(offer.pod, chosen, resources)
    least = min(offer.least_pods, chosen) if offer.grows else chosen
    return Size(pod, least, chosen, gangs)


def num_gangs(pod: Pod, num_pods: int, resources: Resources) -> int:
    """How many whole gangs so many pods hold beside the pipeline's CPUs, at most ``resources.num_gangs``."""
    cpus = [pod.cpus] * num_pods
    for _ in range(resources.pipeline_cpus):
        whole = [place for place, left in enumerate(cpus) if left >= 1]
        if not whole:
            return 0
        chosen = min(whole, key=lambda place: (_lost(pod, cpus[place], resources), -cpus[place]))
        cpus[chosen] -= 1
    gangs = sum(_num_workers(replace(pod, cpus=left), resources) for left in cpus) // resources.num_workers
    return gangs if resources.num_gangs is None else min(gangs, resources.num_gangs)


def _lost(pod: Pod, cpus: int, resources: Resources) -> int:
    """How many workers fewer a pod holds when one of its CPUs is taken."""
    with_it, without = replace(pod, cpus=cpus), replace(pod, cpus=cpus - 1)
    return _num_workers(with_it, resources) - _num_workers(without, resources)


def _num_workers(pod: Pod, resources: Resources) -> int:
    """How many workers one pod holds; in ten-thousandths, as Ray counts."""
    asked = [(pod.cpus, resources.cpus_per_worker), (pod.gpus, resources.gpus_per_worker)]
    asked.append((pod.memory_gib, resources.memory_per_worker_gib or 0.0))
    return min(round(has * 10_000) // max(1, round(needs * 10_000)) for has, needs in asked if needs)


def _require_worker(resources: Resources, offer: Offer) -> None:
    """Raises `CapacityError` where a single worker is too large for a pod."""
    pod = offer.pod
    if resources.gpus_per_worker and not pod.gpus:
        raise CapacityError(
            f"Resources.gpus_per_worker: a worker's pod of overlay {offer.name} has no GPU, but each worker needs "
            f"{resources.gpus_per_worker:g}; add --overlay gpu, or ask for none."
        )
    for name, has, needs, unit, option in (
        ("gpus_per_worker", pod.gpus, resources.gpus_per_worker, "GPU(s)", "--pod-gpus"),
        ("cpus_per_worker", pod.cpus, resources.cpus_per_worker, "CPU(s)", "--pod-cpus"),
        ("memory_per_worker_gib", pod.memory_gib, resources.memory_per_worker_gib or 0.0, "GiB", "--pod-memory-gib"),
    ):
        if needs > has:
            raise CapacityError(
                f"Resources.{name}: a worker's pod of overlay {offer.name} has {has} {unit}, but each worker needs "
                f"{needs:g}; ask for less, or give {option} where your nodes have more."
            )


def _fewest_pods(pod: Pod, resources: Resources, gangs: int) -> int:
    """The fewest pods that hold so many gangs; there are some, since a pod holds a worker."""
    several = resources.model_copy(update={"num_gangs": None})
    workers = gangs * resources.num_workers
    cpus = max(1, round(resources.cpus_per_worker * 10_000)) * workers / 10_000 + resources.pipeline_cpus
    num = max(math.ceil(workers / _num_workers(pod, resources)), math.ceil(cpus / pod.cpus))
    while num_gangs(pod, num, several) < gangs:
        num += 1
    return num


def _smallest_pod(pod: Pod, num_pods: int, resources: Resources) -> Pod:
    """The pod with the fewest CPUs and GPUs of which so many hold as many gangs as before."""
    gangs = num_gangs(pod, num_pods, resources)
    for cpus in range(1, pod.cpus + 1):
        smaller = replace(pod, cpus=cpus)
        if num_gangs(smaller, num_pods, resources) >= gangs:
            pod = smaller
            break
    for gpus in range(pod.gpus):
        smaller = replace(pod, gpus=gpus)
        if num_gangs(smaller, num_pods, resources) >= gangs:
            return smaller
    return pod
