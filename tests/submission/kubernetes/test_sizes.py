"""The pods that a round gets, against what the engine counts on a running cluster of such pods."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raytune_playbook import Resources
from raytune_playbook.engine.cluster.capacity import Node
from raytune_playbook.engine.cluster.capacity import num_gangs as counted
from raytune_playbook.errors import CapacityError
from raytune_playbook.study.settings import GIB
from raytune_playbook.submission.kubernetes.sizes import MAX_GANGS, Offer, Pod, Size, num_gangs, size

CPU = Offer("cpu", Pod(4, 8, 0), 2, 2)
GPU = Offer("gpu", Pod(8, 32, 1), 2, 2)
GROWS = Offer("autoscaling", Pod(4, 8, 0), 1, 8)


def nodes(pod: Pod, num: int) -> list[Node]:
    return [Node({"CPU": pod.cpus, "GPU": pod.gpus, "memory": pod.memory_gib * GIB})] * num


def drawn(random_: random.Random) -> tuple[Resources, Offer]:
    """A round's resources and an overlay that has room for a worker."""
    offer = random_.choice([CPU, GPU, GROWS, replace(GPU, pod=Pod(16, 64, 4))])
    resources = Resources(
        num_workers=random_.randint(1, 6),
        cpus_per_worker=random_.choice([0.1, 0.3, 0.5, 1, 1.5, 2, 4]),
        gpus_per_worker=random_.choice([0, 0.25, 1]) if offer.pod.gpus else 0,
        memory_per_worker_gib=random_.choice([None, 0.5, 3, 8]),
        pipeline_cpus=random_.randint(1, 5),
        num_gangs=random_.choice([None, 1, 2, 3, 7, 20]),
    )
    return resources, offer


@pytest.mark.parametrize("seed", range(300))
def test_gangs_are_counted_as_on_a_running_cluster(seed):
    random_ = random.Random(seed)
    resources, offer = drawn(random_)
    num = random_.randint(0, 9)
    assert num_gangs(offer.pod, num, resources) == counted(nodes(offer.pod, num), resources)


@pytest.mark.parametrize("seed", range(300))
def test_a_round_gets_what_holds_its_gangs_and_no_pod_or_cpu_more(seed):
    resources, offer = drawn(random.Random(seed))
    try:
        got = size(resources, offer)
    except CapacityError:
        assert offer.grows and counted(nodes(offer.pod, offer.most_pods), resources) == 0
        return
    assert got.num_gangs == counted(nodes(got.pod, got.most_pods), resources) >= 1
    if resources.num_gangs is None:
        assert got.pod == offer.pod
        return
    most = resources.num_gangs if not offer.grows else counted(nodes(offer.pod, offer.most_pods), resources)
    assert got.num_gangs == most
    assert counted(nodes(offer.pod, got.most_pods - 1), resources) < most
    assert counted(nodes(replace(got.pod, cpus=got.pod.cpus - 1), got.most_pods), resources) < most
    if got.pod.gpus:
        assert counted(nodes(replace(got.pod, gpus=got.pod.gpus - 1), got.most_pods), resources) < most


def test_a_round_that_takes_what_there_is_gets_the_overlays_pods():
    assert size(Resources(num_workers=2, cpus_per_worker=0.5), CPU) == Size(CPU.pod, 2, 2, num_gangs=7)
    assert size(Resources(), CPU, pods=5) == Size(CPU.pod, 5, 5, num_gangs=19)
    assert size(Resources(num_workers=10), CPU) == Size(CPU.pod, 3, 3, num_gangs=1)


def test_an_autoscaler_may_grow_to_what_the_round_wants_and_no_further():
    assert size(Resources(), GROWS) == Size(GROWS.pod, 1, 8, num_gangs=31)
    assert size(Resources(), GROWS, pods=3) == Size(GROWS.pod, 1, 3, num_gangs=11)
    assert size(Resources(num_gangs=5), GROWS) == Size(Pod(3, 8, 0), 1, 2, num_gangs=5)
    assert size(Resources(num_gangs=500), GROWS) == Size(GROWS.pod, 1, 8, num_gangs=31)


@pytest.mark.parametrize(("gangs", "gib"), [(1, 5), (7, 8), (8, 9), (31, 23)])
def test_the_head_has_4_gb_and_650_mb_for_each_gang(gangs, gib):
    assert Size(CPU.pod, 1, 1, gangs).head_memory_gib == gib
    assert (gib - 1) * 2**30 < 4e9 + gangs * 0.65e9 <= gib * 2**30


@pytest.mark.parametrize(
    ("offer", "resources", "sentence"),
    [
        (CPU, {"gpus_per_worker": 1}, "overlay cpu has no GPU, but each worker needs 1; add --overlay gpu"),
        (
            CPU,
            {"cpus_per_worker": 4.5},
            "overlay cpu has 4 CPU(s), but each worker needs 4.5; ask for less, or",
        ),
        (GPU, {"gpus_per_worker": 2}, "overlay gpu has 1 GPU(s), but each worker needs 2"),
        (CPU, {"memory_per_worker_gib": 9}, "overlay cpu has 8 GiB, but each worker needs 9"),
        (
            GROWS,
            {"num_workers": 40},
            "one gang of 40 worker(s), beside 1 CPU(s) for the input pipeline, needs 11 pods of overlay autoscaling "
            "(4 CPUs each), but there are 8 at most; ask for fewer or smaller workers, or give --pods 11.",
        ),
    ],
)
def test_more_than_the_overlay_holds_is_refused_in_one_sentence(offer, resources, sentence):
    with pytest.raises(CapacityError) as refused:
        size(Resources(**resources), offer)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("resources", "pods", "sentence"),
    [
        ({"num_gangs": 10**9}, None, "Resources.num_gangs: 1,024 is the most, but got 1,000,000,000"),
        ({"pipeline_cpus": 10**9}, None, "Resources.pipeline_cpus: 10,000 is the most"),
        ({}, 99999999999, "--pods: 1,000 is the most, but got 99,999,999,999"),
        ({"num_workers": 10**12}, None, "1,000 pods is the most, but 1 gang(s) of 1,000,000,000,000 worker(s)"),
        ({"num_workers": 10**9, "num_gangs": 1024}, None, "1,000 pods is the most"),
        ({"num_workers": 5, "num_gangs": 1000}, None, "need 1,251 of 4 CPUs; ask for fewer or smaller workers"),
    ],
)
def test_more_than_there_is_anywhere_is_refused_at_once(resources, pods, sentence):
    with pytest.raises(CapacityError) as refused:
        size(Resources(**resources), CPU, pods=pods)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("pod", "option"),
    [(Pod(10**9, 8, 0), "--pod-cpus"), (Pod(4, 10**9, 0), "--pod-memory-gib"), (Pod(4, 8, 10**9), "--pod-gpus")],
)
def test_a_pod_larger_than_any_machine_is_refused(pod, option):
    with pytest.raises(CapacityError, match=f"{option}: .* is the most, but got 1,000,000,000; ask for fewer"):
        size(Resources(num_gangs=1), replace(CPU, pod=pod))


def test_gangs_are_counted_up_to_what_the_engine_runs():
    resources = Resources(cpus_per_worker=0.01)
    assert size(resources, CPU, pods=900).num_gangs == counted(nodes(CPU.pod, 900), resources) == MAX_GANGS


def test_fewer_pods_than_one_gang_needs_are_refused():
    with pytest.raises(CapacityError, match=r"needs 3 pods of overlay cpu .* but there are 2 at most"):
        size(Resources(num_workers=10), CPU, pods=2)
