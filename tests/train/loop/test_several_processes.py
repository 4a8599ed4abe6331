"""Training on several workers against the same arithmetic in one process.

Groups of 2, 3 and 4 workers do every experiment below once, over gloo; the tests compare what they found.
Rules BN1, BN2, BN3, EV3, MH2, MH3 and UN2; DESIGN decision 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare, evaluation_rows
from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.seeds import WorkerSeedName, worker_seed
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import BatchNorm, convert_batch_norm
from raytune_playbook.train.evaluation import WEIGHT, evaluate
from raytune_playbook.train.group import FlatGradients, Group, require_equal, synchronized_buffers
from raytune_playbook.train.loop import train
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from tests.workers import Notes, Workers, found_by

FLOAT32 = Values({"precision": "float32"})
SIZES = (2, 3, 4)
TRAINED = (2, 3)
"""The groups that also train; four are there for ghost batches over some of the workers."""

SHARDS = {2: [9, 4], 3: [7, 1, 5], 4: [1, 6, 4, 2]}
"""How 13 examples lie on the workers: unequally, some alone."""

NUM_STEPS = 3
C = 4


# ------------------------------------------------------------------ what is trained and evaluated


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 6)).astype(np.float32)
    return {"x": x, "label": (x[:, 0] > 0).astype(np.int64)}


ARRAYS = {"train": examples(70, 0), "validation": examples(37, 1)}


def mask() -> list[int]:
    """What dropout would draw now."""
    return F.dropout(torch.ones(64)).bool().int().tolist()


class Small(Workload):
    """Two classes; with normalization if asked for; keeps its models, and what it drew in augmentation and training."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []
        self.masks: dict[WorkerSeedName, list[list[int]]] = {"augmentation": [], "dropout": []}

    def defaults(self) -> Mapping[str, Value]:
        return {"normalized": False, "batch_size": 12, "learning_rate": 0.2, "fault": None}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        if values["fault"] == "initialization" and dist.get_rank() == 1:
            torch.rand(1)
        norm = nn.BatchNorm1d(8) if values["normalized"] else nn.Identity()
        self.models.append(nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Linear(8, 2)))
        return self.models[-1]

    def augment(self, batch: Batch, values: Values) -> Batch:
        self.masks["augmentation"].append(mask())
        return batch

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        loss = F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")
        if model.training:
            self.masks["dropout"].append(mask())
            if values["fault"] == "nan" and dist.get_rank() == 1 and len(self.masks["dropout"]) == 6:
                return loss * torch.nan
        return loss


class Columns(Small):
    """Metrics are columns of the batch, and NaN where it is padded."""

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        return {"value": torch.where(batch[WEIGHT] > 0, batch["value"], torch.nan)}


class Outputs(Small):
    """The metric is what the model makes of an example."""

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        return {"value": model(batch["x"]).square().sum(1)}


def a_trial(**values: Value) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=3,
        seed=1,
        values=Small().hyperparameters() | values,
        max_train_steps=25,
        evaluation_interval_steps=10,
        divergence_factor=2.0,
        objective=Objective(),
    )


def trained(group: Group, stop_at: int | None = None, **values: Value) -> dict[str, Any]:
    workload, trial = Small(), a_trial(**values)
    data = SharedBatches(TrialExamples(ARRAYS), trial, BatchShare(12, group.rank, group.size), group.device)
    notes = Notes(stop_at)
    end = train(TrialRun(workload, trial, data, group, notes))
    return {
        "outcome": (end.outcome, end.reason, end.training.num_steps),
        "rows": notes.timeless_rows,
        "masks": workload.masks,
        "state": workload.models[-1].state_dict(),
    }


# ------------------------------------------------------------------ batch norm


def batch_norm(
    num: int, statistics: str = "device", virtual_batch_size: int = 64, group: Group | None = None, **fields: float
) -> Any:
    """Ours, for inputs of any number of dimensions."""
    theirs = nn.SyncBatchNorm(num, **fields)
    return convert_batch_norm(theirs, statistics=statistics, virtual_batch_size=virtual_batch_size, group=group)


def inputs(step: int, num: int, shape: tuple[int, ...], rounded_to: torch.dtype, offset: float) -> tuple[Tensor, ...]:
    """The global batch of a step, and the weights of its outputs in the loss."""
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(num, C, *shape, generator=generator, dtype=torch.float64) * 2 + offset
    weights = torch.randn(num, C, *shape, generator=generator, dtype=torch.float64)
    return x.to(rounded_to), weights.to(rounded_to)


