"""Averages of the weights against their closed formulas and torch's AveragedModel (rule SC3).

Run as a script this file is one of two workers that evaluate an average together.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn, update_bn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.update.averaging import NUM_STATISTICS_BATCHES, WeightAverage, weight_average
from raytune_playbook.train.update.optimizers import Optimizer, optimizer
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Batch, Columns, Values, Workload

NUM_STEPS = 20
KINDS = [{"averaging": "exponential", "averaging_decay": 0.8}, {"averaging": "uniform"}]


class Masked(nn.Module):
    """Batch norm, dropout, a mask that no arithmetic survives, and a parameter that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 2))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) * self.frozen


class OfMasked(Workload):
    """The workload of that model, of which evaluation asks nothing."""

    def datasets(self) -> dict[str, Columns]:
        return {}

    def model(self, values: Values) -> nn.Module:
        return Masked()

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return model(batch["x"])


def evaluating(model: nn.Module, group: Group | None = None) -> AbstractContextManager[None]:
    return evaluation_mode(TrialModel(OfMasked(), model, Values(TRAINING_DEFAULTS), group or Group()))


def make_model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return convert_batch_norm(Masked(), statistics="device").to(dtype)


def averaged(model: nn.Module, **values: object) -> WeightAverage:
    average = weight_average(model, Values(TRAINING_DEFAULTS | values))
    assert average is not None
    return average


def batches(like: Tensor, start: int = 0) -> Iterator[dict[str, Tensor]]:
    """Batch start, start + 1, ... without end."""
    for step in itertools.count(start):
        yield {"x": torch.randn(8, 4, generator=torch.Generator().manual_seed(step)).to(like)}


def train(
    model: nn.Module, after_step: Callable[[int], object], start: int = 0, rule: Optimizer | None = None
) -> list[dict[str, Tensor]]:
    """Train from step ``start`` to NUM_STEPS, with a call after each step; the model's state after each."""
    rule = rule or optimizer(model, Values(TRAINING_DEFAULTS))
    states = []
    for step, batch in zip(range(start, NUM_STEPS), batches(model.frozen, start), strict=False):
        torch.manual_seed(step)
        model.zero_grad()
        model(batch["x"]).square().sum(1).mean().backward()
        rule.update(0.1)
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        after_step(step + 1)
    return states


def swapped_in(model: nn.Module, average: WeightAverage) -> AbstractContextManager[None]:
    return average.swapped_in(batches(model.frozen), lambda batch: model(batch["x"]))


def in_average(model: nn.Module, average: WeightAverage) -> dict[str, Tensor]:
    with swapped_in(model, average):
        return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


WEIGHTS = [f"layers.{i}.{name}" for i in (0, 1, 4) for name in ("weight", "bias")]
STATISTICS = ["layers.1.running_mean", "layers.1.running_var"]


