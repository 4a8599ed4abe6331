"""The check before trial 0 on real gangs: what it finds, in which words, and what it does not stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from raytune_playbook import (
    Budget,
    Categorical,
    Float,
    Gangs,
    InputError,
    InputPipeline,
    Objective,
    Round,
    RunError,
    Split,
    run,
)
from raytune_playbook.engine.rounds.run import check
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.reading import read_round
from raytune_playbook.search.suggest import suggest
from raytune_playbook.train.workload import Workload
from tests.regression import RESOURCES, Regression


def round_of(workload: Workload, *, metric: str = "loss", steps: int = 6, **fields: object) -> Round:
    return Round(
        name="checked",
        goal="What does the check say?",
        workload=workload,
        nuisance={"learning_rate": Float(0.01, 0.1, scale="log")},
        objective=Objective(metric=metric, **fields),
        budget=Budget(num_trials=2, max_train_steps=steps, evaluation_interval_steps=2),
        resources=RESOURCES,
    )


@pytest.fixture
def said(gangs, tmp_path, quiet) -> Callable[[Round], str]:
    """Runs a round, and gives what the terminal showed; or the error."""

    def of(round_: Round) -> str:
        run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
        return quiet.file.getvalue()

    return of


class Late(Regression):
    """Evaluations report a score once the model was trained, and a further one after so many steps."""

    def __init__(self, further: int = 4) -> None:
        super().__init__()
        self.further = further

    def model(self, values):
        model = super().model(values)
        model.register_buffer("steps", torch.zeros(()))  # kept by checkpoints
        return model

    def loss(self, model, batch, values):
        model.steps += model.training
        return super().loss(model, batch, values)

    def metrics(self, model, batch, values):
        steps, found = model.steps.expand(len(batch["input"])), super().metrics(model, batch, values)
        found |= {"score": steps} if steps[0] > 0 else {}
        return found | ({"further": -steps} if steps[0] >= self.further else {})


def test_late_metrics_are_kept_everywhere(said, tmp_path):
    assert "Check: 3 steps and an evaluation work" in said(round_of(Late(), metric="score"))
    store = RoundStore(Storage(str(tmp_path)), "checked")
    for trial in read_round(store).trials:
        assert (trial.outcome, trial.objective, trial.best_step) == ("completed", 2.0, 2)
        sealed = store.measurements(*trial.id).to_pylist()
        validation = [row for row in sealed if row["split"] == "validation"]
        assert [row["score"] for row in validation] == [None, 2.0, 4.0, 6.0]
        assert [row["further"] for row in validation] == [None, None, -4.0, -6.0]
        events = next((tmp_path / "checked" / "all" / "tensorboard" / trial.key).iterdir()).read_bytes()
        assert b"validation/further" in events
    page = (tmp_path / "checked" / "report" / "index.html").read_text()
    assert '"text":"further"' in page  # the axis of its curves
    judged = read_round(store, objective=Objective(metric="further"))
    assert [trial.objective for trial in judged.trials] == [-6.0, -6.0]
    with pytest.raises(InputError, match="report further, loss, score and no 'futher'; did you mean 'further'"):
        read_round(store, objective=Objective(metric="futher"))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", "evaluations of 'validation' must report it, but they report loss, score and no 'accuracy'"),
        ("scores", "they report loss, score and no 'scores'; did you mean 'score'?"),
        ("further", "and no 'further'; name one of them, or have .* as NaN while it has no value yet"),
    ],
)
def test_an_objective_that_evaluations_do_not_report_is_refused_before_trial_0(said, tmp_path, metric, words):
    with pytest.raises(InputError, match=words):
        said(round_of(Late(), metric=metric))
    assert not (tmp_path / "checked" / "all").exists()


def test_a_hyperparameter_that_varies_and_that_nothing_reads_is_refused_before_trial_0(said, gangs, quiet, tmp_path):
    sizes = round_of(Regression()).model_copy(update={"scientific": {"batch_size": Categorical([16, 32])}})
    check(sizes, gangs=gangs, console=quiet)  # the batches are made of it, before the loop begins
    unread = {"learning_rate": Float(0.01, 0.1, scale="log"), "beta2": Float(0.9, 0.99)}
    words = "^Round.nuisance: a hyperparameter that varies must be read .* but 'beta2' was read by neither in any of 2"
    with pytest.raises(InputError, match=words):
        said(round_of(Regression()).model_copy(update={"nuisance": unread}))
    assert not (tmp_path / "checked").exists()


class Unlucky(Regression):
    """Infeasible by declaration, and then by its numbers, at the first points."""

    def __init__(self, declared: float, broken: float) -> None:
        super().__init__()
        self._declared, self._nan = declared, broken

    def infeasible(self, values):
        return "out of reach" if values["learning_rate"] == self._declared else None

    def loss(self, model, batch, values):
        losses = super().loss(model, batch, values)
        return losses * torch.nan if self._nan == values["learning_rate"] and model.training else losses

    def metrics(self, model, batch, values):
        return {"loss": self.loss(model, batch, values), "never": torch.full((len(batch["input"]),), torch.nan)}


def test_the_check_says_what_happened(gangs, tmp_path, quiet):
    study = round_of(Regression()).studies[0]
    first, second = (float(suggest(study, index).values["learning_rate"]) for index in range(2))
    declared = "trial all/00000 is infeasible (declared: out of reach)"
    nan = "infeasible (NaN: training loss at step 1)"
    for name, workload, words in [
        (
            "declared",
            Unlucky(first, 0.0),
            f"{declared}; with the values of the next trial 3 steps and an evaluation work",
        ),
        ("nan", Unlucky(0.0, first), f"trial all/00000 is {nan}; with the values of the next trial 3 steps"),
        ("both", Unlucky(first, second), f"{declared}; trial all/00001 is {nan}; no other values were tried"),
    ]:
        run(round_of(workload).model_copy(update={"name": name}), storage=str(tmp_path), gangs=gangs, console=quiet)
        assert f"Check: {words}" in quiet.file.getvalue()
    run(
        round_of(Unlucky(0.0, 0.0), metric="never").model_copy(update={"name": "never"}),
        storage=str(tmp_path),
        gangs=gangs,
        console=quiet,
    )
    assert "Check: 3 steps were trained, but validation never is then nan" in quiet.file.getvalue()
    never = read_round(RoundStore(Storage(str(tmp_path)), "never")).trials
    assert {trial.reason for trial in never} == {"NaN: validation never was never finite"}
    assert "NaN or Inf found" not in quiet.file.getvalue()


class Arms(Regression):
    """What an arm does is its name: it works, raises, is infeasible, or has a loss that rises a thousandfold."""

    def defaults(self):
        return {**super().defaults(), "arm": "works"}

    def infeasible(self, values):
        return "too large" if values.text("arm") == "infeasible" else None

    def loss(self, model, batch, values):
        if values.text("arm") == "raises":
            raise ArithmeticError("not with these")
        losses = super().loss(model, batch, values)
        if values.text("arm") == "rises" and model.training:
            self.num_steps = getattr(self, "num_steps", -1) + 1
            return losses + 1e3 * self.num_steps
        return losses * torch.nan if values.text("arm") == "nan" and model.training else losses


def of_arms(*arms: str) -> Round:
    return Round(
        name="checked",
        goal="What does the check say?",
        workload=Arms(),
        scientific={"arm": Categorical(arms)},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=len(arms), max_train_steps=4, evaluation_interval_steps=2),
        resources=RESOURCES,
    )


def test_each_study_is_tried_out(said, tmp_path):
    with pytest.raises(RunError, match="failed with the values of arm=raises/00000") as caught:
        said(of_arms("works", "infeasible", "raises"))
    assert "ArithmeticError: not with these" in str(caught.value)
    assert not (tmp_path / "checked").exists()


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (("works", "rises"), "Check: 3 steps and an evaluation work in each of the 2 studies"),
        (
            tuple(f"arm{number}" for number in range(12)),
            "Check: 3 steps and an evaluation work in 8 of the 12 studies",
        ),
        (
            ("nan", "infeasible", "works"),
            "Check: trial arm=nan/00000 is infeasible (NaN: training loss at step 1); trial arm=infeasible/00000 is "
            "infeasible (declared: too large); no other values were tried, so it is not known whether the rest works "
            "(arm=nan, arm=infeasible); 3 steps and an evaluation work (arm=works)",
        ),
    ],
)
def test_the_check_says_in_which_studies(gangs, quiet, arms, words):
    check(of_arms(*arms), gangs=gangs, console=quiet)
    assert words in quiet.file.getvalue()


class Watched(Gangs):
    """A session that remembers which gangs there were, and how often each trial was attempted."""

    names: ClassVar[set[str]] = set()
    nums_attempts: ClassVar[list[int]] = []

    def try_out(self, context, spec):
        ended = super().try_out(context, spec)
        self.names.update(gang.name for gang in self.facts())
        self.nums_attempts.append(ended.num_attempts)
        return ended


def test_a_check_of_several_studies_starts_one_gang(cluster, quiet):
    with Watched(RESOURCES, keep_idle_s=0) as session:
        check(of_arms("one", "two", "three"), gangs=session, console=quiet)
    assert (session.names, session.nums_attempts) == ({"gang-1"}, [1, 1, 1])


class Raises(Regression):
    def __init__(self, rank: int | None = None) -> None:
        super().__init__()
        self.rank = rank

    def loss(self, model, batch, values):
        if self.rank in (None, torch.distributed.get_rank()):
            return super().loss(model, {"input": batch["input"][:, :3], "target": batch["target"]}, values)
        return super().loss(model, batch, values)


def test_a_traceback_begins_at_the_users_code_and_stands_once(said):
    with pytest.raises(RunError, match=r"(?s)The check before trial 0 failed.*shapes cannot be multiplied") as caught:
        said(round_of(Raises()))
    text = str(caught.value)
    assert text.count("Traceback (most recent call last)") == 1
    (first, *_) = re.findall(r'File "(.*)", line', text)
    assert Path(first).name in ("test_trial_check.py", "workload.py")
    assert "engine/gang/worker.py" not in text
    assert len(text.splitlines()) < 25


class Dividing(Regression):
    """The same examples with a NaN, from arrays, files or a Split, or no examples."""

    def __init__(self, folder: str, how: str) -> None:
        super().__init__()
        self.folder, self.how = folder, how

    def datasets(self):
        splits = {split: dict(columns) for split, columns in super().datasets().items()}
        splits["train"]["input"] = splits["train"]["input"].copy()
        splits["train"]["input"][17, 2] = np.nan
        if self.how == "arrays":
            return splits
        if self.how == "empty":
            return {**splits, "validation": {name: values[:0] for name, values in splits["validation"].items()}}
        if self.how == "Split":
            return Split(splits["train"], train=0.5, validation=0.5)
        for split, columns in splits.items():
            table = pa.table({"input": list(columns["input"]), "target": columns["target"]})
            pq.write_table(table, f"{self.folder}/{split}.parquet", row_group_size=10)
        return {split: f"{self.folder}/{split}.parquet" for split in splits}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("arrays", r"column 'input' of 'train' holds NaN in row 17, and with that example the loss is not finite"),
        ("Split", r"column 'input' of '(train|validation)' holds NaN in row 17, and"),
        ("files", r"column 'input' of 'train' holds NaN in row 7 of row group 1 of .*train.parquet, and"),
        ("stream", r"column 'input' of 'train' holds NaN in row 7 of row group 1 of .*train.parquet, and"),
        ("empty", r"Examples are needed, but 'validation' has none"),
    ],
)
def test_examples_that_are_none_are_named_before_trial_0(said, tmp_path, how, words):
    round_ = round_of(Dividing(str(tmp_path), how))
    if how == "stream":
        round_ = round_.model_copy(update={"input_pipeline": InputPipeline(mode="streaming", window_examples=96)})
    with pytest.raises(InputError, match=words):
        said(round_)
    assert not (tmp_path / "checked").exists()


class Standardizing(Regression):
    def preprocess(self, columns):
        return {**columns, "input": (columns["input"] - columns["input"].mean(0)) / columns["input"].std(0)}


def test_preprocessing_that_depends_on_the_batch_is_refused(said, tmp_path):
    with pytest.raises(InputError, match="column 'input' of the first 8 examples of rows 0 to 95 of 'train' differs"):
        said(round_of(Standardizing()))
    assert not (tmp_path / "checked").exists()
