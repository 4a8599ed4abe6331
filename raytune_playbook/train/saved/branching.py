"""Going on from a checkpoint of one trial with the schedule of another: the branches of a long run.

While two trials have had the same learning rates, they have had the same weights, their seeds, indices, examples and
other values being equal. So the steps before a decay need not be trained again for each decay: a checkpoint that was
kept whole is copied to the other trial, as its own. Exact resume does the rest, and the branch is, bit for bit, what it
would have been if it had been trained from its first step on (rule CK2).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import torch

from raytune_playbook.records.storage import Storage
from raytune_playbook.study.fingerprints import trial_fingerprint
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.saved.checkpoints import MODEL, TRAINING


@dataclass(frozen=True)
class KeptWhole:
    """A checkpoint from which training can go on.

    Fields:
        folder: of its trial's checkpoints.
        step: of it.
    """

    storage: Storage
    folder: str
    step: int

    def seconds(self) -> float | None:
        """How long its trial had trained until then, as its first worker measured it; None where it is gone."""
        content = self._load(TRAINING)
        return None if content is None else float(content["training"]["seconds"][0][0])

    def copy_to(self, folder: str, trial: TrialSpec, num_workers: int) -> bool:
        """Let another trial begin here, unless it has checkpoints of its own.

        Args:
            folder: of the other trial's checkpoints.
            trial: whose seeds, index and values up to here are those of this one's.
            num_workers: of its gang.

        Returns:
            Whether it was copied; without it the other trial begins at its first step, which comes to the same.
        """
        storage = self.storage
        if storage.folders(folder) or (weights := self._load(MODEL)) is None or (rest := self._load(TRAINING)) is None:
            return False
        stamp = {"trial": trial_fingerprint(trial, num_workers)}
        # Of the steps before, the other trial has no checkpoint that could be its best one.
        training = rest["training"] | {"kept": [self.step], "best_step": self.step}
        _save(storage, f"{folder}/{self.step}/{MODEL}", weights | stamp)
        _save(storage, f"{folder}/{self.step}/{TRAINING}", rest | stamp | {"training": training})
        return True

    def _load(self, name: str) -> dict[str, Any] | None:
        content = self.storage.read(f"{self.folder}/{self.step}/{name}")
        if content is None:
            return None
        loaded: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return loaded


def _save(storage: Storage, path: str, content: dict[str, Any]) -> None:
    file = io.BytesIO()
    torch.save(content, file)
    storage.write(path, file.getvalue())
