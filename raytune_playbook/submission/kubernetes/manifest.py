"""A job file as Kubernetes objects, ready for ``kubectl apply -f -``."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from raytune_playbook.errors import SubmissionError
from raytune_playbook.records.places import place_refused
from raytune_playbook.study.settings import Resources
from raytune_playbook.submission.kubernetes.code import FOLDER, Code, code_of
from raytune_playbook.submission.kubernetes.documents import Document, Operation, at, patched, put, text_at
from raytune_playbook.submission.kubernetes.overlays import (
    HEAD,
    OBJECT_STORE,
    WORKER,
    WORKERS,
    Overlay,
    overlay,
)
from raytune_playbook.submission.kubernetes.sizes import Offer, Size, size

MAX_NAME = 47
"""Characters of a RayJob's name; the operator adds to it for its cluster and pods."""

STORAGE = "/mnt/storage"
"""Where the volume is mounted."""


@dataclass(frozen=True)
class PodWish:
    """What the workers' pods are to have, in place of the overlay's; None for that.

    Fields:
        pods: how many, or how many at most where an autoscaler decides.
    """

    cpus: int | None = None
    memory_gib: int | None = None
    gpus: int | None = None
    pods: int | None = None

    def of(self, offer: Offer) -> Offer:
        """The offer with these in place of its own."""
        pod = offer.pod
        return replace(
            offer,
            pod=replace(
                pod,
                cpus=self.cpus or pod.cpus,
                memory_gib=self.memory_gib or pod.memory_gib,
                gpus=pod.gpus if self.gpus is None else self.gpus,
            ),
        )


@dataclass(frozen=True)
class Deployment:
    """How a job is to run.

    Fields:
        storage: below `STORAGE`, or a URI.
        image: that every node runs.
        overlays: their names.
        is_in_image: whether the image has the job file, under the path that it was given by.
    """

    storage: str
    image: str
    overlays: tuple[str, ...] = ()
    is_in_image: bool = False
    pods: PodWish = PodWish()


@dataclass(frozen=True)
class Manifest:
    """The objects in the order in which they are to be made, and what there is to say about them."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...]


def manifest(job: str, round_name: str, resources: Resources, deployment: Deployment) -> Manifest:
    """The objects that run a job once on a cluster of its own.

    Args:
        job: the job file's path.
        round_name: of its round, after which everything is named.
        resources: of its round, from which the sizes follow.

    Raises:
        CapacityError: the round asks for more than the overlay's pods hold.
        SubmissionError: there is no such overlay or image, pods don't reach the storage, or the code is too large.
        JobFileError: there is no such Python file.
    """
    if not re.fullmatch(r"[a-z0-9]([\w./:@-]*\w)?", deployment.image, flags=re.ASCII | re.IGNORECASE):
        raise SubmissionError(f"--image: the name of an image is needed, but got {deployment.image!r}; correct it.")
    if deployment.pods.gpus and "gpu" not in deployment.overlays:
        raise SubmissionError("--pod-gpus says how many GPUs overlay gpu has, but it is not given; add --overlay gpu.")
    chosen = _overlay(deployment)
    sized = size(resources, deployment.pods.of(chosen.offer), pods=deployment.pods.pods)
    name = job_name(round_name)
    code = None if deployment.is_in_image else code_of(Path(job), f"{name}-code")
    command = _command(job if code is None else f"{FOLDER}/{code.job}", deployment.storage)
    changes = [
        put("/metadata/name", name),
        put("/spec/entrypoint", shlex.join(command)),
        put(f"{HEAD}/containers/0/image", deployment.image),
        put(f"{WORKER}/image", deployment.image),
        *_size_changes(sized, resources),
        *(_code_changes(code) if code else ()),
    ]
    documents = [
        *(_renamed(each, name) for each in chosen.others),
        *([code.config_map] if code else ()),
        patched(chosen.job, changes),
    ]
    return Manifest(tuple(documents), tuple(_notes(round_name, sized, resources, code)))


def job_name(round_name: str) -> str:
    """A round's name as Kubernetes takes it: small letters, digits and '-', at most `MAX_NAME`, the same every time.

    Where more than '_' had to be changed there is a hash of the name at the end, so that two names stay two.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", round_name.lower()).strip("-")
    name = plain if plain[:1].isalpha() else f"round-{plain}".rstrip("-")
    if len(name) <= MAX_NAME and name == round_name.replace("_", "-") and "-" not in round_name:
        return name
    end = hashlib.sha256(round_name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - len(end) - 1].rstrip('-')}-{end}"


