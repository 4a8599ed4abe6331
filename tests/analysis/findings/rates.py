"""How often a detector is wrong: false alarms where nothing is to be found, misses where something is.

A module of tests of a detector has a `Case` and a test that its rates are at most `MOST_WRONG`. The table in the README
is made of all cases, by ``python -m tests.analysis.findings.table``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Detector, Finding

NUM_SEEDS = 200
MOST_WRONG = 0.05

FIRST_SEED = 10_000
"""The thresholds of the detectors were chosen on rounds of smaller seeds; what is counted is of others."""


def is_open(findings: Sequence[Finding]) -> bool:
    """Whether a detector raised an alarm."""
    return any(finding.is_open for finding in findings)


@dataclass(frozen=True)
class Case:
    """A detector and two kinds of rounds.

    Fields:
        rule: its ID.
        finds: what it finds, in a few words, for the table.
        effect: how large the effect is, in a few words, for the table.
        detector: the function.
        without: from a seed, a round where nothing is to be found.
        having: from a seed, a round with the effect.
        alarmed: what counts as an alarm.
    """

    rule: str
    finds: str
    effect: str
    detector: Detector
    without: Callable[[int], Evidence]
    having: Callable[[int], Evidence]
    alarmed: Callable[[Sequence[Finding]], bool] = is_open


@dataclass(frozen=True)
class Rates:
    """Shares of rounds."""

    false_alarms: float
    misses: float


def rates_of(case: Case, num_seeds: int = NUM_SEEDS) -> Rates:
    """Over ``num_seeds`` rounds of each kind."""
    seeds = range(FIRST_SEED, FIRST_SEED + num_seeds)
    alarms = [case.alarmed(case.detector(case.without(seed))) for seed in seeds]
    found = [case.alarmed(case.detector(case.having(seed))) for seed in seeds]
    return Rates(sum(alarms) / num_seeds, 1 - sum(found) / num_seeds)
