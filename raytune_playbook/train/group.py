"""The workers of one trial as its loop sees them: a rank, a size, a device, and a process group where there are
several.

The loop communicates through this one door, so that it runs unchanged in one process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import _set_pg_timeout

from raytune_playbook.train.clock import Clock


@dataclass(frozen=True)
class Group:
    """One worker's place among the workers of a trial.

    Fields:
        rank, size: this worker's number, and how many there are.
        device: where this worker computes.
        process_group: None exactly when size is 1.
        timeout_s: of collectives in subgroups, which may begin with a compilation.
        clock: times all collectives, those of subgroups too.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    process_group: dist.ProcessGroup | None = None
    timeout_s: float = 600.0
    clock: Clock = field(default_factory=Clock, compare=False, repr=False)
    _subgroups: dict[int, Group] = field(default_factory=dict, compare=False, repr=False)

    def seed_(self, seed: int) -> None:
        """Seed what this worker draws from: torch's global generators of the CPU and of its device.

        `torch.manual_seed` does so for every kind of device; where CUDA has not been used it keeps a trace of the stack
        for later, which takes a millisecond.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all workers, in place."""
        if self.process_group is not None:
            with self.clock.timed("synchronization"):
                dist.all_reduce(tensor, group=self.process_group)
        return tensor

    def set_timeout(self, timeout_s: float) -> None:
        """How long a collective of all workers may take from now on, before it raises.

        This is the one door to `_set_pg_timeout`, a private name of torch, which has no public one for this.
        """
        if self.process_group is not None:
            _set_pg_timeout(timedelta(seconds=timeout_s), self.process_group)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The same-shaped tensors of all workers, in the order of their ranks."""
        if self.process_group is None:
            return [tensor]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with self.clock.timed("synchronization"):
            dist.all_gather(parts, tensor, group=self.process_group)
        return parts

    def from_first(self, content: bytes | None) -> bytes | None:
        """The bytes that rank 0 gives, on every worker; None where it gives None."""
        if self.process_group is None:
            return content
        size = torch.tensor([-1 if content is None else len(content)], device=self.device)
        self._broadcast(size)
        if (num_bytes := int(size)) < 0:
            return None
        sent = torch.empty(num_bytes, dtype=torch.uint8, device=self.device)
        if self.rank == 0 and content is not None:
            sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._broadcast(sent)
        return sent.cpu().numpy().tobytes()

    def _broadcast(self, tensor: Tensor) -> None:
        with self.clock.timed("synchronization"):
            dist.broadcast(tensor, src=0, group=self.process_group)

    def subgroups(self, size: int) -> Group:
        """The group of ``size`` consecutive ranks that holds this one; every worker must call it at the same time.

        Made once and kept: a process group holds connections and threads, and a warm worker trains many trials.
        """
        if self.process_group is None or size == self.size:
            return self
        if size in self._subgroups:
            return self._subgroups[size]
        timeout = timedelta(seconds=self.timeout_s)
        starts = range(0, self.size, size)
        groups = [dist.new_group(list(range(start, start + size)), timeout=timeout) for start in starts]
        mine = groups[self.rank // size]
        if not isinstance(mine, dist.ProcessGroup):
            raise RuntimeError(f"rank {self.rank} is not in its own group of {size}")
        subgroup = Group(self.rank % size, size, self.device, mine, self.timeout_s, self.clock)
        return self._subgroups.setdefault(size, subgroup)


class FlatGradients:
    """All gradients of a model in one flat buffer, with a tail of scalars that travel in the same all-reduce.

    One collective per step whose order of summation never changes: DistributedDataParallel rebuilds its buckets after
    the first step, so that a resumed run would add in another order. The gradients are views into the buffer, which
    saves copying them.
    """

    NUM_SCALARS = 2

    def __init__(self, model: nn.Module, group: Group) -> None:
        self.group = group
        params = [parameter for parameter in model.parameters() if parameter.requires_grad]
        dtypes = {parameter.dtype for parameter in params}
        if len(dtypes) != 1:
            raise TypeError(
                "a model's trainable parameters must be of one dtype, "
                f"but they are of {', '.join(sorted(map(str, dtypes))) or 'none at all'}"
            )
        self._size = sum(parameter.numel() for parameter in params)
        self._buffer = torch.zeros(self._size + self.NUM_SCALARS, dtype=dtypes.pop(), device=group.device)
        start = 0
        for parameter in params:
            end = start + parameter.numel()
            parameter.grad = self._buffer[start:end].view_as(parameter)
            start = end

    def zero_(self) -> None:
        """Forget the last step's gradients."""
        self._buffer.zero_()

    def average(self, *scalars: Tensor | float) -> Tensor:
        """Average the gradients, and the given scalars, over all workers in one collective.

        Returns:
            The averaged scalars, of shape (num_scalars,), on the device.
        """
        for i, scalar in enumerate(scalars):
            self._buffer[self._size + i] = scalar
        if self.group.size > 1:
            self.group.sum_(self._buffer).div_(self.group.size)
        return self._buffer[self._size : self._size + len(scalars)].clone()

    def norm(self) -> Tensor:
        """The L2 norm of the full gradient, a scalar on the device (rule UN2)."""
        norm: Tensor = torch.linalg.vector_norm(self._buffer[: self._size])
        return norm

    def scale_(self, factor: Tensor) -> None:
        """Multiply all gradients by a scalar on the device."""
        self._buffer[: self._size].mul_(factor)


def require_equal(name: str, tensors: Iterable[Tensor], group: Group) -> None:
    """Check that all workers hold the same numbers, bit for bit.

    Raises:
        RuntimeError: they differ, which means that initialization depends on something beside its seed (rule MH2).
    """
    if group.size == 1:
        return
    checksum = torch.stack([_bits(tensor) for tensor in tensors]).sum().reshape(1)
    if any(not torch.equal(part, checksum) for part in group.gather(checksum)):
        raise RuntimeError(
            f"{name} must be the same on all {group.size} workers, but it differs; derive every random number in "
            "Workload.model from torch's global generator, which has the same seed on all workers there"
        )


def _bits(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().view(-1).view(torch.uint8).to(torch.int64)
    return (flat * (torch.arange(flat.numel(), device=flat.device) % 65521 + 1)).sum()
