"""What runs on each node: an actor that looks around, tries the storage, and reduces with its peers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import torch.distributed as dist

from raytune_playbook.engine.cluster.ray_internals import memory_of_node, session_folder
from raytune_playbook.engine.doctor.facts import Seen
from raytune_playbook.engine.doctor.versions import versions
from raytune_playbook.errors import StorageError
from raytune_playbook.records.storage import Storage

SHARED_MEMORY = Path("/dev/shm")
REDUCED_BYTES = (4, 2**20, 2**23, 2**25)
"""An all-reduce of each size, until `REDUCING_S` are over; 32 MiB are the gradients of 8 million parameters."""

REDUCING_S = 3.0
NUM_REPEATS = 3


@dataclass(frozen=True)
class Meeting:
    """Where processes meet to reduce: at the first one's address and port."""

    backend: str
    address: str
    port: int
    num_processes: int
    timeout_s: float


@dataclass(frozen=True)
class Reduced:
    """How long an all-reduce took, by the median."""

    num_bytes: int
    took_s: float


class Examiner:
    """Of one node; each method is called by the doctor, with a deadline."""

    def __init__(self) -> None:
        # Ray hides the accelerators from an actor that asked for none.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        self._created: list[Path] = []

    def now_s(self) -> float:
        """This node's clock."""
        return time.time()

    def look(self, address: str, packages: Sequence[str]) -> Seen:
        """What there is on this node, which Ray reaches at an address; versions of the named packages."""
        disk_path = session_folder()
        memory, disk = memory_of_node(), shutil.disk_usage(disk_path)
        return Seen(
            versions=versions(packages),
            memory_bytes=memory.total_bytes,
            memory_free_bytes=memory.total_bytes - memory.used_bytes,
            disk_path=disk_path,
            disk_bytes=disk.total,
            disk_free_bytes=disk.free,
            shm_bytes=shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else None,
            num_gpus=torch.cuda.device_count(),
            interface=_interface_of(address),
            gloo_interface=os.environ.get("GLOO_SOCKET_IFNAME"),
            name_resolves_to=_address_of(socket.gethostname()),
        )

    def write(self, uri: str, path: str, content: bytes) -> str | None:
        """Write a file into the storage; what is wrong where that fails."""
        try:
            storage = Storage(uri)
            self._created = storage.missing_folders()
            storage.write(path, content)
        except (StorageError, OSError) as error:
            return str(error)
        return None

    def read(self, uri: str, paths: Sequence[str]) -> list[bytes | None]:
        """What of the storage's files is to be seen from here."""
        try:
            storage = Storage(uri)
            return [storage.read(path) for path in paths]
        except (StorageError, OSError):
            return [None] * len(paths)

    def clean(self, uri: str, folder: str) -> None:
        """Take away a folder of the storage with all files, and the folders that were made for it."""
        with contextlib.suppress(StorageError, OSError):  # another node took it away, or nothing can be
            Storage(uri).delete_folder(folder)
        for created in self._created:
            with contextlib.suppress(OSError):  # it is in use by now
                created.rmdir()

    def free_port(self) -> int:
        """A port on which nothing listens."""
        with socket.socket() as listening:
            listening.bind(("", 0))
            port: int = listening.getsockname()[1]
            return port

    def reduce(self, meeting: Meeting, rank: int) -> list[Reduced]:
        """Reduce with the other processes, as workers reduce gradients.

        Raises:
            RuntimeError: they did not meet, or a link broke.
        """
        device = torch.device("cuda", 0) if meeting.backend == "nccl" else torch.device("cpu")
        dist.init_process_group(
            meeting.backend,
            init_method=f"tcp://{meeting.address}:{meeting.port}",
            world_size=meeting.num_processes,
            rank=rank,
            timeout=timedelta(seconds=meeting.timeout_s),
        )
        try:
            return [_reduced(size, device) for size in _sizes(device)]
        finally:
            dist.destroy_process_group()


def _sizes(device: torch.device) -> Iterator[int]:
    """The sizes to reduce, until all processes agree that the time is up."""
    started_s = time.monotonic()
    for size in REDUCED_BYTES:
        is_over = torch.tensor(float(time.monotonic() - started_s > REDUCING_S), device=device)
        dist.all_reduce(is_over, op=dist.ReduceOp.MAX)
        if is_over:
            return
        yield size


def _reduced(num_bytes: int, device: torch.device) -> Reduced:
    tensor = torch.zeros(num_bytes // 4, device=device)
    took_s = []
    for _ in range(1 + NUM_REPEATS):
        started_s = time.perf_counter()
        dist.all_reduce(tensor)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took_s.append(time.perf_counter() - started_s)
    return Reduced(num_bytes, statistics.median(took_s[1:]))  # the first one connects


def _interface_of(address: str) -> str | None:
    found = psutil.net_if_addrs().items()
    return next((name for name, own in found if any(each.address == address for each in own)), None)


def _address_of(name: str) -> str | None:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None
