"""The loop on CUDA devices: as on the CPU, prefetched from pinned memory, out of memory and going on, over NCCL."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches
from raytune_playbook.records.columns import TIME_COLUMNS, MeasurementRow
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import _Across, _Synchronized, convert_batch_norm
from raytune_playbook.train.end import End
from raytune_playbook.train.group import FlatGradients, Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.measurements import Measurements
from raytune_playbook.train.process.reset import reset
from raytune_playbook.train.profiler import Profile
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from raytune_playbook.workloads.digits import DigitsResNet
from tests.ports import free_port
from tests.train.conftest import batches_of
from tests.train.loop.test_waits import KINDS, Counting, average_by_indexing
from tests.workers import Notes

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

C = 4


Trained = Callable[..., tuple[End, list[dict[str, object]]]]


@pytest.fixture
def trained(run_alone) -> Trained:
    """Trains a trial on a GPU, unless told otherwise; its rows without times."""

    def run(workload: Workload, trial: TrialSpec, device: str = "cuda") -> tuple[End, list[dict[str, object]]]:
        end, notes = run_alone(workload, trial, device=device)
        return end, notes.timeless_rows

    return run


def test_a_trial_learns_as_on_the_cpu(small, make_trial, trained):
    (_, ours), (_, theirs) = (trained(small, make_trial(), device) for device in ("cuda", "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        assert (one["step"], one["split"]) == (other["step"], other["split"])
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.parametrize("values", [{"precision": "bfloat16"}, {"compile": True}])
def test_bfloat16_and_compilation_learn_about_the_same(small, make_trial, trained, values):
    (_, exact), (end, found) = (trained(small, make_trial(**each)) for each in ({}, values))
    assert end.outcome == "completed"
    assert found[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.1)
    reset(1)


def test_batches_come_from_pinned_memory_and_are_those_of_the_cpu(small, make_trial, monkeypatch):
    pinned = []
    original = Tensor.pin_memory
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or original(tensor))
    trial = make_trial()
    groups = [Group(device=torch.device(device)) for device in ("cuda", "cpu")]
    batches = [batches_of(small, trial, group).training_batches(trial, first_batch=0) for group in groups]
    for _ in range(5):
        ours, theirs = (next(each) for each in batches)
        for name, column in theirs.items():
            assert ours[name].device.type == "cuda"
            assert torch.equal(ours[name].cpu(), column)
    assert len(pinned) >= 5 * len(theirs)


def test_a_trial_out_of_memory_is_infeasible_and_the_next_one_is_as_ever(small, make_trial, trained):
    class TooMuch(type(small)):
        def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
            torch.empty(2**43, dtype=torch.uint8, device="cuda")
            return super().loss(model, batch, values)

    before = trained(small, make_trial())[1]
    reset(1)
    left = torch.cuda.memory_allocated()  # by any trial: workspaces of libraries, whose size is the card's
    end, _ = trained(TooMuch(), make_trial())
    assert (end.outcome, end.reason.partition(":")[0]) == ("infeasible", "out of memory")
    reset(1)
    assert torch.cuda.memory_allocated() <= left
    assert trained(small, make_trial())[1] == before


class Late:
    """The usual batches, each of which comes late."""

    def __init__(self, batches: SharedBatches, late_s: float) -> None:
        self._batches, self._late_s = batches, late_s
        self.evaluation_batches = batches.evaluation_batches
        self.transfer_wait_s, self.stage_seconds = batches.transfer_wait_s, batches.stage_seconds

    def training_batches(self, trial: TrialSpec, *, first_batch: int = 0) -> Iterator[Batch]:
        for batch in self._batches.training_batches(trial, first_batch=first_batch):
            time.sleep(self._late_s)
            yield batch


def shares_of(workload: Workload, trial: TrialSpec, late_s: float) -> dict[str, float]:
    """Of the steps' time by part, the first interval left out, which loads kernels."""
    group, notes = Group(device=torch.device("cuda")), Notes()
    data = Late(batches_of(workload, trial, group), late_s)
    started_s = time.perf_counter()
    end = train(TrialRun(workload, trial, data, group, notes))
    steps_s = end.training.time_by_part.total_s
    assert steps_s + end.training.evaluations_s <= (time.perf_counter() - started_s) * 1.01
    steps = notes.of("step")
    parts_s = {name: sum(row[name] for row in steps[8:]) for name in TIME_COLUMNS}
    return {name: seconds / sum(parts_s.values()) for name, seconds in parts_s.items()}


def test_in20_the_peak_is_what_the_trial_took_of_the_device_and_no_earlier_one(small, make_trial):
    taken = torch.ones(2**28, device="cuda")  # 1 GiB, freed before the trial
    del taken
    group = Group(device=torch.device("cuda"))
    end = train(TrialRun(small, make_trial(), batches_of(small, make_trial(), group), group, Notes()))
    assert end.training.peak_memory_bytes == torch.cuda.max_memory_allocated()
    assert 0 < end.training.peak_memory_bytes < 2**30


@pytest.fixture(scope="module")
def busy() -> Callable[[float], None]:
    """A function that gives the device work for so many seconds at least, on any card, without waiting for it."""
    matrix, product = (torch.ones(8192, 8192, device="cuda") for _ in range(2))

    def multiply(num: int) -> None:
        for _ in range(num):
            torch.mm(matrix, matrix, out=product)

    multiply(3)  # which load kernels, and let the device speed up
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    multiply(5)
    ended.record()
    ended.synchronize()
    product_s = began.elapsed_time(ended) / 1000 / 5
    return lambda seconds: multiply(math.ceil(seconds / product_s))


