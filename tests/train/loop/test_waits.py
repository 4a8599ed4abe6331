"""Nothing of a training step waits for the device (rule PI3): seen without one, on torch's device ``meta``.

A tensor there has a shape and no numbers, so that whatever fetches a number raises by itself. What copies numbers to
the device does not, and waits all the same where they are not in pinned memory: `waits` sees it. `test_gpu` has the
same steps on a CUDA device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import OPTIMIZERS
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train import loop, model
from raytune_playbook.train.group import FlatGradients, Group
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from raytune_playbook.workloads.digits import DigitsResNet
from raytune_playbook.workloads.tabular import BreastCancer
from raytune_playbook.workloads.text import StandardLibraryText

META = torch.device("meta")
NUM_STEPS = 3

COPIES = {torch.ops.aten.copy_, torch.ops.aten._to_copy, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_}
FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


class _Operations(TorchDispatchMode):
    """Sees torch's operations: CPU tensors that go to the device, and numbers that indexing makes into tensors."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self._seen = seen
        self._of_numbers: list[Tensor] = []  # kept, lest another tensor come where one was

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        tensors = [*given, *(each for each in tree_leaves(made) if isinstance(each, Tensor))]
        if any(tensor.is_meta for tensor in tensors):
            packet = func.overloadpacket
            # An operation takes a number from the CPU along as it is queued.
            if any(not tensor.is_meta and (tensor.dim() > 0 or packet in COPIES) for tensor in given):
                self._seen.append(f"{func} of a CPU tensor")
            if packet in COPIES and any(self._is_of_number(tensor) for tensor in given):
                self._seen.append(f"{func} of a number")
            if packet is torch.ops.aten.index_put_ and any(each.dtype == torch.bool for each in tree_leaves(args[1])):
                self._seen.append(f"{func} at a mask, whose places are fetched")
            if packet is torch.ops.aten.scalar_tensor:
                self._of_numbers.append(made)
        return made

    def _is_of_number(self, tensor: Tensor) -> bool:
        """Whether a tensor is made of a number, or a view of one."""
        place = tensor.untyped_storage()._cdata
        return any(each.untyped_storage()._cdata == place for each in self._of_numbers)


class _Functions(TorchFunctionMode):
    """Sees torch's functions: those that make tensors of numbers, of which no operation tells."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in FROM_NUMBERS and made.is_meta:
            self._seen.append(f"{func.__name__} of numbers")
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].is_meta:
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(place, list) for place in places):
                self._seen.append("indexing by a list")
        return made


@contextlib.contextmanager
def waits() -> Iterator[list[str]]:
    """What would wait for the device within it."""
    seen: list[str] = []
    with _Operations(seen), _Functions(seen):
        yield seen


# ---------------------------------------------------------------------- what is seen


def column() -> Tensor:
    return torch.zeros(5, device=META)


def masked(x: Tensor) -> None:
    x[x > 0] = x[0]


WAITING: dict[str, Callable[[Tensor], object]] = {
    "a number at an index": lambda x: x.__setitem__(2, 1.0),
    "a number at a slice": lambda x: x.__setitem__(slice(0, 2), 1.0),
    "a number at some places": lambda x: x.__setitem__(torch.zeros(2, dtype=torch.int64, device=META), 1.0),
    "a CPU scalar at an index": lambda x: x.__setitem__(2, torch.tensor(1.0)),
    "a copy of a CPU scalar": lambda x: x[2].copy_(torch.tensor(1.0)),
    "a copy of a CPU tensor": lambda x: x.copy_(torch.zeros(5)),
    "a CPU tensor moved": lambda x: torch.ones(3).to(META),
    "a tensor of a number": lambda x: torch.tensor(1.0, device=META),
    "a tensor of numbers": lambda x: torch.as_tensor([1.0, 2.0], device=META),
    "a tensor of numbers like another": lambda x: x.new_tensor([1.0]),
    "a list of places": lambda x: x[[1, 2]],
    "places on the CPU": lambda x: x[torch.tensor([1, 2])],
    "a mask": masked,
}

GOING_ON: dict[str, Callable[[Tensor], object]] = {
    "fill": lambda x: x[2].fill_(1.0),
    "a copy on the device": lambda x: x.__setitem__(2, x[1]),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "a CPU scalar in arithmetic": lambda x: x.mul_(torch.tensor(2.0)),
    "a new tensor of one number": lambda x: x.new_full((1,), 3.0),
    "a tensor on the CPU": lambda x: torch.tensor([1.0]).add_(1)[0].item(),
    "a slice": lambda x: x[1:3].lerp_(x[:2], 0.5),
}

FETCHING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "a condition": lambda x: bool((x > 0).all()),
    "cpu": lambda x: x.cpu(),
    "tolist": lambda x: x.tolist(),
    "by a mask": lambda x: x[x > 0],
}


@pytest.mark.parametrize("name", WAITING)
def test_pi3_what_copies_from_the_host_is_seen(name):
    with waits() as seen:
        WAITING[name](column())
    assert seen != []


@pytest.mark.parametrize("name", GOING_ON)
def test_pi3_what_waits_for_nothing_is_not(name):
    with waits() as seen:
        GOING_ON[name](column())
    assert seen == []


@pytest.mark.parametrize("name", FETCHING)
def test_pi3_what_fetches_raises(name):
    with pytest.raises((RuntimeError, NotImplementedError)):
        FETCHING[name](column())


# ---------------------------------------------------------------------- training steps


class Stopped(BaseException):
    pass


class Stopping:
    """Ends the trial before its first reporting interval."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def stepped(self, step: int) -> None:
        if step == 0:
            self._seen.clear()  # what was before the first step may wait
        if step == NUM_STEPS:
            raise Stopped

    def wants_stop(self) -> bool:
        return False

    def evaluated(self) -> None:
        pass

    def new_measurements(self, rows: list[Any]) -> None:
        pass


