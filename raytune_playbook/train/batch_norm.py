"""Batch norm whose statistics come from one device, from all workers, or from ghost batches of a fixed size.

Playbook: "Batch normalization implementation details". Rules BN1, BN2 and BN4. ``device`` is PyTorch's own arithmetic.
``sync`` normalizes with the statistics of the global batch. ``ghost`` normalizes groups of exactly `virtual_batch_size`
examples: a device batch of N = G V examples is split into G groups (example n is in group n mod G); the r = N mod V
examples that are left over are normalized with the statistics of the last V examples; and when V is a whole multiple of
N, V / N consecutive workers form one group. Anything else is refused.

A model's layers stay the objects that they are: each gets a class that does all that its own does, and normalizes as
above, which is how torch itself initializes lazy modules and parametrizes others. So whatever is known of a layer stays
true of it: its names, hooks and attributes, what is tied to it or frozen, and the order of the parameters.

Shapes: inputs are (batch, num_features, ...); C stands for num_features.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from raytune_playbook.errors import SpecError
from raytune_playbook.train.group import Group


class Choice(NamedTuple):
    """Where a layer takes its statistics from."""

    statistics: str = "device"
    virtual_batch_size: int = 64
    group: Group = Group()


class BatchNorm(_BatchNorm):
    """Goes before one of torch's classes, whose place in a model's layer it takes; see `convert_batch_norm`."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    batch_norm_choice: Choice

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        if not self.training:
            return _normalized(input, self._affine(), self.running_mean, self.running_var)
        self.num_batches_tracked.add_(1)
        return _NORMALIZING[self.batch_norm_choice.statistics](self, input)

    def over(self, group: Group, x: Tensor) -> Tensor:
        """Normalize with the statistics of all examples of a group of workers."""
        if group.size == 1:
            return self.on_device(x)
        apply: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = _Synchronized.apply
        y, mean, var, count = apply(x, self.weight, self.bias, _Across(group, self.eps))
        with torch.no_grad():
            self._move(mean, var * (count / (count - 1)))
        return y

    def on_device(self, x: Tensor) -> Tensor:
        """Normalize with the statistics of this worker's examples."""
        if self.momentum is not None:
            return _normalized(x, self._affine(), self.running_mean, self.running_var, self.momentum)
        mean, var = self.running_mean.new_zeros(2, x.shape[1])
        y = _normalized(x, self._affine(), mean, var, 1.0)
        self._move(mean, var)
        return y

    def in_ghost_batches(self, x: Tensor) -> Tensor:
        """Normalize in groups of the virtual batch size, within this worker's examples or over several workers'."""
        size = self.batch_norm_choice.virtual_batch_size
        if x.shape[0] == size:
            return self.on_device(x)
        return self.over(self._ghost_group(x.shape[0]), x) if x.shape[0] < size else self._ghost(x)

    def _affine(self) -> _Affine:
        return _Affine(self.weight, self.bias, self.eps)

    def _move(self, mean: Tensor, var: Tensor) -> None:
        """Move the running averages towards the statistics of a batch."""
        for running, of_batch in ((self.running_mean, mean), (self.running_var, var)):
            if self.momentum is not None:
                running.lerp_(of_batch, self.momentum)
            else:  # the mean over all batches so far, whose number stays on the device
                running.lerp_(of_batch, self.num_batches_tracked.to(running.dtype).reciprocal())

    def _ghost(self, x: Tensor) -> Tensor:
        """x: (batch, C, ...) with batch > virtual_batch_size; groups interleave, so that no example is copied."""
        size, shape = self.batch_norm_choice.virtual_batch_size, x.shape
        num_groups, rest = divmod(shape[0], size)
        full = x[: num_groups * size] if rest else x  # to slice copies the gradient
        num_channels = num_groups * shape[1]
        # (size * groups, C, ...) seen as (size, groups * C, ...): each group's channels are channels of their own.
        seen = full.reshape(size, num_channels, *shape[2:])
        weight, bias = (
            None if each is None else each.expand(num_groups, -1).reshape(-1) for each in (self.weight, self.bias)
        )
        # With a momentum of 1 torch leaves the groups' own statistics where it would keep running ones.
        mean, var = self.running_mean.new_zeros(2, num_channels)
        y = _normalized(seen, _Affine(weight, bias, self.eps), mean, var, 1.0).reshape(full.shape)
        mean, var = mean.view(num_groups, -1), var.view(num_groups, -1)
        if self.momentum is None:
            self._move(mean.mean(0), var.mean(0))
        else:
            ones, share = mean.new_ones(num_groups), self.momentum / num_groups
            for running, each in ((self.running_mean, mean), (self.running_var, var)):
                # running <- (1 - momentum) running + momentum (mean over the groups), in one small operation
                running.addmv_(each.T, ones, beta=1 - self.momentum, alpha=share)
        if rest:
            last = _normalized(x[-size:], self._affine(), None, None, 0.0)
            y = torch.cat([y, last[-rest:]])
        return y

    def _ghost_group(self, device_batch: int) -> Group:
        _, size, group = self.batch_norm_choice
        num_devices, rest = divmod(size, device_batch)
        if rest or group.size % num_devices:
            raise SpecError(
                "virtual_batch_size: a ghost batch larger than a worker's batch must be a whole multiple of it "
                f"that divides the workers evenly, but got {size} with {device_batch} examples on "
                f"each of {group.size} workers; choose a divisor or such a multiple of {device_batch}."
            )
        return group.subgroups(num_devices)


