"""The table of false alarms and misses: ``python -m tests.analysis.findings.table`` prints it as markdown."""

from __future__ import annotations

import sys

from tests.analysis.findings.cases import all_cases
from tests.analysis.findings.rates import NUM_SEEDS, Case, Rates, rates_of


def row(case: Case, rates: Rates) -> str:
    """One case as a line of the table."""
    cells = (case.rule, case.finds, case.effect, f"{rates.false_alarms:.1%}", f"{rates.misses:.1%}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Count over all cases, and print each as soon as it is known."""
    print(f"Over {NUM_SEEDS} generated rounds each without and with the effect:\n")
    print("| rule | finds | effect | false alarms | misses |\n|---|---|---|---:|---:|")
    for case in all_cases():
        print(row(case, rates_of(case)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
