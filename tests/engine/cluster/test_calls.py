"""Answers of remote calls within one time for all."""

from __future__ import annotations

from pathlib import Path

import ray
import ray.exceptions

from raytune_playbook.engine.cluster import calls
from raytune_playbook.engine.cluster.calls import answer_of, answers_of
from tests.waiting import wait_for


@ray.remote(num_cpus=0, max_retries=0)
def answered(text: str, gate: str) -> str:
    """A text, once a file is there; "raise" is refused."""
    wait_for(Path(gate).exists)
    if text == "raise":
        raise ValueError(text)
    return text


def test_calls_that_are_silent_are_waited_for_together_and_the_others_answer(cluster, tmp_path, monkeypatch):
    waited_s: dict[ray.ObjectRef[str], float] = {}

    def noted(call: ray.ObjectRef[str], *, timeout_s: float) -> str:
        waited_s[call] = timeout_s
        return answer_of(call, timeout_s=timeout_s)

    monkeypatch.setattr(calls, "answer_of", noted)
    here, not_yet = str(tmp_path), str(tmp_path / "gate")
    asked = {
        "silent": answered.remote("late", not_yet),
        "also silent": answered.remote("late", not_yet),
        "raises": answered.remote("raise", here),
        "answers": answered.remote("yes", here),
    }
    try:
        ray.wait([asked["raises"], asked["answers"]], num_returns=2)
        found = dict(answers_of(asked, timeout_s=1.0))
    finally:
        Path(not_yet).touch()
    assert list(found) == list(asked)
    assert all(isinstance(found[name], ray.exceptions.GetTimeoutError) for name in ("silent", "also silent"))
    assert isinstance(found["raises"], ray.exceptions.RayTaskError)
    assert found["answers"] == "yes"
    assert waited_s[asked["also silent"]] < 0.5  # by then the time is over
