"""Rules as sentences that say where to read on."""

from __future__ import annotations

import re
from pathlib import Path

import raytune_playbook
from raytune_playbook.report.rules import _SECTIONS, explained, section_of


def test_an_id_never_stands_before_its_sentence():
    assert explained("SD1: a round's goal should be narrow: split it.") == (
        "a round's goal should be narrow: split it (the playbook's "
        '"Choosing the goal for the next round of experiments", rule SD1).'
    )
    assert explained("XY12: some sentence.") == "some sentence (rule XY12)."
    assert explained("a sentence without a rule: as it is.") == "a sentence without a rule: as it is."


def test_every_rule_that_a_sentence_begins_with_has_its_section():
    package = Path(raytune_playbook.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    rules = set(re.findall(r"f?\"([A-Z]{2}\d+): ", text)) | set(re.findall(r"f'([A-Z]{2}\d+): ", text))
    assert rules
    assert rules <= _SECTIONS.keys()


def test_every_rule_of_the_checklist_has_its_section():
    """The rules that findings have, whatever they find."""
    package = Path(raytune_playbook.__file__).parent / "analysis/findings"
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    rules = set(re.findall(r"\"([A-Z]{2}\d+)\"", text))
    assert len(rules) > 15
    assert [rule for rule in sorted(rules) if section_of(rule) is None] == []
    assert section_of("XY12") is None
