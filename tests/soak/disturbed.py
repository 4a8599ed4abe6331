"""A round on the hosts in namespaces that is disturbed, resumed, mended and read back, until it has ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from raytune_playbook.records.types import RoundState
from tests.multihost.conftest import PORT, Hosts
from tests.soak.faults import ENDS_DRIVER, Kill, broken
from tests.soak.results import Ended, store_of

JOB = Path(__file__).with_name("digits_round.py")
NAME = "disturbed"
POLL_S = 0.2
HOSTS_EVERY_S = 2.0
LAST_WORDS_S = 2.0
STANDSTILL_S = 240.0
"""A round that comes no further for so long is not going on."""


@dataclass(frozen=True)
class Done:
    """A kill that was done.

    Fields:
        at_s: seconds of this round before it, pauses of the program left out.
        went_on_s: after it every trial that ran had come further, or ended; None where the next came first.
    """

    number: int
    kind: str
    what: str
    at_s: float
    went_on_s: float | None = None


@dataclass
class Open:
    """A kill after which work has yet to go on.

    Fields:
        num_drivers: that there had been.
        before: how far each trial was, when only what had survived went on.
        waits_for: trials that ran, and have come no further since.
    """

    kill: Kill
    num_drivers: int
    before: Counter[str]
    waits_for: set[str]
    is_settled: bool = False


class GoneWrongError(Exception):
    """What must never happen."""


class Disturbed:
    """One round, its driver, and what was done to them; what it knows stands in ``kills.json`` of its folder."""

    def __init__(self, hosts: Hosts, folder: Path, kills: list[Kill], variables: Mapping[str, str]) -> None:
        self._hosts, self._folder, self._kills, self.variables = hosts, folder, kills, variables
        self._driver: subprocess.Popen[str] | None = None
        self._mending: Future[None] | None = None
        self._threads = ThreadPoolExecutor(1)
        self._hosts_at_s = self._further_at_s = time.monotonic()
        self._open: list[Open] = []
        self._has_moved = True
        self._last: Counter[str] = Counter()
        known = json.loads(self._state.read_text()) if self._state.exists() else {}
        self._ended = Ended(store_of(str(folder), NAME), known.get("trials", {}))
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
            is_due = self.steps() >= kill.at_steps and self._has_moved
        if not is_due or (kill.kind in ("raylet", "link", "gcs", "head") and self._mending is not None):
            return
        if not kill.is_sudden:
            time.sleep(kill.delay_s)
        before, at_s = self._furthest(), self.seconds
        what = broken(self._hosts, kill)
        if what is None:
            return
        self.done.append(Done(kill.number, kill.kind, what, round(at_s, 1)))
        self._read_back(f"after kill {kill.number}")
        self._open.append(Open(kill, self.num_drivers, before, set(self._ended.running)))
        self._has_moved = False
        if kill.kind in ("raylet", "link"):
            self._mending = self._threads.submit(self._mend_after, kill.outage_s)
        self._save()

    def _mend_after(self, outage_s: float) -> None:
        time.sleep(outage_s)
        if self._is_head_there():  # else the driver ends, and a new cluster has all hosts
            self._hosts.mend()

    def _mend_hosts(self) -> None:
        """Have back the hosts whose outage is over, or that were given up after it."""
        if self._mending is not None:
            if self._mending.done():
                self._mending.result()
                self._mending = None
            return
        if time.monotonic() - self._hosts_at_s > HOSTS_EVERY_S and self._is_head_there():
            self._hosts_at_s = time.monotonic()
            if self._hosts.alive() != {"head", "one", "two"}:
                self._mending = self._threads.submit(self._hosts.mend)

    def _is_head_there(self) -> bool:
        return bool(self._hosts.head.process_ids("gcs/gcs_server "))

    def _watch(self) -> None:
        """After which kills work goes on, and whether it does at all."""
        now = self._furthest()
        if now != self._last:
            self._last, self._has_moved, self._further_at_s = now, True, time.monotonic()
        if time.monotonic() - self._further_at_s > STANDSTILL_S:
            raise GoneWrongError(f"the round stands still since {STANDSTILL_S:.0f} s, after {self.done[-1:]}")
        for each in self._open:
            if each.is_settled:
                each.waits_for = {trial for trial in each.waits_for if now[trial] <= each.before[trial]}
            elif self._is_settled(each):
                each.before, each.waits_for, each.is_settled = now, set(self._ended.running), True
        for each in [each for each in self._open if each.is_settled and not each.waits_for and now != each.before]:
            self._open.remove(each)
            place = each.kill.number - 1
            went_on_s = round(self.seconds - self.done[place].at_s, 1)
            self.done[place] = replace(self.done[place], went_on_s=went_on_s)
            self._read_back(f"when work went on after kill {each.kill.number}")
            self._tell(self.done[place])
            self._save()

    def _is_settled(self, each: Open) -> bool:
        """Whether what trains from now on has survived: workers of a dead host write on for a moment, and so do those
        whom nobody hears."""
        if self.seconds < self.done[each.kill.number - 1].at_s + LAST_WORDS_S:
            return False
        if each.kill.kind == "link":
            return self._mending is None
        return each.kill.kind not in ENDS_DRIVER or self.num_drivers > each.num_drivers

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
        if not any(each.kill.kind in ENDS_DRIVER for each in self._open):
            self.unplanned.append(f"driver {self.num_drivers} ended with {code} after kill {len(self.done)}")
            sys.stdout.write(f"  !! {self.unplanned[-1]}\n")
        if [each.kill.kind for each in self._open if each.kill.kind in ENDS_DRIVER] == ["pool"]:
            self._require_said(code, "The round stopped: the pool of gangs was lost")
        if not self._is_head_there():
            self._hosts.renew()
        self._launch()
        return False

    def _require_said(self, code: int, sentence: str) -> None:
        printed = self._log.read_text()
        if code != 1 or printed.count(sentence) != 1 or "Traceback" in printed:
            raise GoneWrongError(f"a driver ended with {code}, and without the sentence {sentence!r}: {self._log}")

    def _ended_whole(self) -> bool:
        self._read_back("at the end")
        status = store_of(str(self._folder), NAME).status()
        return status is not None and status.state is RoundState.FINISHED and not self._ended.failed

    def _launch(self) -> None:
        self.num_drivers += 1
        is_new = not (self._folder / NAME / "round.json").exists()
        failed = "failed" in ([] if is_new else store_of(str(self._folder), NAME).trials()["outcome"].to_pylist())
        what = ["run", str(JOB)] if is_new else ["resume", NAME, *(["--retry-failed"] if failed else [])]
        if failed:
            sys.stdout.write("  a trial had failed, and is run again\n")
        where = ["--storage", str(self._folder), "--address", f"{self._hosts.head.address}:{PORT}"]
        with self._log.open("w") as log:
            self._driver = self._hosts.launch(
                self._hosts.head,
                *("-m", "raytune_playbook", *what, *where),
                variables=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def _log(self) -> Path:
        return self._folder / f"driver-{self.num_drivers:03d}.txt"

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
            "trials": self._ended.known,
            "seconds": self.seconds,
        }
        self._state.write_text(json.dumps(known, indent=1))

    def _tell(self, kill: Done) -> None:
        sys.stdout.write(
            f"{kill.number:4}/{len(self._kills)}  at {kill.at_s:7.1f} s  {kill.kind:10}  {kill.what:44}  "
            f"went on after {kill.went_on_s:5.1f} s  {self.steps()} steps, {self._ended.num} trials done\n"
        )
        sys.stdout.flush()
