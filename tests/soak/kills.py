"""200 random kills, one hash: ``python -m tests.soak.kills --kills 200 --seed 0``.

A round of 40 trials runs undisturbed once, and once under random SIGKILLs, outages and new clusters, on three hosts in
network namespaces (which need root and ``ip``). In the end each trial must be there once, and one hash over all results
be that of the undisturbed round. After each kill all records are read back, and no trial that has ended may change.

Prints a line per kill, and a summary. With ``--for-s`` and ``--state FOLDER`` it ends after so long, and goes on from
that folder when it is started again; exit code 0 when all is done and equal, 3 when it is to be started again, else 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.multihost.conftest import Hosts
from tests.soak import digits_round
from tests.soak.digits_round import STEPS
from tests.soak.disturbed import NAME, Disturbed
from tests.soak.faults import KINDS, SUDDEN, Kill, drawn
from tests.soak.results import results_hash, store_of
from tests.soak.table import kill_rows, summary, write_rows

START_AGAIN = 3


@dataclass(frozen=True)
class Plan:
    """Which kills, and of which round.

    Fields:
        sudden: the share of kills that come without waiting for anything.
        step_sleep_s: of the disturbed round, whose gangs shall be at work when a kill comes; it changes no result.
        writes_table: the rows of the kills in ``README.md``.
    """

    seed: int
    num_kills: int
    num_trials: int = 40
    kinds: tuple[str, ...] = tuple(KINDS)
    sudden: float = SUDDEN
    step_sleep_s: float = 0.4
    writes_table: bool = False

    @property
    def kills(self) -> list[Kill]:
        return drawn(self.seed, self.num_kills, self.num_trials * STEPS, kinds=self.kinds, sudden=self.sudden)


def disturb(hosts: Hosts, state: Path, plan: Plan, for_s: float = float("inf")) -> int | None:
    """Go on with both rounds, for so long.

    Returns:
        The exit code; None where there is more to do.
    """
    deadline_s = time.monotonic() + for_s
    if (undisturbed := _undisturbed(hosts, state, plan, for_s)) is None:
        return None
    sys.stdout.write(f"undisturbed: {undisturbed['hash']}\n")
    folder = state / f"seed-{plan.seed}"
    round_ = Disturbed(hosts, _made(folder), plan.kills, _variables(plan, plan.step_sleep_s))
    if len(round_.done) == plan.num_kills:  # nothing is left to leave time for
        round_.variables = _variables(plan, 0.0)
    num_steps = plan.num_trials * STEPS
    undisturbed_s = undisturbed["seconds"] + num_steps * plan.step_sleep_s / (
        digits_round.round.resources.num_gangs or 1
    )
    has_ended = round_.go_on(max(1.0, deadline_s - time.monotonic()))
    sys.stdout.write("".join(f"{line}\n" for line in summary(round_, undisturbed_s * round_.steps() / num_steps)))
    if plan.writes_table:
        write_rows("kills", kill_rows(round_.done))
    if not has_ended:
        return None
    trials, found = store_of(str(folder), NAME).trials(), _hash(folder)
    names = {*zip(trials["study"].to_pylist(), trials["index"].to_pylist(), strict=True)}
    is_equal = found == undisturbed["hash"]
    sys.stdout.write(f"{len(trials)} trials, hash {found}: {'equal' if is_equal else 'NOT EQUAL'}\n")
    is_whole = len(trials) == len(names) == plan.num_trials and len(round_.done) == plan.num_kills
    return 0 if is_equal and is_whole else 1


def _undisturbed(hosts: Hosts, state: Path, plan: Plan, for_s: float) -> dict[str, Any] | None:
    """Seconds and hash of the undisturbed round, which is run once for all seeds; None where it goes on."""
    known = state / "calm.json"
    if not known.exists():
        calm = Disturbed(hosts, _made(state / "calm"), [], _variables(plan, 0.0))
        if not calm.go_on(for_s):
            return None
        known.write_text(json.dumps({"seconds": calm.seconds, "hash": _hash(state / "calm")}))
    found: dict[str, Any] = json.loads(known.read_text())
    return found


def _variables(plan: Plan, step_sleep_s: float) -> dict[str, str]:
    return {"SOAK_TRIALS": str(plan.num_trials), "SOAK_STEP_SLEEP_S": str(step_sleep_s)}


def _hash(folder: Path) -> str:
    return results_hash(store_of(str(folder), NAME))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--table", action="store_true", help="write what was seen into README.md of this folder")
    parser.add_argument("--state", type=Path, help="folder in which the same command goes on; else a temporary one")
    parser.add_argument("--for-s", type=float, default=float("inf"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the hosts are taken down in any case
    with tempfile.TemporaryDirectory(prefix="rtp", dir="/tmp") as scratch, Hosts(Path(scratch)) as hosts:
        plan = Plan(options.seed, options.kills, options.trials, writes_table=options.table)
        code = disturb(hosts, options.state or Path(scratch) / "state", plan, options.for_s)
    return START_AGAIN if code is None else code


if __name__ == "__main__":
    sys.exit(main())
