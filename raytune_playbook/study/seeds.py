"""Named seeds, all derived from (study seed, trial index, repeat) and never stored.

Rule MH2: what must be equal on all hosts (initialization, the order of examples) and what must differ per host
(augmentation, dropout) come from seeds of different names. See the playbook's "Considerations for multi-host
pipelines".
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

from raytune_playbook.study.trial import TrialSpec

SharedSeedName: TypeAlias = Literal["initialization", "shuffle", "files", "window"]
"""Seeds that are the same on every worker of a trial."""

WorkerSeedName: TypeAlias = Literal["dropout", "augmentation"]
"""Seeds that differ from worker to worker."""


def shared_seed(name: SharedSeedName, trial: TrialSpec, *, epoch: int = 0, window: int | None = None) -> int:
    """A seed in [0, 2^63) that is the same on all workers of the trial; ``window`` numbers those of an epoch."""
    parts = (trial.seed, trial.index, trial.repeat, epoch)
    return _derive(name, *parts) if window is None else _derive(name, *parts, window)


def worker_seed(name: WorkerSeedName, trial: TrialSpec, *, rank: int, step: int = 0) -> int:
    """A seed in [0, 2^63) of one worker's own; ``step`` sets apart what is drawn anew at a step."""
    return _derive(name, trial.seed, trial.index, trial.repeat, rank, step)


def sample_seed(study_seed: int) -> int:
    """The seed that picks the training examples which every trial of a study is evaluated on (rule EV7)."""
    return _derive("training sample", study_seed)


def _derive(name: str, *parts: int) -> int:
    # A cryptographic hash of the text: equal on every machine, and neighbouring parts give unrelated seeds.
    text = "/".join([name, *map(str, parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
