"""What in a configuration is no part of a simple first one (rules ST3, ST5 and ST6).

The playbook's "Choosing the initial configuration": "Simple means avoiding bells and whistles wherever possible; these
can always be added later. [...] For example, start with a constant learning rate before adding fancy decay schedules."
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import SECONDARY, last_part, purpose_of
from raytune_playbook.study.round import Round
from raytune_playbook.study.wording import value_text

SIMPLE_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "torch_adam", "torch_adamw")
"""SGD with fixed momentum, and Adam with its secondary hyperparameters fixed."""

_OFF: frozenset[Value] = frozenset({0, None, "none"})


def not_simple(round_: Round, values: Mapping[str, Value], *, augments: bool) -> tuple[str, ...]:
    """What is beyond a simple configuration, each with what would be simple.

    Args:
        round_: the job's, whose roles count too.
        values: of all hyperparameters of the initial configuration.
        augments: whether training examples are changed at random.
    """
    return (*_beyond(values), *_augmentation(augments), *_tuned(round_))


def _beyond(values: Mapping[str, Value]) -> Iterator[str]:
    if (optimizer := values.get("optimizer")) not in SIMPLE_OPTIMIZERS:
        yield f"optimizer {optimizer} (first momentum, or adam)"
    if (schedule := values.get("schedule")) != "constant":
        yield f"schedule {schedule} (first constant)"
    if values.get("warmup_steps"):
        yield f"{value_text(values['warmup_steps'])} warmup steps (first none, unless training is unstable without)"
    if values.get("clipping_norm") is not None:
        yield f"gradients clipped at {value_text(values['clipping_norm'])} (first not, unless training is unstable)"
    if (averaging := values.get("averaging")) not in _OFF:
        yield f"averaging of the weights, {averaging} (first none)"
    for name, value in sorted(values.items()):
        if purpose_of(name) == "regularization" and value not in _OFF:
            yield f"{name} {value_text(value)} (first 0)"


def _augmentation(augments: bool) -> Iterator[str]:
    if augments:
        yield "augmented training examples (first as they are)"


def _tuned(round_: Round) -> Iterator[str]:
    secondary = sorted({last_part(name) for name in round_.tuned} & SECONDARY)
    if secondary:
        yield f"{', '.join(secondary)} tuned (first fixed, and the learning rate tuned)"
