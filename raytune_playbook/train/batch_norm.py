"""Batch norm whose statistics come from one device, from all workers, or from ghost batches of a fixed size.

Playbook: "Batch normalization implementation details". Rules BN1 to BN4. ``device`` is PyTorch's own arithmetic.
``sync`` normalizes with the statistics of the global batch. ``ghost`` normalizes groups of exactly `virtual_batch_size`
examples: a device batch of N = G V examples is split into G groups (example n is in group n mod G); the r = N mod V
examples that are left over are normalized with the statistics of the last V examples; and when V is a whole multiple of
N, V / N consecutive workers form one group. Anything else is refused.

Shapes: inputs are (batch, num_features, ...); C stands for num_features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.group import Group

Statistics: TypeAlias = Literal["device", "sync", "ghost"]
STATISTICS: tuple[str, ...] = ("device", "sync", "ghost")


class BatchNorm(nn.Module):
    """Batch norm over (batch, num_features, ...); parameters and buffers are named like those of torch's own."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        statistics: str = "device",
        virtual_batch_size: int = 64,
        group: Group | None = None,
    ) -> None:
        super().__init__()
        _check_choice(statistics, virtual_batch_size)
        self.eps, self.momentum = eps, momentum
        self.statistics, self.virtual_batch_size = statistics, virtual_batch_size
        self.group = group or Group()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return _normalized(x, self._affine(), self.running_mean, self.running_var)
        self.num_batches_tracked.add_(1)
        if self.statistics == "sync":
            return self.over(self.group, x)
        if self.statistics == "device" or x.shape[0] == self.virtual_batch_size:
            return self._on_device(x)
        if x.shape[0] < self.virtual_batch_size:
            return self.over(self._ghost_group(x.shape[0]), x)
        return self._ghost(x)

    def _on_device(self, x: Tensor) -> Tensor:
        return _normalized(x, self._affine(), self.running_mean, self.running_var, self.momentum)

    def _affine(self) -> _Affine:
        return _Affine(self.weight, self.bias, self.eps)

    def over(self, group: Group, x: Tensor) -> Tensor:
        """Normalize with the statistics of all examples of a group of workers."""
        if group.size == 1:
            return self._on_device(x)
        apply: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = _Synchronized.apply
        y, mean, var, count = apply(x, self.weight, self.bias, _Across(group, self.eps))
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        return y

    def _ghost(self, x: Tensor) -> Tensor:
        """x: (batch, C, ...) with batch > virtual_batch_size; groups interleave, so that no example is copied."""
        size, shape = self.virtual_batch_size, x.shape
        num_groups, rest = divmod(shape[0], size)
        full = x[: num_groups * size] if rest else x  # to slice copies the gradient
        num_channels = num_groups * shape[1]
        # (size * groups, C, ...) seen as (size, groups * C, ...): each group's channels are channels of their own.
        seen = full.reshape(size, num_channels, *shape[2:])
        weight, bias = (each.expand(num_groups, -1).reshape(-1) for each in (self.weight, self.bias))
        affine = _Affine(weight, bias, self.eps)
        # With a momentum of 1 torch leaves the groups' own statistics where it would keep running ones.
        mean, var = self.running_mean.new_zeros(2, num_channels)
        y = _normalized(seen, affine, mean, var, 1.0).reshape(full.shape)
        ones, share = mean.new_ones(num_groups), self.momentum / num_groups
        for running, each in ((self.running_mean, mean), (self.running_var, var)):
            # running <- (1 - momentum) running + momentum (mean over the groups), in one small operation
            running.addmv_(each.view(num_groups, -1).T, ones, beta=1 - self.momentum, alpha=share)
        if rest:
            last = _normalized(x[-size:], self._affine(), None, None, self.momentum)
            y = torch.cat([y, last[-rest:]])
        return y

    def _ghost_group(self, device_batch: int) -> Group:
        num_devices, rest = divmod(self.virtual_batch_size, device_batch)
        if rest or self.group.size % num_devices:
            raise SpecError(
                "virtual_batch_size: a ghost batch larger than a worker's batch must be a whole multiple of it "
                f"that divides the workers evenly, but got {self.virtual_batch_size} with {device_batch} examples on "
                f"each of {self.group.size} workers; choose a divisor or such a multiple of {device_batch}."
            )
        return self.group.subgroups(num_devices)


class _Affine(NamedTuple):
    """What follows the normalization, and what is added to variances."""

    weight: Tensor
    bias: Tensor
    eps: float


class _Across(NamedTuple):
    """The workers whose examples are normalized together, and what is added to variances."""

    group: Group
    eps: float


def _normalized(
    x: Tensor, affine: _Affine, mean: Tensor | None, var: Tensor | None, momentum: float | None = None
) -> Tensor:
    """By the batch's statistics, which move the given ones; by the given ones where there is no momentum.

    What `torch.nn.functional.batch_norm` calls in the end, which on the way there spends a tenth of a small layer.
    """
    if momentum is not None and x.numel() == x.shape[1]:
        raise ValueError(f"batch norm needs more than one value per channel in training, but got {tuple(x.shape)}")
    is_cudnn, (weight, bias, eps) = torch.backends.cudnn.enabled, affine
    return torch.batch_norm(x, weight, bias, mean, var, momentum is not None, momentum or 0.0, eps, is_cudnn)


