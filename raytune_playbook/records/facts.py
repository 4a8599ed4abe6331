"""The facts that a measurement is bound to: what was found holds while they stay as they are (rules BA9, AD1)."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.records.types import Machine
from raytune_playbook.study.hyperparameters.known import TRAINING, last_part, purpose_of
from raytune_playbook.study.settings import Resources
from raytune_playbook.study.study import StudySpec

MODEL, CODE, OPTIMIZER, WORKERS, HARDWARE, NUM_STEPS = (
    "model", "training code", "optimizer", "workers", "hardware", "number of steps",
)  # fmt: skip

SOURCE = "code"
"""The workload's whole file, which records of older versions are bound to in place of what of it trains."""

BATCH_SIZE, DROPOUT, AUGMENTATION = "batch size", "dropout", "data augmentation"
"""What the noise of gradients depends on, and with it how many steps training takes (rule LN7)."""


def facts_of(studies: Sequence[StudySpec], resources: Resources, machine: Machine | None = None) -> dict[str, str]:
    """What is known of a round, by what it is a fact of.

    Args:
        studies: of the round.
        resources: of each gang.
        machine: that its trials ran on; None where none has run.

    Returns:
        The model (its workload with settings and fixed values of its own), hashes of its code, its optimizers, the
        workers of a gang, the number of steps, what makes gradients noisy and, where it is known, the hardware.
    """
    study = studies[0]
    settled = {
        name: value
        for name, value in study.fixed.items()
        if name not in TRAINING and purpose_of(name) != "regularization" and all(name in s.fixed for s in studies)
    }
    named = ", ".join(f"{name}={value}" for name, value in sorted({**study.workload.settings, **settled}.items()))
    optimizers = sorted({str(value) for each in studies for value in _values(each, "optimizer")})
    facts = {
        MODEL: f"{study.workload.name}({named})",
        SOURCE: study.workload.source_hash,
        OPTIMIZER: " or ".join(optimizers),
        WORKERS: _workers(resources),
        NUM_STEPS: str(study.max_train_steps),
        **_noise(studies),
    }
    if study.workload.code_hash:
        facts[CODE] = study.workload.code_hash
    if machine is not None and machine.torch:
        facts[HARDWARE] = f"{machine.device}, {machine.cpu_capability}"
    return facts


def _values(study: StudySpec, name: str) -> list[object]:
    return [point[name] for point in (study.fixed, study.arm, *study.arms, *study.configurations) if name in point]


def _noise(studies: Sequence[StudySpec]) -> dict[str, str]:
    """The batch sizes, whether examples are augmented and, of a workload that has dropout, the most of it."""
    facts = {}
    if sizes := {value for each in studies for value in _values(each, "batch_size")}:
        facts[BATCH_SIZE] = " or ".join(sorted(map(str, sizes)))
    augmented = {value is not False for each in studies for value in _values(each, "data_augmentation")} or {True}
    facts[AUGMENTATION] = "on" if True in augmented else "off"
    dropout = [
        float(value)
        for each in studies
        for name in (*each.fixed, *each.arm, *each.space, *(name for point in each.configurations for name in point))
        if last_part(name) == "dropout"
        for value in (*_values(each, name), getattr(each.space.get(name), "high", None))
        if isinstance(value, int | float)
    ]
    return facts | ({DROPOUT: f"{max(dropout):g} at most"} if dropout else {})


def _workers(resources: Resources) -> str:
    each = [f"{resources.cpus_per_worker:g} CPUs"]
    if resources.gpus_per_worker:
        each.append(f"{resources.gpus_per_worker:g} GPUs")
    if resources.accelerator_type:
        each.append(resources.accelerator_type)
    if resources.memory_per_worker_gib:
        each.append(f"{resources.memory_per_worker_gib:g} GiB")
    return f"{resources.num_workers} of {', '.join(each)}"
