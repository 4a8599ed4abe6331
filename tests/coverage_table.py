"""The playbook's rules with the tests that keep them: ``python -m tests.coverage_table`` prints the table as markdown.

``--write`` writes it to ``RULES.md`` beside this file. It is made from the tests' source: from names that begin with
rules' IDs (``test_bn2_...``), and from IDs in docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.playbook_rules import AREAS, RULES, UNTESTED

TESTS = Path(__file__).parent
TABLE = TESTS / "RULES.md"

MOST_NAMED = 4
"""Of the tests of a rule so many are named, those of different files first; the others are counted."""


@dataclass(frozen=True, order=True)
class NamedTest:
    """A test function; with parameters it is one all the same.

    Fields:
        file: relative to the tests' folder.
        rules: that it keeps.
    """

    file: str
    name: str
    rules: tuple[str, ...]


def named_tests(folder: Path = TESTS) -> list[NamedTest]:
    """Every test under a folder that names a rule, in the order of files and lines."""
    return [
        test
        for path in sorted(folder.rglob("test_*.py"))
        for test in _of_file(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8"))
    ]


def _of_file(file: str, source: str) -> Iterator[NamedTest]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            rules = (*_in_name(node.name), *re.findall(r"\b[A-Z]{2}\d+\b", ast.get_docstring(node) or ""))
            if rules:
                yield NamedTest(file, node.name, tuple(dict.fromkeys(rules)))


def _in_name(name: str) -> list[str]:
    """``IN8`` and ``LN1`` of ``test_in8_ln1_and_more``: the IDs with which a name begins."""
    found = re.match(r"test_((?:[a-z]{2}\d+_)*)", name)
    return [part.upper() for part in (found[1] if found else "").split("_") if part]


Kept: TypeAlias = Mapping[str, Sequence[NamedTest]]


def kept_by(tests: Sequence[NamedTest]) -> dict[str, list[NamedTest]]:
    """By rule, in the rules' order, the tests that keep it."""
    return {rule: [test for test in tests if rule in test.rules] for rule in RULES}


def faults(kept: Kept, tests: Sequence[NamedTest], untested: Mapping[str, str]) -> list[str]:
    """What is wrong with the tests' names and the explanations, a sentence each."""
    found = [
        f"{rule} has neither a test nor an explanation." for rule in RULES if not (kept[rule] or untested.get(rule))
    ]
    found += [f"{rule} has a test, and an explanation why it has none." for rule in untested if kept.get(rule)]
    found += [f"{rule} is explained, but there is no such rule." for rule in untested if rule not in RULES]
    found += [
        f"{test.file}::{test.name} names {rule}, but there is no such rule."
        for test in tests
        for rule in test.rules
        if rule not in RULES
    ]
    return found


def table(kept: Kept, untested: Mapping[str, str]) -> str:
    """The whole file, as markdown."""
    return "\n".join(_lines(kept, untested))


def _lines(kept: Kept, untested: Mapping[str, str]) -> Iterator[str]:
    num_kept = sum(bool(tests) for tests in kept.values())
    yield "# The playbook's rules, and the tests that keep them"
    yield ""
    yield (
        f"Made by `python -m tests.coverage_table --write`. {num_kept} of {len(kept)} rules are kept by tests"
        f"{'; the others say why not' if num_kept < len(kept) else ''}."
    )
    for letters, area in AREAS.items():
        yield ""
        yield f"## {area}"
        yield ""
        yield "| rule | what it asks | kept by |"
        yield "|---|---|---|"
        for rule, words in RULES.items():
            if rule.rstrip("0123456789") == letters:
                yield f"| {rule} | {words} | {_tests_text(kept[rule]) or untested.get(rule, '')} |"
    yield ""


def _tests_text(tests: Sequence[NamedTest]) -> str:
    named = _spread(tests)[:MOST_NAMED]
    links = [f"[`{test.name}`]({test.file})" for test in named]
    if left := len(tests) - len(named):
        links.append(f"and {left} more")
    return "<br>".join(links)


def _spread(tests: Sequence[NamedTest]) -> list[NamedTest]:
    """One of each file, then another of each; the tests of one rule alone before those of several."""
    by_file: dict[str, list[NamedTest]] = {}
    for test in tests:
        by_file.setdefault(test.file, []).append(test)
    ranked = [
        (place, len(test.rules), number, test)
        for number, those in enumerate(by_file.values())
        for place, test in enumerate(sorted(those, key=lambda test: len(test.rules)))
    ]
    return [test for *_, test in sorted(ranked, key=lambda each: each[:3])]


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it; 1 where a rule has neither a test nor an explanation."""
    tests = named_tests()
    kept = kept_by(tests)
    text = table(kept, UNTESTED)
    if "--write" in arguments:
        TABLE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    wrong = faults(kept, tests, UNTESTED)
    sys.stderr.writelines(f"{sentence}\n" for sentence in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
