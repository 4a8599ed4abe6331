"""The pool's tasks in the background, none of which may die unseen."""

from __future__ import annotations

import pytest

from raytune_playbook import Gangs, Resources, RunError, run
from raytune_playbook.engine import session
from raytune_playbook.engine.pool import pool
from raytune_playbook.engine.pool.pool import Pool


class ManagerDies(Pool):
    """A pool with a bug in the task that starts gangs."""

    def _start_wanted(self) -> None:
        raise ValueError("no such node")


class GangDies(Pool):
    """A pool with a bug in the task that serves a gang."""

    def _start_gang(self) -> None:
        super()._start_gang()
        self._gangs[-1].host = None


@pytest.mark.parametrize(("broken", "error"), [(ManagerDies, "ValueError: no such node"), (GangDies, "AttributeError")])
def test_a_task_of_the_pool_that_dies_ends_the_round_with_a_sentence(
    cluster, make_round, tmp_path, quiet, monkeypatch, broken, error
):
    resources = Resources(num_workers=1, cpus_per_worker=1, num_gangs=1)
    monkeypatch.setattr(pool, "Pool", broken)
    assert session.start_pool is pool.start_pool
    with Gangs(resources) as gangs:
        for _ in range(2):  # the next round of the session finds it no worse
            with pytest.raises(RunError, match=f"the pool of gangs failed with {error}"):
                run(make_round("bug", resources=resources), storage=str(tmp_path), gangs=gangs, console=quiet)
