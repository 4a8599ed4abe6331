"""The program text: data, transformer, and a short training (rules ST1, ST7, UN9, BN5 and SC4)."""

from __future__ import annotations

import itertools
import math
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.text import MAX_BYTES, StandardLibraryText, sources, windows

SMALL = {"width": 16, "depth": 2, "heads": 2, "context": 16}
ORDERS = ("norm_last", "norm_first")


@pytest.fixture(scope="module")
def workload() -> StandardLibraryText:
    return StandardLibraryText(window=32)


@pytest.fixture(scope="module")
def datasets(workload):
    return workload.datasets()


def values_of(workload, **values) -> Values:
    return Values(workload.hyperparameters() | SMALL | values)


def model(workload, **values):
    torch.manual_seed(0)
    return workload.model(values_of(workload, **values))


def text(num: int, length: int) -> torch.Tensor:
    return torch.randint(0, 256, (num, length), generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ data


def test_windows_tell_every_byte_but_the_first_once():
    found = windows(bytes(range(14)), 4)
    assert found.tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]]
    assert windows(bytes(13), 4).shape == (3, 5)
    assert windows(bytes(4), 4).shape == (0, 5)


def test_sources_are_the_python_files_whatever_their_folder_is_called(tmp_path):
    taken = {"a.py": b"1", "pkg/b.py": b"2"}
    left_out = {"c.txt": b"3", "test/d.py": b"4", "pkg/tests/e.py": b"5", "_sysconfigdata__linux.py": b"6"}
    renamed = {"y/z.py": b"2", "x.py": b"1"}
    for folder, files in {"one": taken | left_out, "other": renamed}.items():
        for name, content in files.items():
            (tmp_path / folder / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / folder / name).write_bytes(content)
    assert sorted(sources(tmp_path / "one")) == [b"1", b"2"]
    assert list(sources(tmp_path / "one")) == list(sources(tmp_path / "other"))


def test_splits_are_whole_files_stable_and_small(workload, datasets):
    assert {name: set(columns) for name, columns in datasets.items()} == {split: {"text"} for split in MAX_BYTES}
    files = list(sources(Path(sysconfig.get_path("stdlib"))))
    for split, columns in datasets.items():
        assert columns["text"].dtype == np.uint8
        assert columns["text"].shape[1] == 33
        assert 30_000 < columns["text"][:, :-1].size <= MAX_BYTES[split]
    again = workload.datasets()
    assert all(np.array_equal(again[split]["text"], datasets[split]["text"]) for split in MAX_BYTES)
    # The beginning of each split is one file's, and no other split's.
    starts = {split: columns["text"][:4, :-1].tobytes() for split, columns in datasets.items()}
    owners = {split: {file for file in files if file.startswith(start)} for split, start in starts.items()}
    assert all(owners.values())
    assert not any(a & b for a, b in itertools.combinations(owners.values(), 2))


# ------------------------------------------------------------------ model


@pytest.mark.parametrize("normalization", ["none", "layer"])
@pytest.mark.parametrize("order", ORDERS)
def test_later_bytes_change_no_earlier_logits(workload, order, normalization):
    net = model(workload, residual_order=order, normalization=normalization).eval()
    one = text(3, 16)
    for position in (0, 7, 15):
        other = one.clone()
        other[:, position:] = (other[:, position:] + 1) % 256
        same, changed = net(one), net(other)
        assert torch.equal(same[:, :position], changed[:, :position])
        assert not torch.isclose(same[:, position:], changed[:, position:]).all(2).any()


def test_attention_is_the_causal_softmax_of_each_head(workload):
    torch.manual_seed(0)
    attention = model(workload).layers[0].branch[1].double()
    x = torch.rand(2, 5, 16, dtype=torch.float64)
    found = torch.zeros(2, 5, 16, dtype=torch.float64)
    queries, keys, contents = attention.queries_keys_values(x).chunk(3, dim=2)
    for b, head, t in itertools.product(range(2), range(2), range(5)):
        mine = slice(8 * head, 8 * head + 8)
        scores = keys[b, : t + 1, mine] @ queries[b, t, mine] / math.sqrt(8)
        found[b, t, mine] = torch.softmax(scores, 0) @ contents[b, : t + 1, mine]
    torch.testing.assert_close(attention(x), attention.out(found))


@pytest.mark.parametrize("normalization", ["none", "layer"])
@pytest.mark.parametrize("order", ORDERS)
def test_un9_residual_branches_that_start_at_zero_make_each_layer_the_identity(workload, order, normalization):
    values = {"residual_order": order, "normalization": normalization}
    x = torch.rand(2, 16, 16)
    assert not torch.equal(model(workload, **values).layers(x), x)
    net = model(workload, **values, zero_residual=True)
    assert torch.equal(net.layers(x), x)
    net.layers(x).sum().backward()
    started = [layer for layer in net.layers if any(p.grad is not None and p.grad.any() for p in layer.parameters())]
    assert len(started) == len(net.layers)  # the zeros are left at the first step


