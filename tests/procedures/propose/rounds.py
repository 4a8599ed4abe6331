"""Random rounds and random changes to them, all of them valid."""

from __future__ import annotations

import random
from collections.abc import Sequence

from raytune_playbook.analysis.findings.changes import Change, Drop, Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.next_study.next_study import NextStudy, ProposedChange
from raytune_playbook.errors import InputError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int
from raytune_playbook.study.hyperparameters.space import arm_values
from raytune_playbook.study.round import HasHyperparameters, Round
from raytune_playbook.study.settings import Budget, Objective, Resources

WORKLOAD = """
from torch import nn

from raytune_playbook import Workload


class Net(Workload):
    def __init__(self, size=3, name="net", *, rate=0.5, deep=False):
        self.size, self.name, self.rate, self.deep = size, name, rate, deep

    def defaults(self):
        return {"alpha": 0.5, "gamma": 1.0, "layers": 3, "width": 16, "kind": "a", "twice": False, "nothing": None}

    def datasets(self):
        return {}

    def model(self, values):
        return nn.Linear(1, 1)

    def loss(self, model, batch, values):
        return model(batch["x"])[:, 0]
"""

TEXTS = [
    "plain",
    "it's",
    'say "hi"',
    '"said"',
    "both ' and \"",
    "back\\slash",
    "a\nb\tc",
    "naïve ünïcode",
    '"""',
    "x" * 150,
]
LONG = "The learning rate was chosen by a sweep that is described elsewhere, and so it has a reason to be as it is."


def random_round(rng: random.Random, workload: HasHyperparameters) -> Round:
    """One that is valid; of those that are not another is drawn."""
    while True:
        try:
            return _drawn(rng, workload)
        except InputError:
            continue


def _drawn(rng: random.Random, workload: HasHyperparameters) -> Round:
    names = ["alpha", "gamma", "layers", "width", "kind", "learning_rate", "momentum", "weight_decay"]
    rng.shuffle(names)
    scientific: dict[str, Hyperparameter] = {name: _hyperparameter(rng, name) for name in names[: rng.randint(0, 2)]}
    qualified: dict[str, Hyperparameter] = {}
    if rng.random() < 0.4:
        scientific["optimizer"] = Categorical(["adam", "momentum", "sgd"])
        names = [name for name in names if name != "beta1"]
        if "learning_rate" not in scientific:
            names.remove("learning_rate")
            for one in rng.sample(["adam", "momentum", "sgd"], 2):
                qualified[f"{one}.learning_rate"] = Float(
                    1e-3, rng.random() + 0.1, scale="log", when={"optimizer": one}
                )
    others = [name for name in names if name not in scientific]
    num_tuned = rng.randint(0, 4)
    nuisance = {name: _conditioned(rng, _hyperparameter(rng, name), scientific) for name in others[:num_tuned]}
    fields: dict[str, object] = {"nuisance": {**nuisance, **qualified}}
    if rng.random() < 0.2:
        listed = ["alpha", "kind", "width"]
        listed = [name for name in listed if name not in scientific] or ["gamma"]
        points = [{name: _value(rng, _hyperparameter(rng, name)) for name in listed} for _ in range(rng.randint(1, 5))]
        fields = {"configurations": points}
        others, num_tuned = [name for name in others if name not in listed], 0
    elif rng.random() < 0.3:
        fields["search"] = rng.choice(["random", "grid"])
    fixed = {name: _value(rng, _hyperparameter(rng, name)) for name in others[num_tuned : num_tuned + 2]}
    interval = rng.randint(1, 50)
    budget = {
        "num_trials": rng.randint(1, 60),
        "max_train_steps": interval * rng.randint(1, 9),
        "evaluation_interval_steps": interval,
        "wall_clock_s": rng.choice([None, 1800.5]),
        "num_best_checkpoints": rng.choice([1, 3]),
    }
    resources = Resources(
        num_workers=rng.randint(1, 3),
        cpus_per_worker=rng.choice([0.5, 1.0]),
        node_labels=rng.choice([{}, {"zone": "a", "kind's": "b"}]),
        fresh_workers=rng.random() < 0.2,
    )
    return Round(
        name=rng.choice(["digits", "digits.v1-b", "2nd"]),
        goal=rng.choice([*TEXTS, LONG + LONG]),
        workload=workload,
        scientific=scientific,
        fixed=fixed,
        reasons={name: rng.choice([*TEXTS, LONG]) for name in others[:1]},
        objective=Objective(metric=rng.choice(["error", "loss"]), over=rng.choice(["best", "last"])),
        budget=Budget(**budget),
        resources=resources,
        seed=rng.choice([0, 2**63]),
        notes=rng.choice(["", "two\nlines", LONG + LONG]),
        **fields,
    )


