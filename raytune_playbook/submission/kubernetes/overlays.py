"""The manifests that travel with the package, and a job's cluster with overlays applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from raytune_playbook.errors import SubmissionError
from raytune_playbook.study.frozen import FrozenSpec
from raytune_playbook.submission.kubernetes.documents import Document, Operation, at, patched, put, text_at
from raytune_playbook.submission.kubernetes.sizes import Offer, Pod

OBJECT_STORE = "object-store"
"""What a storage that is a URI asks for."""

OVERLAYS = ("cpu", "gpu", "spot", "autoscaling", "kueue", OBJECT_STORE)
"""In the order in which they are applied; ``cpu`` is what there is without any."""

ONLY_OF_CLUSTERS = ("gcs-fault-tolerance",)
"""What ``k8s/clusters`` has beside them: a job ends with its head, whatever the controller remembers."""

CLUSTER = "/spec/rayClusterSpec"
HEAD = f"{CLUSTER}/headGroupSpec/template/spec"
WORKERS = f"{CLUSTER}/workerGroupSpecs/0"
WORKER = f"{WORKERS}/template/spec/containers/0"


class Patch(FrozenSpec):
    """What a component changes in the objects of some kinds."""

    kinds: tuple[str, ...]
    operations: tuple[Operation, ...]


class Component(FrozenSpec):
    """What differs in an overlay: further objects, and changes of others."""

    resources: tuple[Document, ...]
    patches: tuple[Patch, ...]


class Manifests(FrozenSpec):
    """The manifests of ``k8s/``.

    Fields:
        base: a cluster that stays up, and what it needs.
        job: what makes a job of it.
        components: by the overlay's name.
    """

    base: tuple[Document, ...]
    job: Document
    components: dict[str, Component]


@cache
def packaged() -> Manifests:
    """Those that travel with the package."""
    file = Path(__file__).with_name("manifests.yaml")
    return Manifests.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Overlay:
    """One overlay or several: a job of them, the objects beside it, and what a worker's pod offers."""

    job: Document
    others: tuple[Document, ...]
    offer: Offer


def overlay(names: Sequence[str]) -> Overlay:
    """The manifests with these overlays applied.

    Raises:
        SubmissionError: there is no such overlay, or not for jobs.
    """
    for name in names:
        if name in ONLY_OF_CLUSTERS:
            raise SubmissionError(
                f"--overlay is for a job on a cluster of its own, but {name} is for clusters that stay up; leave it "
                f"out, or apply k8s/clusters/{name} and hand the job over with `raytune-playbook submit`."
            )
        if name not in OVERLAYS:
            raise SubmissionError(f"--overlay is one of {', '.join(OVERLAYS)}, but got {name!r}; correct it.")
    manifests = packaged()
    chosen = [manifests.components[name] for name in OVERLAYS if name in names and name in manifests.components]
    documents = [*manifests.base, *(each for component in chosen for each in component.resources)]
    # What is done to a job or a cluster, whichever there is, is done to the job.
    of_job = [patch for component in chosen for patch in component.patches if "RayJob" in patch.kinds]
    of_cluster = [patch for component in chosen for patch in component.patches if patch not in of_job]
    cluster = _changed(next(each for each in documents if each["kind"] == "RayCluster"), of_cluster)
    job = _changed(patched(manifests.job, [put(CLUSTER, cluster["spec"])]), of_job)
    others = tuple(each for each in documents if each["kind"] != "RayCluster")
    return Overlay(job, others, _offer(job, [name for name in OVERLAYS if name in names]))


def _changed(document: Document, patches: Sequence[Patch]) -> Document:
    return patched(document, [operation for patch in patches for operation in patch.operations])


def _offer(job: Document, names: Sequence[str]) -> Offer:
    limits = at(job, f"{WORKER}/resources/limits")
    gpus = int(text_at(limits, "/nvidia.com~1gpu")) if "gpu" in names else 0
    pod = Pod(int(text_at(limits, "/cpu")), int(text_at(limits, "/memory").removesuffix("Gi")), gpus)
    least, most = (at(job, f"{WORKERS}/{name}Replicas") for name in ("min", "max"))
    if not isinstance(least, int) or not isinstance(most, int):
        raise LookupError(WORKERS)
    return Offer(" and ".join(names) or "cpu", pod, least, most)
