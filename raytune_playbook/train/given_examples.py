"""Whether a model's loss is a number on examples that hold NaN or infinities; made before the first trial."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from raytune_playbook.errors import DataError
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.model import initial_model
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Columns


@torch.no_grad()
def require_finite_losses(run: TrialRun, suspects: Iterable[tuple[str, Columns]]) -> None:
    """Ask the model that has not been trained yet for the loss of each suspect.

    Args:
        suspects: a sentence that says what is wrong with an example, and its columns, of shape (1, ...).

    Raises:
        DataError: the loss of one is not finite.
    """
    model = initial_model(run.workload, run.trial, run.group)
    with evaluation_mode(model):
        for what, columns in suspects:
            # Twice, for what compares the examples of a batch, and must not be given one alone.
            batch = {name: torch.from_numpy(np.repeat(each, 2, axis=0)) for name, each in columns.items()}
            loss = model.loss({name: each.to(run.group.device) for name, each in batch.items()})
            if not loss.isfinite().all():
                raise DataError(
                    f"Every loss must be a number, but {what}, and the loss of that example is {loss[0].item():g}; "
                    "fill it or drop the example, in Workload.datasets or preprocess, or mask it in Workload.loss."
                )
