"""The README's table has every case of the checklist, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.analysis.findings.cases import all_cases

README = Path(__file__).parents[3] / "README.md"


def test_in16_the_readme_names_every_case_and_no_other() -> None:
    rows = re.findall(
        r"^\| ([A-Z]{2}\d+) \| (.+?) \| (.+?) \| [\d.]+% \| [\d.]+% \|$", README.read_text(), re.MULTILINE
    )
    assert rows == [(case.rule, case.finds, case.effect) for case in all_cases()]