def affine(layer: nn.Module, dtype: torch.dtype) -> Any:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.5, 0.1, 2.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0, -3.0, 0.5]))
    return layer.to(dtype)


def normalized(
    layer: Any,
    shape: tuple[int, ...],
    num: int,
    mine: slice,
    dtype: torch.dtype,
    offset: float = 0.0,
    rounded_to: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Several training steps: outputs, the gradients of input, weight and bias, and the running averages at the end."""
    found: dict[str, list[Tensor]] = {"output": [], "input": [], "weight": [], "bias": []}
    for step in range(NUM_STEPS):
        x, weights = (tensor.to(dtype) for tensor in inputs(step, num, shape, rounded_to or dtype, offset))
        leaf = x[mine].clone().requires_grad_()
        layer.zero_grad()
        y = layer(leaf)
        (y * weights[mine]).sum().backward()
        kept = {"output": y, "input": leaf.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}
        for name, tensor in kept.items():
            found[name].append(tensor.detach().clone())
    return {name: torch.stack(tensors) for name, tensors in found.items()} | {
        "mean": layer.running_mean,
        "var": layer.running_var,
        "num_batches": layer.num_batches_tracked,
    }


SHAPES = {"plain": (), "image": (3, 2)}


def my_slice(group: Group) -> slice:
    shards = SHARDS[group.size]
    return slice(sum(shards[: group.rank]), sum(shards[: group.rank + 1]))


def batch_norms(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        for dtype, offset in ((torch.float64, 0.5), (torch.float32, 30.0)):
            layer = affine(batch_norm(C, momentum=0.3, statistics="sync", group=group), dtype)
            found[f"sync {name} {dtype}"] = normalized(layer, shape, 13, my_slice(group), dtype, offset)
        # As autocast has it: what comes in is in bfloat16, parameters and statistics are not.
        layer = affine(batch_norm(C, momentum=0.3, statistics="sync", group=group), torch.float32)
        found[f"sync {name} torch.bfloat16"] = normalized(layer, shape, 13, my_slice(group), torch.bfloat16, 0.5)
    return found


def ghosts(group: Group) -> dict[str, Any]:
    """Batches of 4 examples on every worker, in ghost batches over some or all of the workers."""
    found: dict[str, Any] = {}
    mine = slice(4 * group.rank, 4 * group.rank + 4)
    for size in (8, 4 * group.size):
        layer = affine(batch_norm(C, statistics="ghost", virtual_batch_size=size, group=group), torch.float64)
        try:
            found[f"ghost {size}"] = normalized(layer, (2,), 4 * group.size, mine, torch.float64)
        except SpecError as error:
            found[f"ghost {size}"] = str(error)
    if group.size == 4:
        found["made once"] = group.subgroups(2) is group.subgroups(2)
    return found


def averaged_statistics(group: Group) -> dict[str, Any]:
    model = nn.Sequential(batch_norm(C), nn.Linear(C, 2), batch_norm(2))
    for i, layer in enumerate((model[0], model[2])):
        layer.running_mean += torch.rand(layer.running_mean.shape, generator=torch.manual_seed(10 * i + group.rank))
        layer.running_var += 3.7 * group.rank

    def buffers() -> list[Tensor]:
        return [tensor.clone() for layer in (model[0], model[2]) for tensor in (layer.running_mean, layer.running_var)]

    before = buffers()
    try:
        with synchronized_buffers(model, group):
            within = buffers()
            raise ValueError
    except ValueError:
        return {"before": before, "within": within, "after": buffers()}


# ------------------------------------------------------------------ the rest


def evaluated(group: Group) -> dict[str, float]:
    found = {}
    for num in (1, 5, 37, 64):
        column = torch.arange(num, dtype=torch.float32) ** 2
        batches = (
            {"value": column[rows], WEIGHT: torch.from_numpy(weights)}
            for rows, weights in evaluation_rows(num, BatchShare(8, group.rank, group.size))
        )
        found[num] = evaluate(TrialModel(Columns(), nn.Identity(), FLOAT32, group), batches)["value"]
    return found


def with_statistics(layer: BatchNorm, ranks: range) -> BatchNorm:
    """The layer with the running averages of one worker, or the mean over several workers."""
    with torch.no_grad():
        layer.running_mean.fill_(sum(1.5 * rank for rank in ranks) / len(ranks))
        layer.running_var.fill_(sum(1.0 + 2.0 * rank for rank in ranks) / len(ranks))
    return layer


def evaluated_with(layer: BatchNorm, group: Group) -> float:
    """The mean over 37 examples in float64, by a model that is but one batch norm."""
    x = inputs(0, 37, (), torch.float64, 1.0)[0]
    batches = (
        {"x": x[rows], WEIGHT: torch.from_numpy(weights)}
        for rows, weights in evaluation_rows(37, BatchShare(8, group.rank, group.size))
    )
    return evaluate(TrialModel(Outputs(), layer, FLOAT32, group), batches)["value"]


def flat_gradients(group: Group) -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    gradients = FlatGradients(model, group)
    model(torch.full((1, 3), float(group.rank + 1))).sum().backward()
    scalars = gradients.average(torch.tensor(float(group.rank)), 1.0 if group.rank == 1 else 0.0)
    weight, bias = model.weight.grad.clone(), model.bias.grad.clone()
    return {"scalars": scalars, "weight": weight, "bias": bias, "norm": gradients.norm()}


def told_apart(group: Group) -> list[bool]:
    """Whether `require_equal` tells of one bit, and of a dtype's every kind."""
    found = []
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bool):
        equal, other = torch.ones(5).to(dtype), torch.ones(5).to(dtype)
        if group.rank == group.size - 1:
            other[3] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)) if dtype.is_floating_point else 0
        require_equal("x", [torch.zeros(()), equal], group)
        try:
            require_equal("x", [torch.zeros(()), other], group)
            found.append(False)
        except RuntimeError:
            found.append(True)
    return found


