"""A stability study of a transformer that is unstable without normalization, on real gangs."""

from __future__ import annotations

from pathlib import Path

from raytune_playbook import Budget, Objective, Round, run, stability
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.workloads.text import StandardLibraryText
from tests.regression import RESOURCES

STEPS = 100


def test_un1_to_un8_the_whole_course_on_a_workload_that_is_truly_unstable(gangs, tmp_path, quiet):
    round_ = Round(
        name="unstable",
        goal="Which learning rate does a transformer without normalization take?",
        workload=StandardLibraryText(),
        configurations=({"learning_rate": 0.12},),
        fixed={
            "optimizer": "momentum",
            "normalization": "none",
            "width": 32,
            "heads": 2,
            "context": 32,
            "batch_size": 4,
        },
        objective=Objective(metric="bits_per_byte"),
        budget=Budget(num_trials=1, max_train_steps=STEPS, evaluation_interval_steps=STEPS),
        resources=RESOURCES,
    )
    run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    starts = {gang.name: gang.num_starts for gang in gangs.facts()}
    record = stability(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    after = {gang.name: gang.num_starts for gang in gangs.facts()}
    assert {name: after[name] for name in starts} == starts  # no gang was started anew for a part

    numbers = record.numbers
    assert numbers["best_learning_rate"] == 0.12
    assert numbers["unstable_base_learning_rate"] in (0.168, 0.24, 0.36)  # UN1
    assert numbers["kind"] == "early"  # UN8
    assert numbers["is_limiting"] is True
    assert record.is_good is True
    assert numbers["remedy"] in ("warmup_steps", "clipping_norm")
    mended = "warmup" if numbers["remedy"] == "warmup_steps" else "clipping"
    assert number(numbers[f"widening_by_{mended}"]) >= 1.35
    assert number(numbers[f"{mended}_objective"]) < number(numbers["baseline_objective"])
    assert number(numbers["warmup_steps"]) <= STEPS / 10  # UN4

    budgets = {name: RoundStore(Storage(str(tmp_path)), name).round().budget for name in record.rounds}
    assert budgets["unstable-stability-sweep"].max_train_steps == STEPS
    assert budgets["unstable-stability-check"].evaluation_interval_steps == 1  # UN3
    assert budgets["unstable-stability-warmup-10"].max_train_steps == 20  # UN4: twice as many steps after the warmup
    whole = [budget for name, budget in budgets.items() if "with-warmup" in name or "clipping" in name]
    assert whole
    assert all(budget.max_train_steps == STEPS for budget in whole)

    page = Path(tmp_path, "unstable/report/index.html").read_text()
    for plot in record.plots:
        assert plot.title in page
    assert record.next[0].sentence.startswith("In the job, under a new name, add ")
    assert stability(round_, storage=str(tmp_path), gangs=gangs, console=quiet) == record  # done before


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
