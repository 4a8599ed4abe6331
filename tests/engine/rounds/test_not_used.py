"""Hyperparameters that vary and that nothing reads, in trials that are trained in this process."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from raytune_playbook import Batch, Budget, Categorical, Discrete, Float, Int, Objective, Round, Values
from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.rounds.not_used import MAX_LOOKS, Look, refuse_not_used
from raytune_playbook.errors import SpecError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.trial_run import TrialRun
from tests.regression import Regression
from tests.workers import Notes

RATE = Float(0.01, 0.1, scale="log")


class Mixing(Regression):
    """Reads ``dropout``, and ``alpha`` where it mixes; never ``dropout_rate``."""

    def defaults(self):
        return {**super().defaults(), "dropout_rate": 0.1, "mixes": False, "alpha": 0.2, "kind": 0}

    def infeasible(self, values):
        return "of this kind there is none" if values["kind"] == 40 else None

    def augment(self, batch: Batch, values: Values) -> Batch:
        if values.flag("mixes") or values["kind"] == 17:
            return {**batch, "input": batch["input"] * values.number("alpha")}
        return batch


def round_of(num_trials: int = 8, **fields: object) -> Round:
    return Round(
        name="read",
        goal="What is read?",
        workload=Mixing(),
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=num_trials, max_train_steps=3, evaluation_interval_steps=3),
        **fields,
    )


def trained(spec: TrialSpec) -> tuple[End, Notes]:
    workload, notes = Mixing(), Notes()
    torch.set_num_threads(1)
    data = SharedBatches(TrialExamples(workload.datasets()), spec, BatchShare(16), torch.device("cpu"))
    return train(TrialRun(workload, spec, data, Group(), notes)), notes


@pytest.fixture
def refused() -> Callable[[Round], int]:
    """Looks at the first point of every study, as the check does, and gives how many more had to be looked at."""

    def of(round_: Round) -> int:
        num = 0

        def look_at(spec: TrialSpec) -> AttemptEnd:
            nonlocal num
            num += 1
            end, _ = trained(spec)
            return AttemptEnd(Cause(str(end.outcome)), end)

        firsts = [suggest(study, 0) for study in round_.studies]
        refuse_not_used(round_, [Look(spec, look_at(spec)) for spec in firsts], look_at)
        return num - len(firsts)

    return of


def test_what_nothing_reads_is_refused_with_the_name_that_was_meant_and_changes_no_bit(refused):
    round_ = round_of(nuisance={"learning_rate": RATE, "dropout_rate": Float(0.0, 0.5)})
    words = (
        "Round.nuisance: a hyperparameter that varies must be read by the workload or the training loop, but "
        "'dropout_rate' was read by neither in any of 8 trials of the check, so none of its values would change "
        "anything; did you mean 'dropout'?"
    )
    with pytest.raises(SpecError, match=re.escape(words)):
        refused(round_)
    spec = suggest(round_.studies[0], 0)
    other = spec.model_copy(update={"values": spec.values | {"dropout_rate": 0.4}})
    (_, ours), (_, theirs) = trained(spec), trained(other)
    assert ours.timeless_rows == theirs.timeless_rows


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"fixed": {}},
            "it is only used with batch_norm='ghost' and a model that has batch norm, so choose that, or fix it.",
        ),
        (
            {"name": "beta2"},
            "it is only used with the optimizers adam, nadam, torch_adam, torch_adamw, torch_nadam, so",
        ),
        ({"name": "alpha"}, "so none of its values would change anything; read it in the workload's first steps, or"),
    ],
)
def test_what_to_do_is_said_by_what_it_is(refused, given, words):
    name = given.get("name", "virtual_batch_size")
    space = Int(2, 8) if name == "virtual_batch_size" else Float(0.1, 0.9)
    with pytest.raises(SpecError, match=re.escape(words)):
        refused(round_of(num_trials=2, nuisance={name: space}))


def test_several_are_named_at_once_and_a_scientific_one_by_its_role(refused):
    round_ = round_of(
        num_trials=4, scientific={"averaging_decay": Discrete([0.9, 0.99])}, nuisance={"alpha": Float(0, 1)}
    )
    words = r"^Round.scientific: .* but 'averaging_decay' \(nor 'alpha'\) was read by neither in any of 4 trials"
    with pytest.raises(SpecError, match=words):
        refused(round_)


def test_what_is_read_beside_other_values_is_found_where_those_are(refused):
    mixes = {"mixes": Categorical([False, True]), "alpha": Float(0.1, 0.9)}
    assert refused(round_of(nuisance=mixes)) <= 1
    kinds = {"optimizer": Categorical(["sgd", "momentum", "adam"])}
    tuned = {"learning_rate": RATE, "momentum": Float(0.5, 0.9), "beta1": Float(0.5, 0.9)}
    assert refused(round_of(num_trials=6, scientific=kinds, nuisance=tuned)) == 0
    assert refused(round_of(num_trials=6, nuisance=tuned | kinds)) <= 2


def test_of_many_values_each_is_looked_at_before_one_comes_again(refused):
    """One of 20 kinds of the same joint study reads it, and the first of them does not."""
    kinds = [*range(10), *range(12, 22)]
    round_ = round_of(num_trials=60, scientific={"kind": Discrete(kinds)}, nuisance={"alpha": Float(0.1, 0.9)})
    assert round_.is_joint
    assert 0 < refused(round_) <= MAX_LOOKS


def test_a_qualified_one_is_read_where_the_one_that_it_sets_is(refused):
    kinds = Categorical(["momentum", "adam"])
    nuisance = {
        "momentum.learning_rate": RATE.model_copy(update={"when": {"optimizer": ("momentum",)}}),
        "adam.learning_rate": RATE.model_copy(update={"when": {"optimizer": ("adam",)}}),
    }
    assert refused(round_of(num_trials=4, scientific={"optimizer": kinds}, nuisance=nuisance)) == 0
    for name in ("dropout_rate", "momentum"):  # the latter is read, but not by Adam
        never = {f"adam.{name}": Float(0.1, 0.2, when={"optimizer": "adam"})}
        with pytest.raises(SpecError, match=rf"'adam\.{name}' was read by neither in any of 4 trials"):
            refused(round_of(num_trials=4, scientific={"optimizer": kinds}, nuisance={"learning_rate": RATE} | never))


def test_what_does_not_vary_need_not_be_read_and_what_was_never_trained_is_not_judged(refused):
    assert refused(round_of(nuisance={"learning_rate": RATE, "alpha": Discrete([0.5])})) == 0
    kind = Categorical([40])
    assert refused(round_of(num_trials=2, scientific={"kind": kind}, nuisance={"alpha": Float(0.1, 0.9)})) == 0
