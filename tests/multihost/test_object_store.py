"""A round of two hosts whose storage is an object store that fails now and then.

Its address and the keys are in the environment alone.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.multihost.test_two_hosts import Ended, spec
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(900)

SHARE = 0.1
"""Of all requests something happens to so many: they are refused, dropped, done without an answer, or late."""


@pytest.mark.soak
def test_ck2_a_trial_goes_on_over_two_hosts_from_a_checkpoint_in_parts_on_an_object_store_that_fails(hosts, tmp_path):
    hold = tmp_path / "hold"
    hold.touch()
    resources = {"placement": "spread", "collective_timeout_s": 50}
    local, stored = (spec(name, arms=("device",), trials=2, **resources) for name in ("local", "stored"))
    with hosts.s3(seed=0, share=SHARE) as uri:
        stored |= {"storage": uri, "hold": str(hold), "ballast_mib": 12}
        with hosts.running(tmp_path, local, stored):
            wait_for(lambda: (tmp_path / "hold.reached").exists() or (tmp_path / "stored.json").exists())
            killed = hosts.two.workers()
            for process_id in killed:
                os.kill(process_id, signal.SIGKILL)
            hold.unlink()
    ended = Ended(tmp_path, "stored")
    assert (len(killed), ended.error) == (1, None)
    ended.assert_same_numbers(Ended(tmp_path, "local"))
    first, second = ended.by_start()
    assert [each["ended"] for each in first["attempts"]][-1] == "completed"
    assert first["attempts"][-1]["first_step"] > 0  # from a checkpoint of the gang before
    assert len(first["attempts"]) == 2 and len(second["attempts"]) == 1
    assert sorted(second["machine"]["hosts"]) == ["one", "two"]
    checkpoints = sorted((tmp_path / "stored" / "batch_norm=device" / "checkpoints").rglob("model.pt"))
    assert all(path.stat().st_size > 12 * 2**20 for path in checkpoints)
    assert (tmp_path / "stored" / "report" / "index.html").stat().st_size > 2**20
    assert "secret" not in (tmp_path / "stored" / "round.json").read_text()
    assert not list((tmp_path / "stored").rglob(".*"))
