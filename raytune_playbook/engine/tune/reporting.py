"""What Tune says of its trials while they run: nothing, for `raytune_playbook.engine.driver.progress` does."""

from __future__ import annotations

from collections.abc import Sequence

from ray import tune
from ray.tune.experiment import Trial


class Silence(tune.ProgressReporter):
    """Never reports. Without one of its own Tune chooses, and in a notebook it clears the cell's output for a table of
    its own, ``verbose=0`` or not."""

    def should_report(self, trials: Sequence[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: Sequence[Trial], done: bool, *sys_info: str) -> None:
        raise AssertionError("whoever asks is told not to report")