def _hyperparameter(rng: random.Random, name: str) -> Hyperparameter:
    if name == "kind":
        return Categorical(rng.sample(["a", "b", "c", True, None, 4], rng.randint(2, 4)))
    if name in ("layers", "width"):
        low = rng.randint(1, 9)
        kinds = [Int(low, low + rng.randint(1, 20), scale=rng.choice(["linear", "log"])), Discrete([low, low + 2.5])]
        return rng.choice([*kinds, Int(1, 2000)])
    low = rng.choice([1e-5, 0.1, rng.random() / 2, 1 / 3])
    high = low + rng.random() / 3 + 1e-3
    return Float(low, high, scale=rng.choice(["linear", "log", "log_one_minus"]))


def _conditioned(
    rng: random.Random, hyperparameter: Hyperparameter, scientific: dict[str, Hyperparameter]
) -> Hyperparameter:
    listed = [name for name, other in scientific.items() if arm_values(other) is not None]
    if not listed or rng.random() < 0.6:
        return hyperparameter
    name = rng.choice(listed)
    values = arm_values(scientific[name]) or ()
    when = {name: rng.sample(values, rng.randint(1, min(2, len(values))))}
    return hyperparameter.model_copy(update={"when": when})


def _value(rng: random.Random, hyperparameter: Hyperparameter) -> Value:
    return hyperparameter.from_unit(rng.random())


def random_changes(rng: random.Random, round_: Round) -> list[Change]:
    """Changes of different hyperparameters, of its trials and of its steps."""
    found: list[Change] = []
    space = {**round_.tuned, **round_.scientific}
    for name in rng.sample(sorted(space), rng.randint(0, len(space))):
        values = arm_values(space[name]) if name in round_.scientific else None
        draw = rng.random()
        if values is not None and len(values) > 1 and draw < 0.4:
            found.append(Drop(name, tuple(rng.sample(values, rng.randint(1, len(values) - 1)))))
        elif draw < 0.7:
            found.append(Fix(name, rng.choice(values) if values else _value(rng, space[name])))
        elif name in round_.nuisance:
            found.append(SearchOver(name, _hyperparameter(rng, name.rsplit(".", 1)[-1])))
    fixed = [SearchOver("beta1", Float(0.8, 0.99)), SearchOver("twice", Categorical([False, True]))]
    found += [change for change in fixed if rng.random() < 0.3]
    if rng.random() < 0.3:
        found.append(NumTrials(rng.randint(20, 40)))
    if rng.random() < 0.3:
        found.append(TrainSteps(round_.budget.evaluation_interval_steps * rng.randint(1, 20)))
    rng.shuffle(found)
    return found


def next_study(changes: Sequence[Change]) -> NextStudy:
    """A next study that consists of these changes."""
    asked = Finding("IN1", "Is it so?", Status.LOOK, "It was seen.", proposal=Proposal("Do it.", tuple(changes)))
    return NextStudy(
        tuple(ProposedChange(change, "Do it.", "Do it: because (IN1).", (asked,)) for change in changes), ()
    )
