"""What the long suites have seen: in sums when they end, and as rows of the table in ``README.md`` of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.soak.disturbed import Disturbed, Done
from tests.soak.faults import KINDS

README = Path(__file__).with_name("README.md")

HEADER = ("what was broken", "times", "what happened", "work went on after (median)")

SEEN = {
    "worker": ("SIGKILL of a worker", "its gang starts anew, and the trial goes on from its checkpoint"),
    "host": ("SIGKILL of a gang's host", "another gang takes the trial, and one starts in its place"),
    "controller": ("SIGKILL of Train's controller", "as for a worker"),
    "lease": ("SIGKILL of Tune's actor of a trial", "the trial goes on: its record is the driver's business"),
    "pool": ("SIGKILL of the pool", "the run ends with one sentence and exit code 1; `resume` goes on"),
    "store": ("SIGKILL of the store of examples", "the round ends with one sentence and no failed trial; `resume`"),
    "driver": ("SIGKILL of the driver", "all that it owns ends; `resume` goes on"),
    "raylet": ("SIGKILL of the second host's raylet, back within 20 s", "as for a worker, and no attempt is counted"),
    "link": ("the second host's link cut for 1 to 20 s", "up to about 11 s it is waited for, then as for the raylet"),
    "gcs": ("SIGKILL of Ray's controller of the cluster", "the driver ends; a new cluster, and `resume`"),
    "head": ("SIGKILL of all processes of the head", "a new cluster, and `resume`"),
}
"""By kind: what was broken, and what happened."""


def summary(round_: Disturbed, undisturbed_s: float) -> list[str]:
    """By kind: how many, and after how long work went on; then the sums.

    Args:
        undisturbed_s: what as many steps take undisturbed, with the sleep in each.
    """
    lines = ["kind        kills  went on after (median, most)"]
    for kind in KINDS:
        times = _times_s(round_.done, kind)
        told = f"{median(times):6.1f} s {max(times):6.1f} s" if times else "-"
        lines.append(f"{kind:10} {sum(kill.kind == kind for kill in round_.done):6}  {told}")
    num = len(round_.done)
    lost_s = (round_.seconds - undisturbed_s) / max(1, num)
    lines.append(
        f"{num} kills survived in {round_.seconds:.0f} s, {lost_s:.1f} s lost per kill; {round_.num_drivers} drivers, "
        f"of which {len(round_.unplanned)} ended without a kill"
    )
    return lines


def kill_rows(done: Sequence[Done]) -> list[list[str]]:
    """What was broken, how often, what happened, and after how long work went on."""
    found = []
    for kind, (what, happened) in SEEN.items():
        if num := sum(kill.kind == kind for kill in done):
            times = _times_s(done, kind)
            told = f"{median(times):.0f} s, at most {max(times):.0f} s" if times else "not known: others came first"
            found.append([what, str(num), happened, told])
    return found


def write_rows(name: str, rows: Sequence[Sequence[str]], readme: Path = README) -> None:
    """Put a table in place of that between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises:
        ValueError: the file has no such place.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = readme.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{readme} must hold the lines {begin.strip()} and {end.strip()}, but does not; write them.")
    lines = "".join(f"| {' | '.join(row)} |\n" for row in (HEADER, ("---",) * len(HEADER), *rows))
    readme.write_text(before + begin + lines + end + after)


def _times_s(done: Sequence[Done], kind: str) -> list[float]:
    return [kill.went_on_s for kill in done if kill.kind == kind and kill.went_on_s is not None]
