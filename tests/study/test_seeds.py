"""Named seeds (rule MH2)."""

from __future__ import annotations

import pytest

from raytune_playbook.study.seeds import sample_seed, shared_seed, worker_seed
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec


def trial(index: int = 0, repeat: int = 0, seed: int = 0, **values: float) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=index,
        repeat=repeat,
        seed=seed,
        values=values,
        max_train_steps=100,
        evaluation_interval_steps=10,
        divergence_factor=2.0,
        objective=Objective(),
    )


def test_mh2_seeds_are_the_same_in_every_version():
    assert shared_seed("initialization", trial()) == 4305404656546768425
    assert shared_seed("shuffle", trial(3, seed=7), epoch=2) == 3885183028767336958
    assert worker_seed("dropout", trial(3, 1, 7), rank=1, step=5) == 3117746626661318461
    assert sample_seed(0) == 8427801837056559942


def test_mh2_shared_seeds_are_one_for_all_workers_and_workers_have_each_their_own():
    # A shared seed cannot even be asked for by rank.
    with pytest.raises(TypeError, match="rank"):
        shared_seed("shuffle", trial(), rank=1)
    assert len({worker_seed("dropout", trial(), rank=rank) for rank in range(100)}) == 100


TRIALS = [trial(index, repeat, seed) for index in range(4) for repeat in range(4) for seed in range(4)]


def test_mh2_every_part_makes_another_seed():
    """One left out would give two of these the same seed."""
    shared = [
        shared_seed(name, each, epoch=epoch)
        for name in ("initialization", "shuffle", "files")
        for each in TRIALS
        for epoch in range(4)
    ]
    windows = [
        shared_seed("window", each, epoch=epoch, window=window)
        for each in TRIALS
        for epoch in range(4)
        for window in range(4)
    ]
    workers = [
        worker_seed(name, each, rank=rank, step=step)
        for name in ("dropout", "augmentation")
        for each in TRIALS
        for rank in range(4)
        for step in range(4)
    ]
    seeds = [*shared, *windows, *workers, *(sample_seed(seed) for seed in range(20))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_mh2_digits_of_neighbouring_parts_are_told_apart():
    assert shared_seed("shuffle", trial(1, 11)) != shared_seed("shuffle", trial(11, 1))
    assert shared_seed("shuffle", trial(1, 1), epoch=1) != shared_seed("shuffle", trial(11, 1))


def test_mh2_seeds_do_not_depend_on_values_or_step_counts():
    assert shared_seed("initialization", trial(learning_rate=0.1)) == shared_seed("initialization", trial())