@pytest.mark.parametrize("order", ORDERS)
def test_un9_both_orders_of_normalization_and_residual(workload, order):
    net = model(workload, residual_order=order)
    layer, x = net.layers[1], torch.rand(2, 16, 16)
    function = layer.branch[0 if order == "norm_last" else 1]

    def norm(y):
        return F.layer_norm(y, (16,))

    expected = x + norm(function(x)) if order == "norm_last" else x + function(norm(x))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("width", [8, 24])
@pytest.mark.parametrize("tied", [False, True])
def test_st7_width_and_depth_make_the_model(workload, width, depth, tied):
    net = model(workload, width=width, depth=depth, tied_embedding=tied)
    embeddings = (256 + 16) * width
    block = 2 * 2 * width + (3 * width * width + 3 * width) + (width * width + width) + (8 * width * width + 5 * width)
    head = 0 if tied else 256 * width
    assert sum(p.numel() for p in net.parameters()) == embeddings + depth * block + 2 * width + head
    assert net(text(3, 16)).shape == (3, 16, 256)


def test_what_does_not_divide_is_infeasible_in_one_sentence(workload):
    assert workload.infeasible(values_of(workload)) is None
    assert workload.infeasible(values_of(workload, heads=3)) == "3 heads do not divide a width of 16"
    reason = workload.infeasible(values_of(workload, context=12))
    assert reason == "a context of 12 bytes does not divide the window of 32"


def test_unknown_choices_are_one_sentence(workload):
    with pytest.raises(SpecError, match="normalization must be one of none, layer, but got 'batch'"):
        model(workload, normalization="batch")
    with pytest.raises(SpecError, match="zero_residual must be True or False, but got 'yes'"):
        model(workload, zero_residual="yes")
    with pytest.raises(SpecError, match="at least one byte, but got 0"):
        StandardLibraryText(window=0)


# ------------------------------------------------------------------ loss and metrics


@pytest.mark.parametrize("context", [8, 16, 32])
def test_loss_is_the_mean_over_the_window_for_every_context(workload, context):
    values = values_of(workload, context=context)
    net = model(workload, context=context).eval()
    window = text(3, 33).to(torch.uint8)
    expected = []
    for row in window.long():
        nats = [
            -F.log_softmax(net(row[None, start : start + context])[0, t], 0)[row[start + t + 1]]
            for start in range(0, 32, context)
            for t in range(context)
        ]
        expected.append(torch.stack(nats).mean())
    torch.testing.assert_close(workload.loss(net, {"text": window}, values), torch.stack(expected))


def test_metrics_are_nats_bits_and_wrong_bytes(workload):
    values, net, window = values_of(workload, label_smoothing=0.3), model(workload).eval(), text(4, 33)
    metrics = workload.metrics(net, {"text": window}, values)
    plain = workload.loss(net, {"text": window}, values_of(workload))
    assert torch.equal(metrics["loss"], plain)
    torch.testing.assert_close(2 ** metrics["bits_per_byte"], math.e**plain)
    guesses = torch.cat([net(window[:, :16]), net(window[:, 16:32])], 1).argmax(2)
    torch.testing.assert_close(metrics["error"], (guesses != window[:, 1:]).float().mean(1))
    assert torch.equal(workload.predictions(net, {"text": window}, values)["next_bytes"].long(), guesses)


def test_sc4_dropout_and_label_smoothing_take_effect_in_training_alone(workload):
    net, batch = model(workload, dropout=0.5), {"text": text(4, 33)}
    smooth, plain = values_of(workload, label_smoothing=0.3), values_of(workload)
    assert not torch.equal(workload.loss(net, batch, plain), workload.loss(net, batch, plain))
    net.eval()
    assert torch.equal(workload.loss(net, batch, smooth), workload.loss(net, batch, plain))
    net = model(workload)
    assert not torch.equal(workload.loss(net, batch, smooth), workload.loss(net, batch, plain))


# ------------------------------------------------------------------ training


def test_st1_a_short_training_is_far_better_than_chance_and_falls_on(workload, datasets, train_alone):
    few = datasets | {"validation": {"text": datasets["validation"]["text"][:200]}}
    values = SMALL | {"width": 32, "context": 32}
    losses = {}
    for num_steps in (30, 120):
        found = train_alone(workload, few, num_steps, **values)
        losses |= {row["step"]: row["loss"] for row in found if row["split"] == "validation"}
    assert losses[0] == pytest.approx(math.log(256), abs=0.3)
    counts = np.bincount(few["train"]["text"][:, 1:].ravel(), minlength=256) + 1
    frequencies = -np.log(counts / counts.sum())[few["validation"]["text"][:, 1:]].mean()
    assert losses[120] < frequencies - 0.1  # better than knowing how frequent each byte is
    assert losses[120] < losses[30] < losses[0]


def test_the_same_trial_gives_the_same_bits(workload, datasets, train_alone):
    few = datasets | {"validation": {"text": datasets["validation"]["text"][:40]}}
    one, other = (train_alone(workload, few, 5, **SMALL, dropout=0.1) for _ in range(2))
    assert one == other
