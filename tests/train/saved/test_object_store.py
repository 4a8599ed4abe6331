"""Checkpoints on S3, in several parts and through a proxy that fails of a share of requests (rules CK1, CK2)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import nn

from raytune_playbook.records.storage import Storage
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.saved.checkpoints import Checkpoints, kept_steps, read_weights
from raytune_playbook.train.trial_run import TrialRun
from tests.faults.faulty_proxy import FaultyProxy, by_share
from tests.train.conftest import batches_of
from tests.train.saved.test_checkpoints import FOLDER, Killed, Mortal, without_times

MIB = 2**20


@pytest.mark.soak  # in each run multihost/test_object_store.py does the like
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_ck2_a_killed_trial_goes_on_from_a_checkpoint_in_parts_as_if_nothing_had_been(
    small,
    make_trial,
    tmp_path,
    monkeypatch,
    share: float,
    s3: Callable[[], Storage],
    s3_endpoint: str,
):
    model = small.model
    monkeypatch.setattr(small, "model", lambda values: with_ballast(model(values)))
    trial = make_trial(optimizer="adam", dropout=0.3, max_train_steps=12, evaluation_interval_steps=4)

    def trained(storage: Storage, dies_at: int | None = None) -> tuple[list[object], dict[str, torch.Tensor]]:
        notes = Mortal(dies_at)
        with contextlib.suppress(Killed):
            train(
                TrialRun(small, trial, batches_of(small, trial, Group()), Group(), notes),
                Checkpoints(storage, FOLDER, trial),
            )
        return without_times(notes.rows), {name: t.clone() for name, t in small.models[-1].state_dict().items()}

    whole = trained(Storage(str(tmp_path)))
    uri = s3().uri_of("round")
    with FaultyProxy(s3_endpoint.removeprefix("http://")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.fault = by_share(seed=0, share=share)
        trained(Storage(uri), dies_at=6)
        rows, weights = trained(Storage(uri))
        proxy.fault = lambda *_: None
        assert rows == whole[0]
        assert all(torch.equal(weights[name], tensor) for name, tensor in whole[1].items())
        assert kept_steps(Storage(uri), FOLDER) == kept_steps(Storage(str(tmp_path)), FOLDER)
        assert any("partNumber=2" in path for _, path, _ in proxy.asked)
        kept = read_weights(Storage(uri), FOLDER, 12)
    assert all(torch.equal(kept[name], tensor) for name, tensor in whole[1].items())


def with_ballast(model: nn.Module) -> nn.Module:
    """12 MiB that training leaves alone, and that a checkpoint holds."""
    model.register_buffer("ballast", torch.zeros(12 * MIB // 4))
    return model
