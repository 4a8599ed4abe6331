"""A short round lengthened on a real cluster, with decays branched off (rules LN4, LN5, LN6, CK2)."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from raytune_playbook import InputError, Round, lengthen, run
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

SHORT, LONG = 8, 24


def measured(store: RoundStore, study: str) -> list[dict[str, object]]:
    table = store.measurements(study, "00000")
    assert table is not None
    names = [name for name in table.column_names if name not in TIME_COLUMNS]
    rows = table.select(names).to_pylist()
    return sorted(rows, key=lambda row: (row["step"], row["split"]))


def test_ln6_a_short_round_is_checked_again_and_its_branches_are_whole_trainings(gangs, make_round, tmp_path):
    console = Console(file=io.StringIO(), width=200, highlight=False)
    round_: Round = make_round("short", arms=2, trials_per_study=3, steps=SHORT)
    round_ = round_.model_copy(update={"fixed": {**round_.fixed, "schedule": "linear", "warmup_steps": 3}})
    given = {"storage": str(tmp_path), "gangs": gangs, "console": console}
    first = run(round_, **given)
    before = [gang.num_starts for gang in gangs.facts()]
    record = lengthen(round_, max_train_steps=LONG, num_trials=4, branch_decays=[6, 12], **given)
    assert [gang.num_starts for gang in gangs.facts()] == before
    assert record.rounds == tuple(
        f"short-lengthen-{what}" for what in ("steps-24", "constant-24", "decays-12", "decays-24")
    )

    # The best two points of each scientific value were trained again, with the decay that they had.
    stores = {name: RoundStore(Storage(str(tmp_path)), name) for name in record.rounds}
    long = trials_of(stores["short-lengthen-steps-24"].trials())
    short = sorted(trials_of(first.trials), key=lambda trial: trial.objective)
    best = [[t for t in short if t.values["batch_norm"] == kind][:2] for kind in ("device", "sync")]
    assert [t.values["x"] for t in long] == [pair[place].values["x"] for place in (0, 1) for pair in best]
    assert {t.values["decay_steps"] for t in long} == {SHORT}
    assert {t.training.num_steps for t in long} == {LONG + 3}
    assert record.numbers["num_points"] == 4
    assert record.numbers["objective_long"] == min(t.objective for t in long)
    assert record.numbers["rank_correlation_low"] <= record.numbers["rank_correlation"]
    kinds = [min(own, key=lambda t: t.objective).values["batch_norm"] for own in (trials_of(first.trials), long)]
    assert record.numbers["is_same_answer"] is (kinds[0] == kinds[1])
    assert record.is_good is None  # three trials of each had shown no difference

    # Every branch went on from a checkpoint, and has every number of a training from the first step on.
    for total, decays in ((12, (6,)), (24, (6, 12))):
        branched = stores[f"short-lengthen-decays-{total}"]
        assert set(branched.round().studies) == {f"decay_steps={decay}" for decay in decays}
        values = trials_of(branched.trials())[0].values
        whole = round_.model_copy(
            update={
                "name": f"whole-{total}",
                "scientific": {},
                "nuisance": {},
                "fixed": {name: values[name] for name in round_.defaults if name != "decay_steps"},
                "budget": round_.budget.model_copy(update={"num_trials": 1, "max_train_steps": total}),
            }
        )
        for trial in trials_of(branched.trials()):
            assert trial.attempts[-1].first_step == (3 + total - trial.values["decay_steps"]) // 2 * 2 > 0
        decay = decays[0]
        alone = run(whole.model_copy(update={"fixed": {**whole.fixed, "decay_steps": decay}}), **given)
        assert measured(alone.store, "all") == measured(branched, f"decay_steps={decay}")
    branches = [t for total in (12, 24) for t in trials_of(stores[f"short-lengthen-decays-{total}"].trials())]
    assert record.numbers["whole_runs_s"] == pytest.approx(sum(trial.training.train_s for trial in branches))
    own = [
        row[round_.objective.metric]
        for trial in branches[1:]
        for row in measured(stores["short-lengthen-decays-24"], trial.study)
        if row["split"] == round_.objective.split and row["step"] > trial.attempts[-1].first_step
    ]
    assert record.numbers["objective_branch"] == min(own)
    page = Path(tmp_path, "short/report/index.html").read_text()
    assert record.verdict in page
    assert "How long should the decay be?" in page

    # The same is not done twice; a longer one begins with the points of the longest before it.
    printed = console.file
    assert isinstance(printed, io.StringIO)
    assert lengthen(round_, max_train_steps=LONG, num_trials=4, branch_decays=[6, 12], **given) == record
    assert "done before" in printed.getvalue()
    longer = lengthen(round_, max_train_steps=2 * LONG, num_trials=2, **given)
    assert longer.numbers["short_steps"] == LONG
    assert longer.numbers["short_round"] == "short-lengthen-steps-24"
    assert {
        t.values["decay_steps"] for t in trials_of(RoundStore(Storage(str(tmp_path)), longer.rounds[0]).trials())
    } == {SHORT}

    with pytest.raises(
        SpecError, match="trains for more steps than the 8 of 'short', but got 8; give more, such as 80"
    ):
        lengthen(round_, max_train_steps=SHORT, **given)


def test_ln4_what_is_no_short_round_is_refused_in_one_sentence(make_round, tmp_path, quiet):
    round_: Round = make_round("never")
    with pytest.raises(StorageError, match="Round 'never' must be in the storage"):
        lengthen(round_, max_train_steps=40, storage=str(tmp_path), console=quiet)
    assert not list(tmp_path.iterdir())
    for wrong in ({"max_train_steps": 4}, {"max_train_steps": 40, "num_trials": 0}):
        with pytest.raises(InputError):
            lengthen(round_, **wrong, storage=str(tmp_path), console=quiet)