_NORMALIZING: dict[str, Callable[[BatchNorm, Tensor], Tensor]] = {
    "device": lambda layer, x: layer.on_device(x),
    "sync": lambda layer, x: layer.over(layer.batch_norm_choice.group, x),
    "ghost": lambda layer, x: layer.in_ghost_batches(x),
}
STATISTICS = tuple(_NORMALIZING)


class BatchNorm1d(BatchNorm, nn.BatchNorm1d):
    """Inputs of shape (batch, C) or (batch, C, length)."""


class BatchNorm2d(BatchNorm, nn.BatchNorm2d):
    """Inputs of shape (batch, C, height, width)."""


class BatchNorm3d(BatchNorm, nn.BatchNorm3d):
    """Inputs of shape (batch, C, depth, height, width)."""


class SyncBatchNorm(BatchNorm, nn.SyncBatchNorm):
    """Inputs of shape (batch, C, ...)."""


_OURS: dict[type[_BatchNorm], type[BatchNorm]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
    nn.SyncBatchNorm: SyncBatchNorm,
    _BatchNorm: BatchNorm,
}
"""By the class of torch's that a layer's class is derived from."""


class _Affine(NamedTuple):
    """What follows the normalization, and what is added to variances."""

    weight: Tensor | None
    bias: Tensor | None
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
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor | None, bias: Tensor | None, across: _Across
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        group, eps = across
        dims = [d for d in range(x.dim()) if d != 1]
        dtype = torch.promote_types(x.dtype, torch.float32)  # statistics of bfloat16 keep the digits of float32
        var, mean = torch.var_mean(x.to(dtype), dims, correction=0)
        count = x.numel() // x.shape[1]
        # Packed as float64: counts stay exact, and the combination below adds no error of its own.
        local = torch.cat([mean, var * count, mean.new_full((1,), count, dtype=torch.float64)])
        parts = torch.stack(group.gather(local))
        mean_all, squares_all, total = _combine(parts, x.shape[1])
        var_all = squares_all / total
        inverse = torch.rsqrt(var_all + eps)
        mean_, var_, inverse_ = mean_all.to(dtype), var_all.to(dtype), inverse.to(dtype)
        y = _normalized(x, _Affine(weight, bias, eps), mean_, var_)
        ctx.save_for_backward(x, weight, mean_, inverse_)  # type: ignore[arg-type]  # which takes None too
        ctx.group, ctx.total = group, total  # type: ignore[attr-defined]
        ctx.mark_non_differentiable(mean_, var_, total)
        return y, mean_, var_, total

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
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
        scale = inverse if weight is None else inverse * weight
        grad_x = (grad - mean_grad.view(shape) - normalized * mean_product.view(shape)) * scale.view(shape)
        needed = ctx.needs_input_grad  # type: ignore[attr-defined]
        return grad_x.to(x.dtype), grad_weight if needed[1] else None, grad_bias if needed[2] else None, None


