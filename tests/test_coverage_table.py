"""The table of the playbook's rules is up to date, and every rule is kept by a test or explained."""

from __future__ import annotations

from pathlib import Path

from tests.coverage_table import TABLE, NamedTest, faults, kept_by, main, named_tests, table
from tests.playbook_rules import AREAS, RULES, UNTESTED

SOURCE = '''
import pytest

def test_bn2_ln5_two_rules(): ...

def test_plain():
    """Rule EV3: exactly once; see XY9."""

@pytest.mark.parametrize("width", [1, 2])
async def test_qr4_with_parameters(width): ...

class TestGroup:
    def test_in10_in_a_class(self): ...

def helper_bn3(): ...

def test_unnamed_bn4(): ...
'''


def test_rules_are_112_in_areas():
    assert len(RULES) == 112
    assert {rule.rstrip("0123456789") for rule in RULES} == set(AREAS)
    for letters in AREAS:
        numbers = [int(rule[2:]) for rule in RULES if rule.startswith(letters)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_names_and_docstrings_of_tests_name_rules(tmp_path: Path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "test_it.py").write_text(SOURCE)
    (tmp_path / "room" / "cases.py").write_text("def test_sd1_is_in_no_test_file(): ...")
    tests = named_tests(tmp_path)
    assert {(test.name, test.rules) for test in tests} == {
        ("test_bn2_ln5_two_rules", ("BN2", "LN5")),
        ("test_plain", ("EV3", "XY9")),
        ("test_qr4_with_parameters", ("QR4",)),
        ("test_in10_in_a_class", ("IN10",)),
    }
    assert {test.file for test in tests} == {"room/test_it.py"}
    kept = kept_by(tests)
    assert [rule for rule in RULES if kept[rule]] == ["QR4", "IN10", "LN5", "EV3", "BN2"]
    others = dict.fromkeys(RULES.keys() - {"QR4", "IN10", "EV3", "BN2", "SD1"}, "It does not apply.")
    assert sorted(faults(kept, tests, {**others, "ZZ1": "No rule.", "SD2": ""})) == [
        "LN5 has a test, and an explanation why it has none.",
        "SD1 has neither a test nor an explanation.",
        "SD2 has neither a test nor an explanation.",
        "ZZ1 is explained, but there is no such rule.",
        "room/test_it.py::test_plain names XY9, but there is no such rule.",
    ]


def test_the_table_names_tests_of_different_files_first_and_counts_the_others():
    tests = [
        *(NamedTest("a/test_a.py", f"test_qr1_{number}", ("QR1",)) for number in range(5)),
        NamedTest("b/test_b.py", "test_qr1_other_file", ("QR1",)),
    ]
    lines = table(kept_by(tests), {"QR2": "It is kept by whoever runs it."}).splitlines()
    (row,) = [line for line in lines if line.startswith("| QR1 |")]
    cells = row.split(" | ")[2].removesuffix(" |").split("<br>")
    assert cells[:2] == ["[`test_qr1_0`](a/test_a.py)", "[`test_qr1_other_file`](b/test_b.py)"]
    assert len(cells) == 5 and cells[-1] == "and 2 more"
    (row,) = [line for line in lines if line.startswith("| QR2 |")]
    assert row.endswith("| It is kept by whoever runs it. |")
    assert "1 of 112 rules are kept by tests; the others say why not." in lines[2]


def test_every_rule_is_kept_or_explained_and_the_table_is_up_to_date(capsys):
    assert main([]) == 0, capsys.readouterr().err
    assert TABLE.read_text() == table(kept_by(named_tests()), UNTESTED), "run python -m tests.coverage_table --write"