def trials(group: Group) -> dict[str, Any]:
    """The same small training under several circumstances."""
    found: dict[str, Any] = {}
    found["trained"] = trained(group, clipping_norm=0.3)
    found["again"] = trained(group, clipping_norm=0.3)
    for statistics in ("device", "sync"):
        found[f"normalized {statistics}"] = trained(group, normalized=True, batch_norm=statistics)
    found["stopped"] = trained(group, stop_at=4 if group.rank == group.size - 1 else None)
    found["nan"] = trained(group, fault="nan")
    try:
        trained(group, fault="initialization")
    except RuntimeError as error:
        found["unequal"] = str(error)
    return found


def experiments(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = batch_norms(group) | ghosts(group)
    found["statistics"] = averaged_statistics(group)
    found["evaluated"] = evaluated(group)
    own = with_statistics(batch_norm(C, group=group).double(), range(group.rank, group.rank + 1))
    found["evaluated normalized"] = evaluated_with(own, group)
    found["flat"] = flat_gradients(group)
    found["told apart"] = told_apart(group)
    if group.size in TRAINED:
        found |= trials(group)
    return found


Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(workers: Workers) -> Found:
    """What each worker of each group found, by the group's size and the worker's rank."""
    return found_by({size: workers.start(experiments, size) for size in SIZES})


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Relative to the largest number of the tensor, as rounding errors of sums are."""
    return float((a - b).abs().max()) <= tolerance * float(b.abs().max())


def alone(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    offset: float,
    num: int = 13,
    momentum: float = 0.3,
    rounded_to: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """torch's own layer on the concatenated batch."""
    layer = affine((nn.BatchNorm2d if len(shape) == 2 else nn.BatchNorm1d)(C, momentum=momentum), dtype)
    return normalized(layer, shape, num, slice(None), dtype, offset, rounded_to)


def together(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The workers' outputs side by side and the sums of their gradients of the parameters."""
    return {
        "output": torch.cat([part["output"] for part in parts], dim=1),
        "input": torch.cat([part["input"] for part in parts], dim=1),
        "weight": sum(part["weight"] for part in parts),
        "bias": sum(part["bias"] for part in parts),
    }


# ------------------------------------------------------------------ batch norm


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_bn1_statistics_of_bfloat16_have_the_digits_of_float32(found, size, name):
    parts = [each[f"sync {name} torch.bfloat16"] for each in found[size]]
    expected = alone(SHAPES[name], torch.float32, 0.5, rounded_to=torch.bfloat16)
    for what, tensor in together(parts).items():
        assert tensor.dtype == (torch.bfloat16 if what in ("output", "input") else torch.float32)
        assert close(tensor.float(), expected[what], 0.02), what
    for part in parts:
        assert close(part["mean"], expected["mean"], 1e-5)
        assert close(part["var"], expected["var"], 1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_bn1_synchronized_batch_norm_is_that_of_the_concatenated_batch(found, size, name):
    parts = [each[f"sync {name} torch.float64"] for each in found[size]]
    expected = alone(SHAPES[name], torch.float64, 0.5)
    for what, tensor in together(parts).items():
        assert close(tensor, expected[what], 1e-12), what
    for part in parts:
        assert close(part["mean"], expected["mean"], 1e-12)
        assert close(part["var"], expected["var"], 1e-12)
        assert torch.equal(part["mean"], parts[0]["mean"])
        assert torch.equal(part["var"], parts[0]["var"])
        assert part["num_batches"] == NUM_STEPS


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_bn1_synchronizing_costs_no_precision(found, size, name):
    """The error against float64 is at most twice that of torch's own layer, also far from zero."""
    parts = [each[f"sync {name} torch.float32"] for each in found[size]]
    theirs = alone(SHAPES[name], torch.float32, 30.0)
    exact = alone(SHAPES[name], torch.float64, 30.0, rounded_to=torch.float32)

    def error(numbers: Tensor, what: str) -> float:
        return float((numbers - exact[what]).square().mean().sqrt())

    for what, numbers in [*together(parts).items(), ("mean", parts[0]["mean"]), ("var", parts[0]["var"])]:
        two_bits = 2**-22 * float(exact[what].square().mean().sqrt())  # torch's few numbers may be exact by luck
        assert error(numbers, what) <= max(2 * error(theirs[what], what), two_bits), what


@pytest.mark.parametrize("size", SIZES)
def test_bn2_ghost_batches_over_all_workers(found, size):
    parts = [each[f"ghost {4 * size}"] for each in found[size]]
    expected = alone((2,), torch.float64, 0.0, num=4 * size, momentum=0.1)
    for what, tensor in together(parts).items():
        assert close(tensor, expected[what], 1e-12), what
    assert all(close(part["var"], expected["var"], 1e-12) for part in parts)


def test_bn2_ghost_batches_over_some_of_the_workers(found):
    """8 examples over 4 workers with 4 each: ranks 0 and 1 form one ghost batch, ranks 2 and 3 another."""
    parts = [each["ghost 8"] for each in found[4]]
    for pair in (0, 1):
        layer = affine(nn.BatchNorm1d(C), torch.float64)
        expected = normalized(layer, (2,), 16, slice(8 * pair, 8 * pair + 8), torch.float64)
        mine = parts[2 * pair : 2 * pair + 2]
        for what, tensor in together(mine).items():
            assert close(tensor, expected[what], 1e-12), what
        assert all(close(part["mean"], expected["mean"], 1e-12) for part in mine)
    assert not torch.equal(parts[0]["mean"], parts[2]["mean"])


def test_bn2_ghost_groups_that_do_not_divide_the_workers_are_refused_on_all_of_them(found):
    words = "but got 8 with 4 examples on each of 3 workers"
    assert all(words in each["ghost 8"] for each in found[3])


def test_process_groups_of_ghost_batches_are_made_once(found):
    """They hold connections, and a warm worker trains many trials with many layers."""
    assert all(each["made once"] for each in found[4])


@pytest.mark.parametrize("size", SIZES)
def test_bn3_running_averages_are_everybodys_within_and_the_own_bits_after(found, size):
    parts = [each["statistics"] for each in found[size]]
    for i in range(4):
        mean = torch.stack([part["before"][i].double() for part in parts]).mean(0)
        for part in parts:
            assert torch.equal(part["within"][i], parts[0]["within"][i])
            assert torch.allclose(part["within"][i].double(), mean, rtol=1e-6)
            assert torch.equal(part["after"][i], part["before"][i])
        assert not torch.equal(parts[0]["before"][i], parts[1]["before"][i])


# ------------------------------------------------------------------ evaluation and communication


@pytest.mark.parametrize("size", SIZES)
def test_ev3_every_example_counts_once_on_any_number_of_workers(found, size):
    for each in found[size]:
        for num, value in each["evaluated"].items():
            assert value == sum(i**2 for i in range(num)) / num


@pytest.mark.parametrize("size", SIZES)
def test_bn3_evaluation_uses_the_running_averages_of_all_workers_not_each_its_own(found, size):
    expected = evaluated_with(with_statistics(batch_norm(C).double(), range(size)), Group())
    for each in found[size]:
        assert each["evaluated normalized"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_un2_gradients_and_scalars_are_averaged_in_one_go(found, size):
    for each in found[size]:
        flat = each["flat"]
        mean = (size + 1) / 2
        assert torch.allclose(flat["weight"], torch.full((2, 3), mean))
        assert torch.equal(flat["bias"], torch.ones(2))
        assert torch.allclose(flat["scalars"], torch.tensor([(size - 1) / 2, 1 / size]))
        assert float(flat["norm"]) == pytest.approx((6 * mean**2 + 2) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_mh2_models_that_start_unequal_are_told_of(found, size):
    for each in found[size]:
        assert each["told apart"] == [True] * 4
        if size in TRAINED:
            assert f"the initial model must be the same on all {size} workers" in each["unequal"]


# ------------------------------------------------------------------ training


def assert_same_trial(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    assert ours["outcome"] == theirs["outcome"]
    assert len(ours["rows"]) == len(theirs["rows"])
    for a, b in zip(ours["rows"], theirs["rows"], strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        for name in a.keys() - {"step", "split"}:
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), (a, b)
    for name, tensor in theirs["state"].items():
        torch.testing.assert_close(ours["state"][name], tensor, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", TRAINED)
def test_mh3_training_on_several_workers_is_training_on_one(found, size):
    expected = trained(Group(), clipping_norm=0.3)
    assert expected["outcome"] == ("completed", None, 25)
    norms = [row["gradient_norm"] for row in expected["rows"] if row["split"] == "step"]
    assert min(norms) < 0.3 < max(norms)  # some steps are clipped
    for each in found[size]:
        assert_same_trial(each["trained"], expected, 1e-5)


@pytest.mark.parametrize("size", TRAINED)
def test_bn1_training_with_synchronized_batch_norm_is_training_on_one(found, size):
    expected = trained(Group(), normalized=True, batch_norm="sync")
    for each in found[size]:
        assert_same_trial(each["normalized sync"], expected, 1e-4)


@pytest.mark.parametrize("size", TRAINED)
@pytest.mark.parametrize("what", ["trained", "normalized device", "normalized sync", "nan"])
def test_mh1_all_workers_know_the_same_bits(found, size, what):
    """So one of them may report for all; with the devices' own statistics too (rule BN3)."""
    first = found[size][0][what]
    for each in found[size][1:]:
        assert each[what]["outcome"] == first["outcome"]
        assert repr(each[what]["rows"]) == repr(first["rows"])  # repr, for NaN is not itself
        for name, parameter in each[what]["state"].items():
            if "running" not in name:
                assert torch.equal(parameter, first["state"][name]) or what == "nan", name


@pytest.mark.parametrize("size", TRAINED)
def test_a_trial_is_the_same_bit_for_bit_when_repeated(found, size):
    for each in found[size]:
        assert each["again"]["rows"] == each["trained"]["rows"]
        assert all(torch.equal(a, each["again"]["state"][name]) for name, a in each["trained"]["state"].items())


def drawn(seed: int) -> list[int]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mask()


@pytest.mark.parametrize("size", TRAINED)
@pytest.mark.parametrize("name", ["augmentation", "dropout"])
def test_mh2_augmentation_and_dropout_draw_from_the_workers_own_seed_of_the_step(found, size, name):
    trial = a_trial(clipping_norm=0.3)
    for rank, each in enumerate(found[size]):
        expected = [drawn(worker_seed(name, trial, rank=rank, step=step)) for step in range(25)]
        assert each["trained"]["masks"][name] == expected
        assert each["again"]["masks"][name] == expected


@pytest.mark.parametrize("size", TRAINED)
def test_mh2_what_is_drawn_differs_by_worker_and_step(found, size):
    masks = [tuple(mask) for each in found[size] for of_name in each["trained"]["masks"].values() for mask in of_name]
    assert len(masks) == 2 * size * 25
    assert len(set(masks)) == len(masks)


@pytest.mark.parametrize("size", TRAINED)
def test_one_workers_wish_stops_all_at_the_next_interval(found, size):
    for each in found[size]:
        assert each["stopped"]["outcome"] == (None, None, 10)
        assert each["stopped"]["rows"][-1]["step"] == 10


@pytest.mark.parametrize("size", TRAINED)
def test_in3_one_workers_nan_is_everybodys(found, size):
    for each in found[size]:
        assert each["nan"]["outcome"] == ("infeasible", "NaN: training loss at step 6", 10)
