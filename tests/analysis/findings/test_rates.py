"""Every question is answered wrongly in at most `MOST_WRONG` of generated rounds."""

from __future__ import annotations

import pytest

from tests.analysis.findings.cases import all_cases
from tests.analysis.findings.rates import MOST_WRONG, Case, rates_of


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.rule}: {case.finds}")
def test_false_alarms_and_misses_are_rare(case: Case) -> None:
    rates = rates_of(case)
    assert rates.false_alarms <= MOST_WRONG
    assert rates.misses <= MOST_WRONG
