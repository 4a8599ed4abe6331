"""What the questions about the search space find, and how often they are wrong."""

from __future__ import annotations

from tests.analysis.findings.rates import Case

CASES: tuple[Case, ...] = ()
