"""Was the number of steps chosen for what is trained now? (Rule LN7.)

The playbook's "Deciding how long to train when training is not compute-bound" picks one ``max_train_steps`` for all
trials, and has it picked again where gradients become noisier (a smaller batch, more dropout) or where the architecture
or the data change, augmentation included. Rounds keep the number that an earlier one had, so this compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from raytune_playbook.analysis.evidence import EarlierRound, Evidence
from raytune_playbook.analysis.findings.curves.looked_at import ends_at_target
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Int, finite_values, is_same
from raytune_playbook.study.hyperparameters.known import TRAINING, purpose_of, usual_name
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.wording import value_text

RULE, QUESTION = "LN7", "Was the number of steps chosen for what is trained now?"

MOST_NAMED = 4
"""Changes that a sentence tells."""

_OFF: frozenset[Value] = frozenset({0, "none"})
"""Values at which what a workload has learned to do since is not done."""

_Tried: TypeAlias = dict[str, tuple[Value, ...]]
"""By hyperparameter, the values that a round's studies have for it; of a range its ends."""


def step_count(evidence: Evidence) -> Sequence[Finding]:
    """Compares the round with the earlier ones of its workload that trained for as many steps, the closest of them."""
    if (finding := ends_at_target(RULE, QUESTION, evidence)) is not None:
        return [finding]
    if not evidence.is_planned_here or evidence.earlier is None:
        sentence = "What was trained for as many steps before, when their number was chosen, was not recorded."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    steps = count_text(evidence.studies[0].max_train_steps)
    if not evidence.earlier:
        sentence = f"No earlier round of this workload trained for {steps} steps, so the number is this round's own."
        return [Finding(RULE, QUESTION, Status.PASSES, sentence)]
    # Of equally close ones the latest.
    compared = [(round_, list(_changes(evidence, round_))) for round_ in reversed(evidence.earlier)]
    closest, changes = min(compared, key=lambda pair: len(pair[1]))
    numbers = {"max_train_steps": evidence.studies[0].max_train_steps, "num_changes": len(changes)}
    if not changes:
        sentence = (
            f"{closest.name} trained the same for {steps} steps: nothing has changed that asks for another number."
        )
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]
    named = "; ".join(changes[:MOST_NAMED])
    if len(changes) > MOST_NAMED:
        named += f"; and {len(changes) - MOST_NAMED} more"
    sentence = (
        f"The {steps} steps are those of {closest.name}, but what they train is not the same: {named}. "
        "Another number may suit it."
    )
    proposal = Proposal(
        "Choose max_train_steps again for what is trained now, generously: raytune-playbook train-steps JOB finds a "
        "candidate; see also at which steps the trials are best, and whether their curves still fall at the end."
    )
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=proposal)]


def _changes(evidence: Evidence, earlier: EarlierRound) -> Iterator[str]:
    """What is other than it was, and may ask for another number of steps: a phrase each."""
    now, before = _tried(evidence.studies), _tried(earlier.studies)
    for name in now:
        if name in before and (phrase := _change(name, before[name], now[name])) is not None:
            yield phrase
        elif name not in before and name not in TRAINING and not _OFF.issuperset(now[name]):
            yield f"{name} is new ({_text(now[name])})"
    one, other = evidence.studies[0].workload.settings, earlier.studies[0].workload.settings
    for setting in sorted(one.keys() | other.keys()):
        if one.get(setting) != other.get(setting):
            yield f"the workload's {setting} is {value_text(one.get(setting))}, not {value_text(other.get(setting))}"
    if evidence.examples is not None and earlier.examples is not None:
        examples, others = (each.num_examples.get("train") for each in (evidence.examples, earlier.examples))
        if examples != others:
            yield f"there are {count_text(examples)} training examples, not {count_text(others)}"


def _tried(studies: Sequence[StudySpec]) -> _Tried:
    found: dict[str, list[Value]] = {}

    def add(study: StudySpec, name: str, values: Sequence[Value]) -> None:
        own = found.setdefault(study.sets.get(name, name), [])
        own += [value for value in values if value is not None and not any(is_same(value, known) for known in own)]

    for study in studies:
        for name, value in study.fixed.items():
            add(study, name, (value,))
        for arm in (study.arm, *study.arms):
            for name, value in arm.items():
                add(study, name, (value,))
        for name, hyperparameter in study.space.items():
            if isinstance(hyperparameter, Float | Int):
                add(study, name, (hyperparameter.low, hyperparameter.high))
            else:
                add(study, name, finite_values(hyperparameter) or ())
        for configuration in study.configurations:
            for name, value in configuration.items():
                add(study, name, (value,))
    return {name: tuple(values) for name, values in found.items() if values}


def _change(name: str, before: Sequence[Value], now: Sequence[Value]) -> str | None:
    """Of one hyperparameter; None where what it has now asks for no other number of steps."""
    usual = usual_name(name)
    is_below, is_above = _is_below(now, before), _is_below(before, now, of=max)
    if usual == "batch_size":
        is_told = is_below
    elif usual == "dropout":
        is_told = is_above
    elif usual == "data_augmentation":
        is_told = True in now and True not in before
    elif usual in TRAINING or purpose_of(usual) == "regularization":
        is_told = False
    elif _numbers(now) and _numbers(before):
        is_told = is_below or is_above
    else:
        is_told = any(not any(is_same(value, known) for known in before) for value in now)
    return f"{name} is {_text(now)} (was {_text(before)})" if is_told else None


def _numbers(values: Sequence[Value]) -> list[float]:
    """The values, where all are numbers; else none."""
    found = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return found if len(found) == len(values) else []


def _is_below(values: Sequence[Value], others: Sequence[Value], of: Callable[[list[float]], float] = min) -> bool:
    """Whether the smallest number, or that ``of`` chooses, is below that of others; False where some are no numbers."""
    numbers, other_numbers = _numbers(values), _numbers(others)
    return bool(numbers) and bool(other_numbers) and of(numbers) < of(other_numbers)


def _text(values: Sequence[Value]) -> str:
    if len(values) > 1 and (numbers := _numbers(values)):
        return f"{value_text(min(numbers))} to {value_text(max(numbers))}"
    return " or ".join(map(value_text, values))
