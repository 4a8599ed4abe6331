"""A thin Tune Trainable: put a trial into the pool's queue, wait for its end, return one result, never raise.

The trial's numbers are in our own records; what Tune sees is that it ended. Its process imports no torch, for Tune
starts such processes in the middle of a round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import ray.exceptions
from ray import tune

from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.gang.messages import Cause, NothingYet
from raytune_playbook.study.trial import trial_key

if TYPE_CHECKING:
    from raytune_playbook.engine.pool.handle import PoolHandle

ANSWER_TIMEOUT_S = 60.0
"""The pool answers every question within 20 s; without an answer for this long it is gone."""


class LeaseTrainable(tune.Trainable):
    """One Tune trial is one lease of a gang; its config names a study, an index and which repeat of it."""

    def setup(self, config: dict[str, Any], pool: PoolHandle | None = None, round_id: str = "") -> None:
        self._pool, self._round_id = cast("PoolHandle", pool), round_id  # Tune passes both

    def step(self) -> dict[str, Any]:
        study, key = self.config["study"], trial_key(self.config["index"], self.config["repeat"])
        try:
            answer_of(self._pool.submit.remote(self._round_id, study, key), timeout_s=ANSWER_TIMEOUT_S)
            cause: Cause | NothingYet = NothingYet()
            while isinstance(cause, NothingYet):
                asked = self._pool.wait_cause.remote(self._round_id, study, key)
                cause = answer_of(asked, timeout_s=ANSWER_TIMEOUT_S)
        except ray.exceptions.RayError as error:  # the pool is gone; the driver notices that itself
            return {"cause": f"pool lost: {error}", "done": True}
        return {"cause": str(cause), "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: our records are the truth, and Tune's state is scratch."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing, as there is nothing to load."""