class Batches:
    """The same batch again and again, on the device."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def training_batches(self, trial: TrialSpec, *, first_batch: int) -> Iterator[Batch]:
        while True:
            yield self._batch

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        return ()

    def transfer_wait_s(self) -> float:
        return 0.0

    def stage_seconds(self) -> Mapping[str, float]:
        return {}


class Counting(DigitsResNet):
    """The digits network with running averages that are means over all batches."""

    def model(self, values: Values) -> nn.Module:
        network = super().model(values)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        return network


def images(num: int = 8) -> Batch:
    return {"image": torch.rand(num, 1, 8, 8, device=META), "label": torch.zeros(num, dtype=torch.int64, device=META)}


def seen_in_steps(
    monkeypatch: pytest.MonkeyPatch, workload: Workload, batch: Batch, size: int = 2, **values: Value
) -> list[str]:
    """What would wait for the device in the steps before the first reporting interval.

    Two workers are one here, which takes its own numbers for those of both.
    """
    monkeypatch.setattr(loop, "_evaluations", lambda *_: [])
    monkeypatch.setattr(model, "require_equal", lambda *_: None)
    monkeypatch.setattr(model, "autocast", lambda *_: contextlib.nullcontext())  # torch's has no such device
    trial = TrialSpec(
        study="all",
        index=0,
        seed=0,
        values=workload.hyperparameters() | values,
        max_train_steps=2 * NUM_STEPS,
        evaluation_interval_steps=NUM_STEPS + 1,
        divergence_factor=2.0,
        objective=Objective(),
    )
    with waits() as seen, pytest.raises(Stopped):
        loop.train(TrialRun(workload, trial, Batches(batch), Group(0, size, META), Stopping(seen)))
    return seen


KINDS: dict[str, dict[str, Value]] = {
    **{name: {"optimizer": name, "weight_decay": 0.01} for name in OPTIMIZERS},
    "decoupled": {"optimizer": "adam", "weight_decay": 0.01, "weight_decay_kind": "decoupled"},
    "exponential": {"averaging": "exponential"},
    "uniform": {"averaging": "uniform", "averaging_start_step": 1},
    "clipped": {"clipping_norm": 0.1},
    "scheduled": {"schedule": "cosine", "warmup_steps": 2},
    "sync": {"batch_norm": "sync"},
    "ghost": {"batch_norm": "ghost", "virtual_batch_size": 4},
    "ghost with a rest": {"batch_norm": "ghost", "virtual_batch_size": 3},
    "ghost over workers": {"batch_norm": "ghost", "virtual_batch_size": 16},
    "augmented": {"shift_pixels": 2, "label_smoothing": 0.1, "dropout": 0.2},
}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_pi3_no_step_waits_for_the_device(name, size, monkeypatch):
    if size == 1 and name == "ghost over workers":
        size = 4
    assert seen_in_steps(monkeypatch, DigitsResNet(), images(), size, **KINDS[name]) == []


@pytest.mark.parametrize("statistics", ["device", "sync", "ghost"])
def test_pi3_nor_one_that_counts_its_batches(statistics, monkeypatch):
    """Where torch's own layer fetches their number from the device at every step."""
    values = {"batch_norm": statistics, "virtual_batch_size": 4}
    assert seen_in_steps(monkeypatch, Counting(), images(), **values) == []


def test_pi3_nor_one_of_the_other_bundled_workloads(monkeypatch):
    rows = {"row": torch.rand(8, 30, device=META), "label": torch.zeros(8, dtype=torch.int64, device=META)}
    assert seen_in_steps(monkeypatch, BreastCancer(), rows, label_smoothing=0.1) == []
    windows = {"text": torch.zeros(8, 129, dtype=torch.uint8, device=META)}
    assert seen_in_steps(monkeypatch, StandardLibraryText(), windows, dropout=0.1) == []


def average_by_indexing(gradients: FlatGradients, *scalars: Tensor | float) -> Tensor:
    for i, scalar in enumerate(scalars):
        gradients._buffer[gradients._size + i] = scalar
    return gradients._buffer[gradients._size : gradients._size + len(scalars)].clone()


def test_pi3_a_number_that_travels_with_the_gradients_would_be_seen(monkeypatch):
    monkeypatch.setattr(FlatGradients, "average", average_by_indexing)
    assert seen_in_steps(monkeypatch, DigitsResNet(), images()) == ["aten.copy_.default of a number"] * NUM_STEPS