def _overlay(deployment: Deployment) -> Overlay:
    """The overlays, with the object store's where the storage is one."""
    storage, names = deployment.storage, deployment.overlays
    if (refusal := place_refused(storage)) is not None:
        raise SubmissionError(f"--storage: {refusal}")
    if "://" in storage and not storage.startswith("file:"):
        if not storage.startswith("s3:"):
            raise SubmissionError(
                f"--storage: of the object stores pods have the keys of s3://bucket/rounds alone, but got {storage!r}; "
                "give one, or a folder below the volume."
            )
        return overlay([*names, OBJECT_STORE])
    if OBJECT_STORE in names:
        raise SubmissionError(
            f"--overlay object-store needs a storage like s3://bucket/rounds, but got {storage!r}; give one."
        )
    parts = Path(storage).parts
    if parts[:3] != Path(STORAGE).parts or ".." in parts:
        raise SubmissionError(
            f"--storage: pods reach {STORAGE}, where the volume is, and object stores (s3://bucket/rounds), but got "
            f"{storage!r}; give one of them."
        )
    return overlay(names)


def _command(job: str, storage: str) -> list[str]:
    return ["raytune-playbook", "run", job, "--storage", storage, "--exit-0-if-hopeless"]


def _size_changes(sized: Size, resources: Resources) -> Iterator[Operation]:
    head = f"{HEAD}/containers/0/resources"
    amounts: Document = {"cpu": str(sized.pod.cpus), "memory": f"{sized.pod.memory_gib}Gi"}
    if sized.pod.gpus:
        amounts["nvidia.com/gpu"] = str(sized.pod.gpus)
    yield put(f"{WORKER}/resources", {"requests": amounts, "limits": amounts})
    yield put(f"{WORKERS}/replicas", sized.least_pods)
    yield put(f"{WORKERS}/minReplicas", sized.least_pods)
    yield put(f"{WORKERS}/maxReplicas", sized.most_pods)
    yield put(f"{head}/requests/memory", f"{sized.head_memory_gib}Gi")
    yield put(f"{head}/limits/memory", f"{sized.head_memory_gib}Gi")
    if resources.node_labels:
        yield put(f"{WORKERS}/labels", dict(resources.node_labels))


def _code_changes(code: Code) -> Iterator[Operation]:
    """File by file: a ConfigMap that is mounted as a folder is one of links, under another path in every pod."""
    items: list[JsonValue] = [{"key": key, "path": path} for key, path in code.paths.items()]
    source: Document = {"name": text_at(code.config_map, "/metadata/name"), "items": items}
    yield put(f"{HEAD}/volumes/-", {"name": "code", "configMap": source})
    for path in code.paths.values():
        mount: Document = {"name": "code", "mountPath": f"{FOLDER}/{path}", "subPath": path, "readOnly": True}
        yield put(f"{HEAD}/containers/0/volumeMounts/-", mount)


def _renamed(document: Document, name: str) -> Document:
    """An object that goes with the job, so that deleting it leaves what other jobs need."""
    ending = text_at(document, "/metadata/name").removeprefix("raytune-playbook")
    return patched(document, [put("/metadata/name", f"{name}{ending}")])


def _notes(round_name: str, sized: Size, resources: Resources, code: Code | None) -> Iterator[str]:
    name = job_name(round_name)
    if name != round_name.replace("_", "-"):
        yield f"Round {round_name} is called {name} on Kubernetes."
    if sized.pod.gpus and not resources.gpus_per_worker:
        yield "The round asks for no GPUs, so those of its workers' pods stay idle."
    if code is not None and code.needs_server_side:
        num = len(str(at(code.config_map, "/data")))
        yield f"The code takes {num:,} characters; apply it with `kubectl apply --server-side -f -`."
