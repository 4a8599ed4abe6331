"""Rule IN3's stated test of divergence: a loss that is finite, but far off.

A trial has diverged when its *training loss over the last evaluation interval* (the mean over the training steps since
the last evaluation but one) exceeds ``factor`` times its *training loss at step 0* (that of the first batch, before any
update). Training may be unstable and recover, so only the end counts. A NaN or an infinity is infeasible for that
reason and no matter of this test; nor is a loss that does not start above zero, of which no multiple says anything.

The factor is the round's: `raytune_playbook.study.settings.Budget.divergence_factor`, which every trial's specification
carries to where the test is made, at the end of `raytune_playbook.train.loop`.

The test uses nothing but recorded measurements, so that analysis can redo it, with another factor too.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.records.columns import TRAIN_STEPS_SPLIT


def diverged(initial_loss: float, last_loss: float, factor: float) -> bool:
    """Whether a training loss that began at ``initial_loss`` and ended at ``last_loss`` is far off."""
    return 0 < initial_loss < math.inf and math.isfinite(last_loss) and last_loss > factor * initial_loss


def diverged_again(measurements: pa.Table, *, evaluation_interval_steps: int, factor: float) -> bool | None:
    """The same test from a measurements table; None where it holds no training steps.

    Evaluations come at multiples of the interval and after the last step, so the last interval is what follows the last
    multiple before the last step.
    """
    if "loss" not in measurements.column_names:
        return None
    rows = measurements.filter(pc.equal(measurements["split"], TRAIN_STEPS_SPLIT)).sort_by("step")
    rows = rows.filter(pc.is_valid(rows["loss"]))
    if rows.num_rows == 0:
        return None
    steps, losses = rows["step"].to_numpy(), rows["loss"].to_numpy()
    interval_start = (steps[-1] - 1) // evaluation_interval_steps * evaluation_interval_steps
    return diverged(float(losses[0]), float(np.mean(losses[steps > interval_start])), factor)
