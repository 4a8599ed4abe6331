"""Rule AD8: the validation set is folded into training, the test set stays, and the length is fixed beforehand."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest

from raytune_playbook import Files, Split
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.data.splits import exact_division, example_hashes
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.launch.configuration import Configuration
from raytune_playbook.procedures.test_set.folding import fixed_length, folded, joined
from raytune_playbook.records.types import Outcome
from raytune_playbook.workloads.tabular import BreastCancer


def test_ad8_the_folded_workload_trains_on_both_and_is_the_same_otherwise() -> None:
    workload = BreastCancer(malignant_kept=0.5)
    own = workload.datasets()
    found = cloudpickle.loads(cloudpickle.dumps(folded(workload, 400)))
    both = found.datasets()
    for column in ("row", "label"):
        assert np.array_equal(both["train"][column], np.concatenate([own["train"][column], own["validation"][column]]))
        assert np.array_equal(both["test"][column], own["test"][column])
    assert found.spec() == workload.spec()
    assert workload.datasets()["train"]["row"].shape == own["train"]["row"].shape  # the workload itself is as it was


def test_ad8_a_split_folds_all_but_one_example_and_keeps_its_test_set() -> None:
    columns = {"x": np.arange(200.0), "label": np.arange(200) % 2}
    split = Split(columns, train=0.6, validation=0.2, test=0.2)
    both = joined(split, 160)
    assert isinstance(both, Split)
    hashes = example_hashes(columns)
    before, after = (exact_division(hashes, each.fractions).rows(hashes) for each in (split, both))
    assert np.array_equal(before["test"], after["test"])
    assert len(after["validation"]) == 1
    assert set(before["train"]) | set(before["validation"]) == set(after["train"]) | set(after["validation"])
    with pytest.raises(SpecError, match="a Split that grows"):
        joined(Split(columns, grows=True), 160)


def test_ad8_tables_and_files_are_joined_and_what_is_not_alike_is_refused(tmp_path: Path) -> None:
    one, two = pa.table({"x": [1.0, 2.0]}), pa.table({"x": [3.0]})
    tables = joined({"train": one, "validation": two}, 3)
    assert isinstance(tables, dict)
    assert tables["train"].to_pydict() == {"x": [1.0, 2.0, 3.0]}
    files = joined({"train": Files("a.csv", format="csv"), "validation": Files(["b.csv"], format="csv")}, 3)
    assert isinstance(files, dict)
    assert files["train"] == Files(["a.csv", "b.csv"], format="csv")
    with pytest.raises(SpecError, match="arrays, tables, files or Ray Datasets"):
        joined({"train": one, "validation": "b.csv"}, 3)
    with pytest.raises(SpecError, match="format and columns are the same"):
        joined({"train": "a.csv", "validation": Files("b.csv", columns=["x"])}, 3)


def run(step: int) -> Trial:
    return Trial("all", 0, outcome=Outcome.COMPLETED, objective=0.1, best_step=step)


def test_ad8_the_number_of_steps_is_fixed_by_what_is_known_before() -> None:
    constant = Configuration({"schedule": "constant"}, 100, 20)
    chosen, why = fixed_length(constant, [run(40), run(60), run(100)])
    assert (chosen.max_train_steps, chosen.evaluation_interval_steps) == (60, 20)
    assert "median best step of 3 runs" in why
    short, _ = fixed_length(constant, [run(10)])
    assert (short.max_train_steps, short.evaluation_interval_steps) == (10, 10)
    decaying = Configuration({"schedule": "cosine"}, 100, 20)
    assert fixed_length(decaying, [run(40)])[0] == decaying