def test_pi1_waiting_for_data_while_the_device_has_nothing_to_do(small, make_trial):
    shares = shares_of(small, make_trial(max_train_steps=24), late_s=0.05)
    assert shares["wait_s"] + shares["transfer_s"] > 0.8
    assert shares["sync_s"] == 0.0


def test_pi1_data_that_come_late_while_the_device_is_busy_hold_nobody_up(small, make_trial, busy):
    class Busy(type(small)):
        def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
            busy(0.2)
            return super().loss(model, batch, values)

    # The host waits a quarter of the time; the device does so at the first step of an interval alone.
    shares = shares_of(Busy(), make_trial(max_train_steps=24), late_s=0.05)
    assert shares["wait_s"] + shares["transfer_s"] < 0.15
    assert shares["compute_s"] > 0.8


def test_pi1_augmentation_on_the_device_is_timed_there(small, make_trial, busy):
    class Busy(type(small)):
        def augment(self, batch: Batch, values: Values) -> Batch:
            busy(0.2)
            return batch

    assert shares_of(Busy(), make_trial(max_train_steps=24), late_s=0.0)["augment_s"] > 0.8


class Hurrying(Notes):
    """A watcher in whose steps nothing may wait for the device."""

    def stepped(self, step: int) -> None:
        super().stepped(step)
        torch.cuda.set_sync_debug_mode("error")


@pytest.fixture
def hurried(monkeypatch) -> Iterator[Callable[..., End]]:
    """Trains a trial whose steps raise if they wait for the device; its reporting intervals may.

    Two workers are one here, which takes its own numbers for those of both.
    """
    flush = Measurements.flush

    def patient(measurements: Measurements, step: int) -> tuple[list[MeasurementRow], bool]:
        torch.cuda.set_sync_debug_mode("default")
        return flush(measurements, step)

    monkeypatch.setattr(Measurements, "flush", patient)

    def run(workload: Workload, **values: Value) -> End:
        trial = TrialSpec(
            study="all",
            index=0,
            seed=0,
            values=workload.hyperparameters() | {"batch_size": 8} | values,
            max_train_steps=6,
            evaluation_interval_steps=3,
            divergence_factor=1e9,
            objective=Objective(),
        )
        group = Group(0, 2, torch.device("cuda"))
        return train(TrialRun(workload, trial, batches_of(workload, trial, group), group, Hurrying()))

    yield run
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", KINDS)
def test_pi3_no_step_waits_for_the_device(name, precision, hurried):
    end = hurried(DigitsResNet(), precision=precision, **KINDS[name])
    assert (end.outcome, end.training.num_steps) == ("completed", 6 + KINDS[name].get("warmup_steps", 0))


@pytest.mark.parametrize("statistics", ["device", "sync", "ghost"])
def test_pi3_nor_one_that_counts_its_batches(statistics, hurried):
    assert hurried(Counting(), batch_norm=statistics, virtual_batch_size=4).outcome == "completed"


def test_pi3_a_number_that_travels_with_the_gradients_would_be_seen(monkeypatch, hurried):
    monkeypatch.setattr(FlatGradients, "average", average_by_indexing)
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        hurried(DigitsResNet())


def test_pi4_a_trace_holds_the_devices_work(small, make_trial):
    trial, group, traces = make_trial(), Group(device=torch.device("cuda")), []
    profile = Profile(ProfileSteps(10, 11), traces.append)
    train(TrialRun(small, trial, batches_of(small, trial, group), group, Notes()), profile=profile)
    events = json.loads(gzip.decompress(traces[0]))["traceEvents"]
    assert {"step 10", "step 11", "forward", "backward", "update"} <= {event["name"] for event in events}
    assert any(event.get("cat") == "kernel" for event in events)


def normalized(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    y.sin().sum().backward()
    assert leaf.grad is not None
    return y.detach(), leaf.grad


def batch(device: str) -> Tensor:
    return torch.randn(8, C, 3, 3, generator=torch.manual_seed(0), dtype=torch.float64).to(device)


def test_bn1_synchronized_batch_norm_over_nccl_with_one_rank():
    dist.init_process_group("nccl", init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1)
    try:
        group = Group(device=torch.device("cuda"), process_group=dist.group.WORLD)

        class Layer(nn.BatchNorm2d):
            def forward(self, x: Tensor) -> Tensor:
                return _Synchronized.apply(x, self.weight, self.bias, _Across(group, self.eps))[0]

        ours = normalized(Layer(C).double().cuda(), batch("cuda"))
        theirs = normalized(nn.BatchNorm2d(C).double(), batch("cpu"))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-12, atol=1e-12)
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_bn1_synchronized_batch_norm_over_nccl_with_two_ranks(workers):
    parts = workers.start(normalized_by, 2, backend="nccl").found(timeout_s=120)
    theirs = normalized(nn.BatchNorm2d(C).double(), batch("cpu"))
    for place, other in enumerate(theirs):
        torch.testing.assert_close(torch.cat([part[place] for part in parts]), other, rtol=1e-12, atol=1e-12)


def normalized_by(group: Group) -> list[Tensor]:
    layer = convert_batch_norm(nn.BatchNorm2d(C), statistics="sync", group=group).double().to(group.device)
    found = normalized(layer, batch("cpu")[4 * group.rank : 4 * group.rank + 4].to(group.device))
    return [tensor.cpu() for tensor in found]
