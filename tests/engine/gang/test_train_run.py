"""The thread that starts a gang's workers; without a cluster."""

from __future__ import annotations

from raytune_playbook.engine.gang.train_run import Fit, run_fit


def test_whatever_ends_the_thread_is_said_to_those_who_wait_for_the_workers():
    fit = Fit(generation=1)
    run_fit(fit, "gang-1", None, scratch="")
    assert fit.ended.is_set()
    assert "'NoneType' object has no attribute 'resources'" in fit.error