def _combine(parts: Tensor, num_features: int) -> tuple[Tensor, Tensor, Tensor]:
    """Combine (num_workers, 2 C + 1) of means, sums of squared deviations and counts stably (Chan et al. 1979)."""
    means, squares, counts = parts.split([num_features, num_features, 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    return mean, (squares + counts * (means - mean) ** 2).sum(0), total


# ---------------------------------------------------------------------- the layers of a model


class _OwnForward(nn.Module):
    """Goes before a class whose own forward has to come to that of `BatchNorm`, and sees to it."""

    batch_norm_choice: Choice

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        self._has_normalized = not self.training
        y: Tensor = super().forward(*args, **kwargs)
        is_own = self.batch_norm_choice.statistics != "device" or isinstance(self, nn.SyncBatchNorm)
        if is_own and not self._has_normalized:
            raise _unknown_statistics(self, "normalizes without super().forward(...)")
        return y


class _Noting(BatchNorm):
    """Goes before ours where `_OwnForward` waits for it."""

    def forward(self, input: Tensor) -> Tensor:
        self._has_normalized = True
        return super().forward(input)


def has_batch_norm(model: nn.Module) -> bool:
    """Whether there is a layer in a model to which it matters where statistics come from."""
    return any(isinstance(layer, _BatchNorm) or _is_scripted(layer) for layer in model.modules())


def _is_scripted(layer: nn.Module) -> bool:
    return isinstance(layer, torch.jit.ScriptModule) and "BatchNorm" in layer.original_name


def convert_batch_norm(
    model: nn.Module, *, statistics: str, virtual_batch_size: int = 64, group: Group | None = None
) -> nn.Module:
    """Let every batch norm of a model, torch's or ours, take the given statistics; nothing else of it changes.

    Raises:
        SpecError: unknown statistics, a virtual batch of no examples, or a layer that cannot have them.
    """
    choice = Choice(statistics, virtual_batch_size, group or Group())
    _check_choice(choice)
    for name, module in model.named_modules():
        _check_layer(name or "the model", module, statistics)
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            if not isinstance(layer, BatchNorm):
                layer.__class__ = _class_of_ours(type(layer))
            assert isinstance(layer, BatchNorm)
            layer.batch_norm_choice = choice
    return model


def _class_of_ours(theirs: type[_BatchNorm]) -> type[BatchNorm]:
    if theirs in _OURS:
        return _OURS[theirs]
    base = next(each for each in theirs.__mro__ if each in _OURS)
    if theirs.forward is base.forward:
        bases: tuple[type, ...] = (theirs, _OURS[base])
    else:
        bases = (_OwnForward, theirs, _Noting, _OURS[base])
    names = {"__module__": theirs.__module__, "__qualname__": theirs.__qualname__, "__doc__": theirs.__doc__}
    return types.new_class(theirs.__name__, bases, exec_body=lambda namespace: namespace.update(names))


def _check_choice(choice: Choice) -> None:
    if choice.statistics not in STATISTICS:
        raise SpecError(
            f"batch_norm must be one of {', '.join(STATISTICS)}, but got {choice.statistics!r}; choose one of them."
        )
    if choice.virtual_batch_size < 1:
        raise SpecError(
            f"virtual_batch_size must be at least 1, but got {choice.virtual_batch_size}; 64 is the default."
        )


def _check_layer(name: str, layer: nn.Module, statistics: str) -> None:
    """Check that a layer can have its statistics from there, if it is a batch norm."""
    if _is_scripted(layer) and statistics != "device":
        raise _unknown_statistics(layer, "was compiled by torch.jit", name)
    if not isinstance(layer, _BatchNorm):
        return
    if isinstance(layer, LazyModuleMixin):
        raise SpecError(
            f"Workload.model: batch norm must know its num_features, but {name} is a {type(layer).__name__} that has "
            "seen no batch; give them, or pass a batch through the model before it is returned."
        )
    if layer.running_mean is None or not layer.track_running_stats:
        raise SpecError(
            "Workload.model: batch norm must have running averages, without which what a model says of an example "
            f"depends on the examples beside it, but {name} is {layer}; construct it with track_running_stats=True."
        )
    if "forward" in vars(layer) and statistics != "device":
        raise _unknown_statistics(layer, "has a forward of its own instead of its class's", name)


def _unknown_statistics(layer: nn.Module, why: str, name: str = "a layer") -> SpecError:
    return SpecError(
        "batch_norm: only layers that normalize by torch's forward can have their statistics from elsewhere, but "
        f"{name} ({type(layer).__name__}) {why}; call it there, or choose batch_norm='device'."
    )
