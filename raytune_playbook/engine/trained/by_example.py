"""What a kept model scores on each example of a split: which examples two models differ on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from raytune_playbook.data.reading import padded_batches
from raytune_playbook.engine.trained.load import load_kept
from raytune_playbook.engine.trained.score import RoundExamples
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.evaluation_settings import WEIGHT
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.prediction import BATCH_SIZE, on_device, own_code
from raytune_playbook.train.workload import Workload


def metric_by_example(
    store: RoundStore, trial: str, metric: str, split: str, *, workload: Workload
) -> npt.NDArray[np.float64] | None:
    """A metric of a trial's best kept model on each example, of shape (num_examples,), in their order.

    Nothing is recorded: this is no look at a split, but for the test set, which it is not for.

    Args:
        trial: STUDY/INDEX.
        workload: of the round.

    Returns:
        None where the metric is no mean over examples.

    Raises:
        InputError: there is no such trial, checkpoint or split.
    """
    kept = load_kept(store, trial, workload=workload)
    examples = RoundExamples(kept, store.round().examples)
    found = []
    for batch in padded_batches(examples.blocks(split), BATCH_SIZE):
        with torch.no_grad(), evaluation_mode(kept.model), own_code(kept.model, batch):
            metrics = kept.model.metrics(on_device(batch, kept.model))
        if metric not in metrics:
            return None
        found.append(metrics[metric].double().cpu().numpy()[np.asarray(batch[WEIGHT], np.float32) > 0])
    return np.concatenate(found) if found else None