@pytest.mark.parametrize("start_step", [0, 1, 7, NUM_STEPS - 1])
@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_sc3_averages_are_their_closed_formulas(values, start_step):
    model = make_model()
    average = averaged(model, **values, averaging_start_step=start_step)
    states = train(model, average.update)
    entered = states[start_step:]  # the first is that after step number start_step + 1
    if values["averaging"] == "uniform":
        shares = [1 / len(entered)] * len(entered)
    else:
        shares = [0.2 * 0.8 ** (len(entered) - 1 - k) for k in range(len(entered))]
        shares[0] = 0.8 ** (len(entered) - 1)
    assert sum(shares) == pytest.approx(1)
    found = in_average(model, average)
    for name in WEIGHTS:
        expected = sum(share * state[name] for share, state in zip(shares, entered, strict=True))
        torch.testing.assert_close(found[name], expected, rtol=1e-12, atol=1e-14)
    for name in ("mask", "frozen"):
        assert torch.equal(found[name], states[-1][name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_sc3_averages_are_those_of_torchs_averaged_model(values, dtype):
    exponential = values["averaging"] == "exponential"
    model = make_model(dtype)
    average = averaged(model, **values)
    # torch's foreach form of the uniform average divides in float32 whatever the dtype
    rule = {"multi_avg_fn": get_ema_multi_avg_fn(0.8)} if exponential else {"avg_fn": get_swa_avg_fn()}
    torchs = AveragedModel(model, **rule)

    def update(step: int) -> None:
        average.update(step)
        torchs.update_parameters(model)

    train(model, update)
    found = in_average(model, average)
    rounding = 8 * torch.finfo(dtype).eps
    tolerance = {"rtol": 0.0, "atol": 0.0} if exponential else {"rtol": rounding, "atol": rounding}
    for name in WEIGHTS:
        torch.testing.assert_close(found[name], torchs.module.state_dict()[name], **tolerance)


@pytest.mark.parametrize("num_batches", [1, 5, NUM_STATISTICS_BATCHES, 2 * NUM_STATISTICS_BATCHES])
def test_sc3_averaged_weights_have_batch_norm_statistics_of_their_own(num_batches):
    model = make_model()
    average = averaged(model, averaging="uniform")
    states = train(model, average.update)
    given = list(itertools.islice(batches(model.frozen, 100), num_batches))
    with average.swapped_in(given, lambda batch: model(batch["x"])):
        found = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = [batch["x"] @ found["layers.0.weight"].T + found["layers.0.bias"] for batch in given[:16]]
    expected_mean = torch.stack([x.mean(0) for x in inputs]).mean(0)
    expected_var = torch.stack([x.var(0) for x in inputs]).mean(0)
    torch.testing.assert_close(found["layers.1.running_mean"], expected_mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found["layers.1.running_var"], expected_var, rtol=1e-12, atol=1e-14)

    torchs = Masked().double()
    torchs.load_state_dict(found)
    update_bn([batch["x"] for batch in given[:16]], torchs)
    for name in STATISTICS:
        torch.testing.assert_close(found[name], torchs.state_dict()[name], rtol=1e-12, atol=1e-14)
    assert equal(model.state_dict(), states[-1])
    assert model.layers[1].momentum == 0.1


def test_sc3_a_model_without_batch_norm_reads_no_batches():
    model = nn.Linear(2, 2)
    average = averaged(model, averaging="uniform")
    average.update(1)
    unread = iter([{}])
    with average.swapped_in(unread, lambda batch: pytest.fail("no statistics to estimate")):
        pass
    assert next(unread) == {}


@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_sc3_evaluating_the_average_changes_no_bit_of_training(values):
    alone, watched = make_model(torch.float32), make_model(torch.float32)
    average = averaged(watched, **values)

    def evaluate(step: int) -> None:
        average.update(step)
        generator_state = torch.get_rng_state()
        with (
            swapped_in(watched, average),
            evaluating(watched),
            torch.no_grad(),
        ):
            watched(torch.ones(3, 4))
        with pytest.raises(KeyError), swapped_in(watched, average):
            raise KeyError("an evaluation that fails")
        with pytest.raises(KeyError), average.swapped_in([{}], lambda batch: batch["x"]):
            pytest.fail("the statistics could not be estimated")
        assert torch.equal(torch.get_rng_state(), generator_state)
        assert watched.training

    for expected, found in zip(train(alone, lambda step: None), train(watched, evaluate), strict=True):
        assert equal(found, expected)


class Running(nn.Module):
    """Statistics beside batch norm's: instance norm's, a mean that a step replaces, and a layer held as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = nn.InstanceNorm1d(4, track_running_stats=True)
        self.ignored = nn.InstanceNorm1d(4, momentum=None, track_running_stats=True)
        self.frozen = nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(4))

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 2))
        return self.frozen(self.ignored(self.instance(x))) - self.mean[:, None]


def test_sc3_other_running_statistics_are_estimated_anew_or_left_alone():
    model = convert_batch_norm(Running(), statistics="device").double().train()
    model.frozen.running_mean.fill_(0.1)  # of which no mean of three is the same to the bit
    average = averaged(model, averaging="uniform")
    average.update(1)
    given = [torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(i)).double() for i in range(3)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = dict(model.named_buffers())
    with average.swapped_in(({"x": x} for x in given), lambda batch: model(batch["x"])):
        found = {name: value.clone() for name, value in model.state_dict().items()}
    instances = torch.cat(given)
    torch.testing.assert_close(found["instance.running_mean"], instances.mean((0, 2)), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found["instance.running_var"], instances.var(2).mean(0), rtol=1e-12, atol=1e-14)
    for name in ("ignored.running_mean", "ignored.running_var", "frozen.running_mean", "frozen.running_var"):
        assert torch.equal(found[name], before[name]), name
    assert equal(model.state_dict(), before)
    assert all(buffer is own[name] for name, buffer in model.named_buffers())
    assert (model.training, model.frozen.training) == (True, False)


@pytest.mark.parametrize("saved_at", [3, 12])
@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_a_saved_and_loaded_average_goes_on_bit_for_bit(values, saved_at):
    """Saved before and after it has begun."""
    values = {**values, "averaging_start_step": 5}
    model = make_model(torch.float32)
    average, rule, file = averaged(model, **values), optimizer(model, Values(TRAINING_DEFAULTS)), io.BytesIO()

    def update(step: int) -> None:
        average.update(step)
        if step == saved_at:
            parts = {"model": model.state_dict(), "optimizer": rule.state_dict(), "average": average.state_dict()}
            torch.save(parts, file)

    train(model, update, rule=rule)
    uninterrupted = in_average(model, average)

    file.seek(0)
    parts = torch.load(file, weights_only=True)
    other = make_model(torch.float32)
    resumed, rule = averaged(other, **values), optimizer(other, Values(TRAINING_DEFAULTS))
    train(other, resumed.update)  # it has gone another way
    other.load_state_dict(parts["model"])
    rule.load_state_dict(parts["optimizer"])
    resumed.load_state_dict(parts["average"])
    assert resumed.has_begun is (saved_at > 5)
    train(other, resumed.update, start=saved_at, rule=rule)
    assert equal(in_average(other, resumed), uninterrupted)
    assert equal(other.state_dict(), model.state_dict())


def test_the_state_of_another_models_average_is_refused():
    state = averaged(make_model(), averaging="uniform").state_dict()
    with pytest.raises(ValueError, match="the state of the weight average must be that of the same model"):
        averaged(nn.Linear(2, 2), averaging="uniform").load_state_dict(state)


def test_before_its_start_there_is_no_average():
    model = make_model()
    average = averaged(model, averaging="uniform", averaging_start_step=2)
    begun = []
    train(model, lambda step: (average.update(step), begun.append(average.has_begun)))
    assert begun == [False, False] + [True] * (NUM_STEPS - 2)
    with pytest.raises(RuntimeError, match="none have entered yet"), swapped_in(model, averaged(model, **KINDS[1])):
        pass


def test_sc3_none_is_the_default():
    assert weight_average(make_model(), Values(TRAINING_DEFAULTS)) is None


@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_no_average_waits_for_the_device(values):
    """A meta tensor has no numbers: to fetch one raises."""
    model = make_model(torch.float32).to("meta")
    average = averaged(model, **values)
    for step in range(3):
        average.update(step + 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("values", KINDS, ids=lambda values: values["averaging"])
def test_gpu_no_average_waits_for_the_device(values):
    model = make_model(torch.float32).cuda()
    average = averaged(model, **values)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3):
            average.update(step + 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert in_average(model, average)["layers.1.running_var"].is_cuda


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"averaging": "polyak"}, "averaging must be one of none, exponential, uniform, but got 'polyak'"),
        ({"averaging": None}, "averaging must be one of"),
        ({"averaging": "uniform", "averaging_start_step": -1}, "averaging_start_step must not be negative, but got -1"),
        ({"averaging": "uniform", "averaging_start_step": 0.5}, "averaging_start_step must be a whole number"),
        ({"averaging": "exponential", "averaging_decay": 1.0}, "averaging_decay must be at least 0 and below 1"),
        ({"averaging": "exponential", "averaging_decay": float("nan")}, "averaging_decay must be at least 0"),
        ({"averaging": "exponential", "averaging_decay": "slow"}, "averaging_decay must be a number"),
    ],
)
def test_bad_values_are_one_sentence(values, words):
    with pytest.raises(SpecError, match=words):
        weight_average(make_model(), Values(TRAINING_DEFAULTS | values))


# ---------------------------------------------------------------------- two workers


def evaluated_by(group: Group, statistics: str) -> dict[str, Tensor]:
    """The model that a worker evaluates, which saw every second example of each batch."""
    torch.manual_seed(0)
    model = convert_batch_norm(Masked(), statistics=statistics, group=group).double()
    average = averaged(model, averaging="uniform")
    average.update(1)
    mine = ({"x": batch["x"][group.rank :: group.size]} for batch in batches(model.frozen))
    with (
        average.swapped_in(mine, lambda batch: model(batch["x"])),
        evaluating(model, group),
    ):
        return {name: value.clone() for name, value in model.state_dict().items()}


def evaluated_by_each(group: Group) -> dict[str, dict[str, Tensor]]:
    return {name: evaluated_by(group, name) for name in ("device", "sync")}


def test_bn3_all_workers_evaluate_the_same_average(workers):
    first, second = workers.start(evaluated_by_each, 2).found()
    for name in ("device", "sync"):
        assert equal(first[name], second[name])
    alone = evaluated_by(Group(), "device")
    for name in STATISTICS:
        torch.testing.assert_close(first["sync"][name], alone[name], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(first["device"][STATISTICS[0]], alone[STATISTICS[0]], rtol=1e-12, atol=1e-14)
