"""200 random kills, one hash: ``python -m tests.soak.kills --kills 200 --seed 0 --state FOLDER``.

A round of 40 trials runs undisturbed once, and once under random SIGKILLs, outages and new clusters, on three hosts in
network namespaces (which need root and ``ip``). In the end each trial must be there once, and one hash over all results
be that of the undisturbed round. After each kill all records are read back, and no trial that has ended may change.

Prints a line per kill, and a summary. With ``--for-s`` it ends after so long, and goes on with the same ``--state``
when it is started again; exit code 0 when all is done and equal, 3 when it is to be started again, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests.multihost.conftest import Hosts
from tests.soak.disturbed import NAME, Disturbed, Done
from tests.soak.faults import KINDS, SUDDEN, drawn
from tests.soak.results import results_hash, store_of

START_AGAIN = 3

STEP_SLEEP_S = 0.4
"""Every step of the disturbed round sleeps, which changes no result: its gangs are at work when a kill comes."""


def disturb(
    hosts: Hosts, state: Path, *, num_kills: int, seed: int, for_s: float, sudden: float = SUDDEN
) -> int | None:
    """Go on with both rounds.

    Returns:
        The exit code; None where there is more to do.
    """
    from tests.soak.digits_round import NUM_TRIALS, STEPS

    deadline_s = time.monotonic() + for_s
    calm = Disturbed(hosts, _made(state / "calm"), [])
    if not (state / "calm.json").exists():
        if not calm.go_on(for_s):
            return None
        (state / "calm.json").write_text(json.dumps({"seconds": calm.seconds, "hash": _hash(state / "calm")}))
    undisturbed = json.loads((state / "calm.json").read_text())
    sys.stdout.write(f"undisturbed: {undisturbed['seconds']:.0f} s, {undisturbed['hash']}\n")
    folder = _made(state / f"seed-{seed}")
    kills = drawn(seed, num_kills, NUM_TRIALS * STEPS, sudden=sudden)
    round_ = Disturbed(hosts, folder, kills, step_sleep_s=STEP_SLEEP_S)
    has_ended = round_.go_on(max(1.0, deadline_s - time.monotonic()))
    for line in summary(round_, undisturbed["seconds"]):
        sys.stdout.write(f"{line}\n")
    if not has_ended:
        return None
    trials = store_of(str(folder), NAME).trials()
    found = _hash(folder)
    is_equal = (
        found == undisturbed["hash"]
        and len(trials)
        == len(set(zip(trials["study"].to_pylist(), trials["index"].to_pylist(), strict=True)))
        == NUM_TRIALS
    )
    sys.stdout.write(f"{len(trials)} trials, hash {found}: {'equal' if is_equal else 'NOT EQUAL'}\n")
    return 0 if is_equal and len(round_.done) == num_kills else 1


def summary(round_: Disturbed, undisturbed_s: float) -> list[str]:
    """By kind: how many, and after how long work went on; then the sums."""
    by_kind = defaultdict[str, list[Done]](list)
    for kill in round_.done:
        by_kind[kill.kind].append(kill)
    lines = ["kind        kills  went on after (median, most)"]
    for kind in KINDS:
        times = [kill.went_on_s for kill in by_kind[kind] if kill.went_on_s is not None]
        told = f"{median(times):6.1f} s {max(times):6.1f} s" if times else "-"
        lines.append(f"{kind:10} {len(by_kind[kind]):6}  {told}")
    num = len(round_.done)
    lost_s = (round_.seconds - undisturbed_s) / max(1, num)
    lines.append(
        f"{num} kills survived, {round_.num_drivers} drivers, {len(round_.unplanned)} ends of drivers that nothing had "
        f"been done to; {round_.seconds:.0f} s in all, {lost_s:.1f} s lost per kill"
    )
    return lines


def _hash(folder: Path) -> str:
    return results_hash(store_of(str(folder), NAME))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--for-s", type=float, default=float("inf"))
    options = parser.parse_args()
    os.environ["SOAK_TRIALS"] = os.environ.get("SOAK_TRIALS", "40")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the hosts are taken down in any case
    with tempfile.TemporaryDirectory(prefix="rtp", dir="/tmp") as scratch, Hosts(Path(scratch)) as hosts:
        code = disturb(hosts, options.state, num_kills=options.kills, seed=options.seed, for_s=options.for_s)
    return START_AGAIN if code is None else code


if __name__ == "__main__":
    sys.exit(main())
