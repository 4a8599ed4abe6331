"""Examples that hold NaN or infinities, and where they were read."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.data.not_finite import MAX_KEPT, first_few, not_finite


def columns() -> dict[str, np.ndarray]:
    return {"x": np.ones((30, 2, 3), np.float32), "y": np.ones(30), "label": np.arange(30)}


@pytest.mark.parametrize(("number", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_column_row_and_example_are_known(number, kind):
    given = columns()
    given["x"][17, 1, 2] = given["x"][20, 0, 0] = number
    first, second = not_finite(given, "row {} of a.csv".format)
    assert first.sentence("train") == f"column 'x' of 'train' holds {kind} in row 17 of a.csv"
    assert second.place == "row 20 of a.csv"
    assert {name: values.shape for name, values in first.example.items()} == {"x": (1, 2, 3), "y": (1,), "label": (1,)}
    assert first.example["label"] == [17]
    assert not np.isfinite(first.example["x"][0, 1, 2])


def test_large_numbers_are_numbers():
    given = columns()
    given["y"][:] = 1e308  # whose sum is none
    given["x"][:] = 3e38
    assert not_finite(given, str) == []
    given["y"][3], given["y"][4] = np.inf, -np.inf
    assert [found.place for found in not_finite(given, str)] == ["3", "4"]


def test_a_few_are_kept_for_each_column():
    given = columns()
    given["x"][:, 0, 0] = np.nan
    given["y"][-1] = np.nan
    kept = first_few([*not_finite(given, str), *not_finite(given, str)])
    assert [found.column for found in kept] == ["x"] * MAX_KEPT + ["y"] * 2
