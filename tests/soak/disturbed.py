"""A round on the hosts in namespaces that is disturbed, resumed, mended and read back, until it has ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.multihost.conftest import PORT, Hosts
from tests.soak.faults import ENDS_DRIVER, Kill, broken
from tests.soak.results import Ended, store_of

JOB = Path(__file__).with_name("digits_round.py")
NAME = "disturbed"
POLL_S = 0.1
HOSTS_EVERY_S = 2.0
STANDSTILL_S = 240.0
"""A round that comes no further for so long is not going on."""


@dataclass(frozen=True)
class Done:
    """A kill that was done.

    Fields:
        at_s: seconds of this round before it, pauses of the program left out.
        went_on_s: after it every trial that had begun had come further, or ended; None where the next came first.
    """

    number: int
    kind: str
    what: str
    at_s: float
    went_on_s: float | None = None


class GoneWrongError(Exception):
    """What must never happen."""


class Disturbed:
    """One round, its driver, and what was done to them; what it knows stands in ``kills.json`` of its folder."""

    def __init__(self, hosts: Hosts, folder: Path, kills: list[Kill]) -> None:
        self._hosts, self._folder, self._kills = hosts, folder, kills
        self._ended = Ended(store_of(str(folder), NAME))
        self._driver: subprocess.Popen[str] | None = None
        self._mending: Future[None] | None = None
        self._threads = ThreadPoolExecutor(1)
        self._hosts_at_s = self._further_at_s = time.monotonic()
        self._is_hurt = False
        known = json.loads(self._state.read_text()) if self._state.exists() else {}
        self.done = [Done(**each) for each in known.get("done", [])]
        self.num_drivers: int = known.get("num_drivers", 0)
        self.unplanned: list[str] = known.get("unplanned", [])
        self.before_s: float = known.get("seconds", 0.0)
        self._began_s = time.monotonic()

    # ------------------------------------------------------------------ the loop

    def go_on(self, for_s: float) -> bool:
        """Run, disturb and resume for so long; returns whether the round has ended.

        Raises:
            GoneWrongError: a record changed or cannot be read, or the round stands still.
        """
        deadline_s = time.monotonic() + for_s
        self._launch()
        self._begin()
        try:
            while time.monotonic() < deadline_s:
                if self._look_at_driver():
                    return True
                self._mend_hosts()
                if len(self.done) < len(self._kills):
                    self._disturb(self._kills[len(self.done)])
                self._watch()
                time.sleep(POLL_S)
            return False
        finally:
            self._save()
            self._stop()

    def _begin(self) -> None:
        """Seconds count from when training goes on: the program's own pauses are nobody's loss."""
        before = self.steps()
        while self.steps() == before and self._driver is not None and self._driver.poll() is None and before:
            time.sleep(POLL_S)
        self._began_s = self._further_at_s = time.monotonic()
        self._read_back("at the start")

    @property
    def seconds(self) -> float:
        return self.before_s + time.monotonic() - self._began_s

    def steps(self) -> int:
        """That are checkpointed, in the whole round."""
        return sum(self._furthest().values())

    def _furthest(self) -> Counter[str]:
        found = Counter[str]()
        for file in (self._folder / NAME).glob("*/checkpoints/*/*/training.pt"):
            trial = f"{file.parts[-5]}/{file.parts[-3]}"
            found[trial] = max(found[trial], int(file.parts[-2]))
        return found

    # ------------------------------------------------------------------ disturbing

    def _disturb(self, kill: Kill) -> None:
        if kill.is_sudden:
            is_due = self.seconds >= self.done[-1].at_s + 12 * kill.delay_s
        else:
            is_due = not self._is_hurt and self.steps() >= kill.at_steps
        if not is_due or (kill.kind in ("raylet", "link", "head") and self._mending is not None):
            return
        if not kill.is_sudden:
            time.sleep(kill.delay_s)
        before = self._furthest()
        at_s = self.seconds
        what = broken(self._hosts, kill)
        if what is None:
            return
        self.done.append(Done(kill.number, kill.kind, what, round(at_s, 1)))
        self._before, self._is_hurt, self._further_at_s = before, True, time.monotonic()
        self._read_back(f"after kill {kill.number}")
        self._waits_for = {trial for trial in self._ended.begun}
        if kill.kind in ("raylet", "link"):
            self._mending = self._threads.submit(self._mend_after, kill.outage_s)
        self._save()

    def _mend_after(self, outage_s: float) -> None:
        time.sleep(outage_s)
        self._hosts.mend()

    def _mend_hosts(self) -> None:
        """Have back the hosts whose outage is over, or that were given up after it."""
        if self._mending is not None:
            if self._mending.done():
                self._mending.result()
                self._mending = None
                if self._is_hurt and self.done[-1].kind == "link":  # beyond it training has gone on unheard
                    self._before, self._waits_for = self._furthest(), set(self._ended.begun)
            return
        if time.monotonic() - self._hosts_at_s > HOSTS_EVERY_S and self._is_head_there():
            self._hosts_at_s = time.monotonic()
            if self._hosts.alive() != {"head", "one", "two"}:
                self._mending = self._threads.submit(self._hosts.mend)

    def _is_head_there(self) -> bool:
        return bool(self._hosts.head.process_ids("gcs/gcs_server "))

    def _watch(self) -> None:
        """Whether work goes on after the last kill."""
        now = self._furthest()
        if self._is_hurt and not (self.done[-1].kind == "link" and self._mending is not None):
            self._waits_for = {trial for trial in self._waits_for if now[trial] <= self._before[trial]}
            if not self._waits_for and now != self._before:
                went_on_s = round(self.seconds - self.done[-1].at_s, 1)
                self.done[-1] = Done(**(asdict(self.done[-1]) | {"went_on_s": went_on_s}))
                self._is_hurt, self._further_at_s = False, time.monotonic()
                self._read_back(f"when work went on after kill {len(self.done)}")
                self._tell(self.done[-1])
                self._save()
        elif not self._is_hurt and now != getattr(self, "_seen", None):
            self._seen, self._further_at_s = now, time.monotonic()
        if time.monotonic() - self._further_at_s > STANDSTILL_S:
            raise GoneWrongError(f"the round stands still since {STANDSTILL_S:.0f} s, after {self.done[-1:]}")

    def _read_back(self, when: str) -> None:
        if (self._folder / NAME / "round.json").exists() and (wrong := [*self._ended.look()]):
            raise GoneWrongError(f"{when}: {'; '.join(wrong)}")

    # ------------------------------------------------------------------ the driver

    def _look_at_driver(self) -> bool:
        """Whether the round has ended; a driver that has ended before is followed by another."""
        assert self._driver is not None
        code = self._driver.poll()
        if code is None:
            return False
        if self._mending is not None:
            self._mending.result()
            self._mending = None
        if code == 0 and self._ended_whole():
            return True
        last = self.done[-1] if self.done else None
        if last is None or last.kind not in ENDS_DRIVER or not self._is_hurt:
            self.unplanned.append(f"driver {self.num_drivers} ended with {code} after kill {last}")
            sys.stdout.write(f"  !! {self.unplanned[-1]}\n")
        if not self._is_head_there():
            self._hosts.renew()
        self._launch()
        return False

    def _ended_whole(self) -> bool:
        self._read_back("at the end")
        return not self._ended.begun

    def _launch(self) -> None:
        self.num_drivers += 1
        is_new = not (self._folder / NAME / "round.json").exists()
        failed = "failed" in ([] if is_new else store_of(str(self._folder), NAME).trials()["outcome"].to_pylist())
        what = ["run", str(JOB)] if is_new else ["resume", NAME, *(["--retry-failed"] if failed else [])]
        if failed:
            sys.stdout.write("  a trial had failed, and is run again\n")
        where = ["--storage", str(self._folder), "--address", f"{self._hosts.head.address}:{PORT}"]
        with (self._folder / f"driver-{self.num_drivers:03d}.txt").open("w") as log:
            self._driver = self._hosts.launch(
                self._hosts.head, "-m", "raytune_playbook", *what, *where, stdout=log, stderr=subprocess.STDOUT
            )

    def _stop(self) -> None:
        if self._mending is not None:
            self._mending.result()
        self._threads.shutdown()
        if self._driver is not None:
            self._driver.kill()
            self._driver.wait()

    # ------------------------------------------------------------------ what is told

    @property
    def _state(self) -> Path:
        return self._folder / "kills.json"

    def _save(self) -> None:
        known = {
            "done": [asdict(each) for each in self.done],
            "num_drivers": self.num_drivers,
            "unplanned": self.unplanned,
            "seconds": self.seconds,
        }
        self._state.write_text(json.dumps(known, indent=1))

    def _tell(self, kill: Done) -> None:
        sys.stdout.write(
            f"{kill.number:4}/{len(self._kills)}  at {kill.at_s:7.1f} s  {kill.kind:10}  {kill.what:44}  "
            f"went on after {kill.went_on_s:5.1f} s  {self.steps()} steps, {self._ended.num} trials done\n"
        )
        sys.stdout.flush()
