"""Remedies in the playbook's order, what was found of each, and what to change in the job (rules UN5, UN8 and UN9)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.stability.judging import Instability, largest_stable
from raytune_playbook.procedures.stability.mends import Mend, longer_training
from raytune_playbook.procedures.stability.study import Study
from raytune_playbook.records.procedures import NextCommand, ShownTable
from raytune_playbook.study.hyperparameters.known import ADAMS

_BRANCHES = ("normalization", "residual_order", "zero_residual")
"""What bundled workloads call their choices of rule UN9."""


def remedy_text(mend: Mend) -> str:
    """A remedy with its value: ``a warmup of 30 steps``."""
    if mend.name == "warmup_steps":
        return f"a warmup of {count_text(int(mend.value))} steps"
    return f"clipping at {number_text(mend.value, 3)}"


def longer_sentence(study: Study, mend: Mend) -> str | None:
    """Whether the warmup asks for longer training (rule UN5)."""
    steps, max_train_steps = int(mend.value), study.baseline.max_train_steps
    longer = longer_training(steps, max_train_steps)
    if longer is None:
        return None
    return (
        f"That warmup is {steps / max_train_steps:.0%} of max_train_steps, more than 5%: if it has to be that long, "
        f"raise max_train_steps to {count_text(longer)}."
    )


def remedies_table(study: Study) -> ShownTable:
    """All remedies in the playbook's order (rule UN8)."""
    rows = [
        ("warmup", "best for early instability", _tried(study, "warmup_steps")),
        ("gradient clipping", "for early and mid-training instability", _tried(study, "clipping_norm")),
        ("another optimizer", "Adam takes some of what momentum does not", _optimizer(study)),
        ("residual branches", "x + Norm(f(x)), beginning at zero", _branches(study)),
        ("a lower learning rate", "the last resort", f"stable up to {number_text(study.largest_stable, 3)}"),
    ]
    names = {"warmup_steps": 0, "clipping_norm": 1}
    leading = (names[study.remedy.name],) if study.remedy is not None else ()
    columns = ("remedy", "what for", "here")
    return ShownTable(title="Remedies, in the playbook's order", columns=columns, rows=tuple(rows), leading=leading)


def then(study: Study, job: str) -> Iterator[NextCommand]:
    """What to do next.

    Args:
        job: the job file's path.
    """
    run = shlex.join(["raytune-playbook", "run", job])
    if not study.is_limiting:
        yield NextCommand(sentence="Nothing to mend: go on with the questions that the round has left open.")
        return
    remedy = study.remedy
    if remedy is None:
        sentence = (
            f"Try what is next in the playbook's order, one thing at a time: {'; '.join(_untried(study))}; write it "
            f"into the job under a new name. The last resort is a learning rate of at most "
            f"{number_text(study.largest_stable, 3)}."
        )
        yield NextCommand(sentence=sentence, command=run)
        return
    value = int(remedy.value) if remedy.name == "warmup_steps" else remedy.value
    low, high = study.best_rate / 2, largest_stable(remedy.sweep)
    sentence = (
        f"In the job, under a new name, add {remedy.name!r}: {value!r} to fixed and search learning_rate from "
        f"{low:.2g} to {number_text(high, 3)}, up to which it is stable now; then run it."
    )
    yield NextCommand(sentence=sentence, command=run)
    if study.kind is Instability.MID and remedy.name == "warmup_steps":
        yield NextCommand(
            sentence="The instability is in the middle of training, where clipping is the usual remedy: watch it there."
        )


def _tried(study: Study, name: str) -> str:
    mend = next((each for each in study.mends if each.name == name), None)
    if mend is None:
        return "tried, none is stable" if name == "warmup_steps" and study.warmups else "not tried"
    new = largest_stable(mend.sweep)
    reach = "stable at none of the rates" if new is None else f"stable up to {new:g}"
    clipped = "; clips most updates" if mend.is_lower_rate else ""
    return f"{remedy_text(mend)}: {reach}{clipped}"


def _untried(study: Study) -> Iterator[str]:
    yield _optimizer(study)
    yield _branches(study)


def _optimizer(study: Study) -> str:
    optimizer = str(study.baseline.values.get("optimizer"))
    other = "nesterov" if optimizer in ADAMS else "adam"
    return f"not tried: optimizer={other!r} instead of {optimizer!r}, with a learning rate of its own"


def _branches(study: Study) -> str:
    """What of the model's choices is not as rule UN9 advises."""
    values = study.baseline.values
    if not any(name in values for name in _BRANCHES):
        return "not tried: residual connections, normalization last before the sum"
    advised: list[str] = []
    if values.get("normalization") == "none":
        advised.append("normalization other than 'none'")
    if values.get("residual_order") not in (None, "norm_last"):
        advised.append("residual_order='norm_last'")
    if values.get("zero_residual") is False:
        advised.append("zero_residual=True")
    return f"not tried: {', '.join(advised)}" if advised else "as advised already"
