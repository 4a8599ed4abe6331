"""The workers of one trial as its loop sees them: a rank, a size, a device, and a process group where there are
several.

The loop communicates through this one door, so that it runs unchanged in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

    def __deepcopy__(self, memo: object) -> Group:
        """The same one: whoever copies a model that knows it copies no connections."""
        return self

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
            place = self._buffer[self._size + i]
            if isinstance(scalar, Tensor):
                place.copy_(scalar)
            else:  # not by indexing, which on a CUDA device copies from the host and waits for it (rule PI3)
                place.fill_(scalar)
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


@contextmanager
def synchronized_buffers(model: nn.Module, group: Group) -> Iterator[None]:
    """Within it every worker holds the same buffers (rule BN3); after it, its own again, bit for bit.

    So every worker evaluates the model that is saved, whatever keeps running statistics in it, and evaluating changes
    no later bit of training. What is equal on all workers stays as it is: constants, counts of steps, infinity in a
    mask. Of floating-point numbers that differ everybody gets the mean. What has no mean, such as whole numbers, is
    everybody's as rank 0 has it.
    """
    buffers = list(model.buffers())
    differing = [buffer for buffer, equal in zip(buffers, _are_equal(buffers, group), strict=True) if not equal]
    own = [buffer.clone() for buffer in differing]
    with torch.no_grad():
        _average_([buffer for buffer in differing if buffer.is_floating_point()], group)
        for buffer in differing:
            if not buffer.is_floating_point():
                # As bytes, for the sake of dtypes that a backend cannot send.
                first = group.gather(buffer.contiguous().view(-1).view(torch.uint8))[0]
                buffer.copy_(first.view(buffer.dtype).view(buffer.shape))
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(differing, own, strict=True):
                buffer.copy_(value)


def _average_(tensors: Sequence[Tensor], group: Group) -> None:
    """Replace floating-point tensors by their means over all workers, in one collective."""
    if not tensors:
        return
    # bfloat16 has three digits, and float16 no number above 65504
    flat = torch.cat([tensor.flatten().to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors])
    mean = group.sum_(flat).div_(group.size)
    for part, tensor in zip(mean.split([tensor.numel() for tensor in tensors]), tensors, strict=True):
        tensor.copy_(part.view_as(tensor))


def _are_equal(tensors: Sequence[Tensor], group: Group) -> list[bool]:
    """Whether all workers hold the same bits, for each tensor."""
    if group.size == 1 or not tensors:
        return [True] * len(tensors)
    parts = torch.stack(group.gather(torch.stack([_bits(tensor) for tensor in tensors])))
    return (parts == parts[0]).all(0).tolist()


def require_equal(name: str, tensors: Iterable[Tensor], group: Group) -> None:
    """Check that all workers hold the same numbers, bit for bit.

    Raises:
        RuntimeError: they differ, which means that initialization depends on something beside its seed (rule MH2).
    """
    if group.size == 1:
        return
    # Summed up, since workers whose models differ may hold different numbers of tensors.
    checksum = torch.stack([_bits(tensor) for tensor in tensors]).sum().reshape(1)
    if any(not torch.equal(part, checksum) for part in group.gather(checksum)):
        raise RuntimeError(
            f"{name} must be the same on all {group.size} workers, but it differs; derive every random number in "
            "Workload.model from torch's global generator, which has the same seed on all workers there"
        )


def _bits(tensor: Tensor) -> Tensor:
    """A checksum of a tensor's bits, which every bit changes, on its device."""
    flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
    is_whole = flat.numel() % 8 == 0 and flat.storage_offset() % 8 == 0
    words = flat.view(torch.int64) if is_whole else flat.to(torch.int64)
    # By odd numbers, since an even one would carry the highest bit of a word away.
    return (words * (torch.arange(words.numel(), device=words.device) % 65521 * 2 + 1)).sum()
