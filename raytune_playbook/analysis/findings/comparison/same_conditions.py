"""Were all trials trained by the same code, in the same way? (Rule SD13.)

Values are compared; whatever else differs between their trials is mixed up with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import form_for
from raytune_playbook.records.types import Machine

RULE, QUESTION = "SD13", "Were all trials trained by the same code, in the same way?"


def same_conditions(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the code, the machines and the search of each trial that was completed."""
    completed = evidence.ranked
    if not completed:
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "No trial was completed.")]
    found = [*_code(evidence, completed), *_machines(completed), *_seeds(evidence)]
    if found:
        return found
    if not any(map(_code_of, completed)):
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "By which code trials were trained was not recorded.")]
    return [Finding(RULE, QUESTION, Status.PASSES, "All trials were trained by the same code, in the same way.")]


def _code_of(trial: Trial) -> frozenset[str]:
    """Hashes of the code that trained it, of a resumed trial perhaps several; none where that is not known."""
    return frozenset(attempt.source_hash for attempt in trial.attempts if attempt.source_hash is not None)


def _code(evidence: Evidence, completed: Sequence[Trial]) -> Iterator[Finding]:
    """Other code is mixed up with the values where their best trials do not share theirs."""
    by_code: dict[frozenset[str], list[Trial]] = {}
    for trial in completed:
        if hashes := _code_of(trial):
            by_code.setdefault(hashes, []).append(trial)
    if len(by_code) < 2 and all(len(hashes) == 1 for hashes in by_code):
        return
    usual = max(by_code, key=lambda hashes: len(by_code[hashes]))
    others = [trial for hashes, trials in by_code.items() for trial in trials if hashes != usual] or list(completed)
    of_best = {_code_of(arm.best) for arm in evidence.arms if arm.best}
    yield Finding(
        RULE,
        QUESTION,
        Status.PROBLEM,
        f"{len(others)} of {len(completed)} trials {form_for(len(others), 'was', 'were')} trained by other code than "
        "the rest, or by two versions of it.",
        {"num_others": len(others), "num_completed": len(completed)},
        trials=tuple(trial.id for trial in others),
        withholds=len(of_best) > 1,
        proposal=Proposal("Run the round again under another name, by one version of the code."),
    )


def _machines(completed: Sequence[Trial]) -> Iterator[Finding]:
    kinds: list[tuple[Machine, list[Trial]]] = []
    for trial in completed:
        same = next((trials for machine, trials in kinds if machine.same_bits(trial.machine)), None)
        if same is None:
            kinds.append((trial.machine, [trial]))
        else:
            same.append(trial)
    if len(kinds) < 2:
        return
    kinds.sort(key=lambda kind: -len(kind[1]))
    others = [trial for _, trials in kinds[1:] for trial in trials]
    named = ", ".join(_machine_text(machine) for machine, _ in kinds[:3])
    yield Finding(
        RULE,
        QUESTION,
        Status.LOOK,
        f"{len(others)} of {len(completed)} trials ran on another kind of machine ({named}), so "
        f"{form_for(len(others), 'its', 'their')} numbers differ from the others' by rounding, as if trained again.",
        {"num_others": len(others), "num_kinds": len(kinds)},
        trials=tuple(trial.id for trial in others),
        proposal=Proposal("Repeat the best points on one kind of machine before you trust a small difference."),
    )


def _machine_text(machine: Machine) -> str:
    parts = (machine.device, machine.cpu_capability, f"torch {machine.torch}" if machine.torch else "")
    workers = f"{machine.num_workers} x {machine.threads_per_worker} threads" if machine.num_workers else ""
    return " ".join(part for part in (*parts, workers) if part) or "unknown"


def _seeds(evidence: Evidence) -> Iterator[Finding]:
    if len(seeds := {study.seed for study in evidence.studies}) > 1:
        yield Finding(
            RULE,
            QUESTION,
            Status.LOOK,
            f"The studies have {len(seeds)} different seeds, so their values were tried at other points.",
            {"num_seeds": len(seeds)},
            proposal=Proposal("Give all studies of a round one seed, so that like is compared with like."),
        )
