"""The examples that a kept model is looked at with."""

from __future__ import annotations

import numpy as np
import torch

from raytune_playbook.data.columns import Columns, concatenated, num_examples
from raytune_playbook.engine.trained.load import KeptModel
from raytune_playbook.engine.trained.score import RoundExamples
from raytune_playbook.records.types import ExamplesRecord

NUM_TO_AUGMENT = 64
"""Of so many training examples at least one is changed where augmentation is on."""


def validation_sample(kept: KeptModel, recorded: ExamplesRecord | None, num: int, *, seed: int) -> Columns:
    """At most so many validation examples, chosen at random, in their order.

    Raises:
        InputError: they cannot be read.
    """
    rng = np.random.default_rng(seed)
    kept_blocks, keys = list[Columns](), np.empty(0)
    for block in RoundExamples(kept, recorded).blocks("validation"):
        # Each example draws a key, and those with the smallest keys are the sample, whatever the blocks.
        keys = np.concatenate([keys, rng.random(num_examples(block))])
        together = concatenated([*kept_blocks, block])
        rows = np.sort(np.argsort(keys)[:num])
        keys, kept_blocks = keys[rows], [{name: column[rows] for name, column in together.items()}]
    return kept_blocks[0]


def augments(kept: KeptModel, recorded: ExamplesRecord | None, *, seed: int) -> bool:
    """Whether training changes examples at random: the first ones are given to the workload, and compared.

    Raises:
        InputError: they cannot be read.
    """
    workload, values = kept.model.workload, kept.model.values
    block = next(iter(RoundExamples(kept, recorded).blocks("train")), None)
    if block is None or not workload.augments(values):
        return False
    batch = {name: torch.from_numpy(np.array(column[:NUM_TO_AUGMENT])) for name, column in block.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = workload.augment(dict(batch), values)
    return changed.keys() != batch.keys() or not all(torch.equal(changed[name], batch[name]) for name in batch)
