"""The rows that the long suites write into their README."""

from __future__ import annotations

import pytest

from tests.soak.disturbed import Done
from tests.soak.table import README, kill_rows, write_rows


def test_rows_take_the_place_of_those_before_and_nothing_else_changes(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- kills -->\n| old | 1 |\n<!-- end of kills -->\nafter\n")
    write_rows("kills", [["x", "2"], ["y", "3"]], readme)
    first, begin, _, _, *rest = readme.read_text().splitlines()
    assert (first, begin) == ("before", "<!-- kills -->")
    assert rest == ["| x | 2 |", "| y | 3 |", "<!-- end of kills -->", "after"]
    with pytest.raises(ValueError, match="must hold the lines"):
        write_rows("gangs", [], readme)
    assert "<!-- kills -->\n" in README.read_text()


def test_a_row_has_how_often_a_kind_came_and_after_how_long_work_went_on():
    done = [Done(number, "pool", "", 0.0, went_on_s) for number, went_on_s in enumerate((3.0, None, 9.0), start=1)]
    (pool, link) = kill_rows([*done, Done(4, "link", "", 9.0)])
    assert (pool[1], pool[3], link[1]) == ("3", "6 s, at most 9 s", "1")
