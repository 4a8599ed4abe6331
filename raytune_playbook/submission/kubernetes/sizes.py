"""How many pods of what size a round's workers take; pure functions.

A worker's pod has what the overlay gives it, or less where the round says how many gangs it wants and fewer CPUs do.
Counted as the engine counts on a running cluster: whole gangs, beside the input pipeline's CPUs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from raytune_playbook.errors import CapacityError
from raytune_playbook.study.settings import GIB, Resources

HEAD_BYTES, GANG_BYTES = 4.0e9, 0.65e9
"""What Ray and the driver take on the head, and what the helpers of each gang take there."""

MAX_GANGS = 1_024
"""The engine runs no more."""

MAX_PODS, MAX_PIPELINE_CPUS, MAX_POD = 1_000, 10_000, (1_024, 65_536, 64)
"""More pods, CPUs, and of a pod CPUs, GiB and GPUs, than clusters have: whoever asks for more has slipped."""


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
        CapacityError: not even one gang fits, or more is asked for than there is anywhere.
    """
    for what, number, bound in _bounded(resources, offer.pod, pods):
        if number > bound:
            raise CapacityError(f"{what}: {bound:,} is the most, but got {number:,}; ask for fewer.")
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
    if num_pods * pod.cpus < resources.pipeline_cpus:
        return 0
    workers = [_num_workers(replace(pod, cpus=left), resources) for left in range(pod.cpus + 1)]
    pods = Counter({pod.cpus: num_pods})  # by how many CPUs they have left
    for _ in range(resources.pipeline_cpus):
        # From where it takes the fewest workers.
        chosen = min((left for left in pods if left), key=lambda left: (workers[left] - workers[left - 1], -left))
        pods[chosen - 1] += 1
        pods[chosen] -= 1
        if not pods[chosen]:
            del pods[chosen]
    gangs = sum(workers[left] * num for left, num in pods.items()) // resources.num_workers
    return min(gangs, resources.num_gangs or MAX_GANGS, MAX_GANGS)


def _bounded(resources: Resources, pod: Pod, pods: int | None) -> Iterator[tuple[str, int, int]]:
    """What has a bound, how much of it is asked for, and the bound."""
    yield "Resources.num_gangs", resources.num_gangs or 0, MAX_GANGS
    yield "Resources.pipeline_cpus", resources.pipeline_cpus, MAX_PIPELINE_CPUS
    yield "--pods", pods or 0, MAX_PODS
    for name, number, most in zip(
        ("cpus", "memory-gib", "gpus"), (pod.cpus, pod.memory_gib, pod.gpus), MAX_POD, strict=True
    ):
        yield f"--pod-{name}", number, most


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
    """The fewest pods that hold so many gangs; there are some, since a pod holds a worker.

    Raises:
        CapacityError: they are more than there are anywhere.
    """
    several = resources.model_copy(update={"num_gangs": None})
    workers = gangs * resources.num_workers
    num = max(-(-workers // _num_workers(pod, resources)), -(-_cpus(resources, gangs) // pod.cpus))
    if num > MAX_PODS:
        raise CapacityError(
            f"Resources: {MAX_PODS:,} pods is the most, but {gangs:,} gang(s) of {resources.num_workers:,} worker(s), "
            f"beside {resources.pipeline_cpus:,} CPU(s) for the input pipeline, need {num:,} of {pod.cpus} CPUs; ask "
            "for fewer or smaller workers, or for larger pods."
        )
    while num_gangs(pod, num, several) < gangs:
        num += 1
    return num


def _cpus(resources: Resources, gangs: int) -> int:
    """Whole CPUs that so many gangs and the pipeline take at least."""
    of_each = max(1, round(resources.cpus_per_worker * 10_000))  # as Ray counts
    return -(-of_each * gangs * resources.num_workers // 10_000) + resources.pipeline_cpus


def _smallest_pod(pod: Pod, num_pods: int, resources: Resources) -> Pod:
    """The pod with the fewest CPUs and GPUs of which so many hold as many gangs as before."""
    gangs = num_gangs(pod, num_pods, resources)
    for cpus in range(max(1, _cpus(resources, gangs) // num_pods), pod.cpus + 1):
        smaller = replace(pod, cpus=cpus)
        if num_gangs(smaller, num_pods, resources) >= gangs:
            pod = smaller
            break
    for gpus in range(pod.gpus):
        smaller = replace(pod, gpus=gpus)
        if num_gangs(smaller, num_pods, resources) >= gangs:
            return smaller
    return pod
