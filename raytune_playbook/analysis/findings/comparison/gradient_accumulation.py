"""Is a larger batch put together from several smaller ones? (Rule BA8.)

The playbook: "Gradient accumulation simulates a batch size larger than the hardware can support and therefore does not
provide any throughput benefits. It should generally be avoided in applied work."
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import usual_name

RULE, QUESTION = "BA8", "Are gradients accumulated?"


def gradient_accumulation(evidence: Evidence) -> Sequence[Finding]:
    """Looks for a hyperparameter that is called so; the training loop here has none."""
    found = {name: value for name, value in _values(evidence) if accumulates(name, value)}
    if not found and not (evidence.is_planned_here or any("accumulat" in name for name, _ in _values(evidence))):
        sentence = "Whether gradients are accumulated was not recorded: no hyperparameter is called so."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    if not found:
        return [Finding(RULE, QUESTION, Status.PASSES, "Gradients of several batches are not accumulated.")]
    name, value = next(iter(found.items()))
    sentence = f"{name} is {value}: gradients of several batches are accumulated, which brings no throughput."
    proposal = Proposal("Set it to 1, and take the batch size that the hardware holds.")
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, proposal=proposal)]


def _values(evidence: Evidence) -> Iterator[tuple[str, Value]]:
    for trial in evidence.first_runs:
        yield from trial.values.items()


def accumulates(name: str, value: Value) -> bool:
    """Whether a hyperparameter with this value puts a batch together from several."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and "accumulat" in usual_name(name) and float(value or 0) > 1