class _Synchronized(torch.autograd.Function):
    """Batch norm over the examples of all workers: one collective forward, one backward."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, across: _Across
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        group, eps = across
        dims = [d for d in range(x.dim()) if d != 1]
        dtype = torch.promote_types(x.dtype, torch.float32)  # statistics of bfloat16 keep the digits of float32
        var, mean = torch.var_mean(x.to(dtype), dims, correction=0)
        count = x.numel() // x.shape[1]
        # Packed as float64: counts stay exact, and the combination below adds no error of its own.
        local = torch.cat([mean, var * count, mean.new_tensor([count])]).double()
        parts = torch.stack(group.gather(local))
        mean_all, squares_all, total = _combine(parts, x.shape[1])
        var_all = squares_all / total
        inverse = torch.rsqrt(var_all + eps)
        mean_, var_, inverse_ = mean_all.to(dtype), var_all.to(dtype), inverse.to(dtype)
        y = _normalized(x, _Affine(weight, bias, eps), mean_, var_)
        ctx.save_for_backward(x, weight, mean_, inverse_)
        ctx.group, ctx.total = group, total  # type: ignore[attr-defined]
        ctx.mark_non_differentiable(mean_, var_, total)
        return y, mean_, var_, total

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        group, total = ctx.group, ctx.total  # type: ignore[attr-defined]
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        normalized = (x - mean.view(shape)) * inverse.view(shape)
        grad = grad.to(mean.dtype)
        grad_bias = grad.sum(dims)
        grad_weight = (grad * normalized).sum(dims)
        sums = group.sum_(torch.cat([grad_bias, grad_weight]).double()) / total
        mean_grad, mean_product = sums.to(mean.dtype).chunk(2)
        grad_x = (grad - mean_grad.view(shape) - normalized * mean_product.view(shape)) * (inverse * weight).view(shape)
        return grad_x.to(x.dtype), grad_weight, grad_bias, None


def _combine(parts: Tensor, num_features: int) -> tuple[Tensor, Tensor, Tensor]:
    """Combine (num_workers, 2 C + 1) of means, sums of squared deviations and counts stably (Chan et al. 1979)."""
    means, squares, counts = parts.split([num_features, num_features, 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    return mean, (squares + counts * (means - mean) ** 2).sum(0), total


def convert_batch_norm(
    model: nn.Module, *, statistics: str, virtual_batch_size: int = 64, group: Group | None = None
) -> nn.Module:
    """Replace every batch norm of a model, torch's or ours, by one with the given statistics; weights are kept.

    Raises:
        SpecError: unknown statistics, or a virtual batch of no examples.
    """
    _check_choice(statistics, virtual_batch_size)
    if isinstance(model, BatchNorm | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return _converted(model, statistics, virtual_batch_size, group)
    for name, child in model.named_children():
        converted = convert_batch_norm(child, statistics=statistics, virtual_batch_size=virtual_batch_size, group=group)
        if converted is not child:
            setattr(model, name, converted)
    return model


def _check_choice(statistics: str, virtual_batch_size: int) -> None:
    if statistics not in STATISTICS:
        raise SpecError(
            f"batch_norm must be one of {', '.join(STATISTICS)}, but got {statistics!r}; choose one of them."
        )
    if virtual_batch_size < 1:
        raise SpecError(f"virtual_batch_size must be at least 1, but got {virtual_batch_size}; 64 is the default.")


def _converted(
    old: BatchNorm | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d,
    statistics: str,
    virtual_batch_size: int,
    group: Group | None,
) -> BatchNorm:
    if old.momentum is None or old.weight is None or old.running_mean is None:
        raise SpecError(
            "convert_batch_norm: affine batch norm with running averages and a momentum is needed, "
            f"but got {old}; construct it with affine=True, track_running_stats=True and a momentum."
        )
    new = BatchNorm(
        old.weight.numel(),
        eps=old.eps,
        momentum=old.momentum,
        statistics=statistics,
        virtual_batch_size=virtual_batch_size,
        group=group,
    )
    new.load_state_dict(old.state_dict())
    return new.to(old.weight.device, old.weight.dtype)


@contextmanager
def synchronized_statistics(model: nn.Module, group: Group) -> Iterator[None]:
    """Within it every worker's running averages are the mean over all workers (rule BN3); after it, its own again.

    So every worker evaluates the same model, bit for bit, and evaluating changes no later bit of training.
    """
    layers = [module for module in model.modules() if isinstance(module, BatchNorm)]
    if group.size == 1 or not layers:
        yield
        return
    own = [buffer for layer in layers for buffer in (layer.running_mean, layer.running_var)]
    saved = torch.cat([buffer.flatten() for buffer in own])
    mean = group.sum_(saved.clone()).div_(group.size)
    _scatter(mean, own)
    try:
        yield
    finally:
        _scatter(saved, own)


def _scatter(flat: Tensor, buffers: list[Tensor]) -> None:
    for part, buffer in zip(flat.split([buffer.numel() for buffer in buffers]), buffers, strict=True):
        buffer.copy_(part.view_as(buffer))
