"""What `test` says: sentences and numbers of its record."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.command import command_of
from raytune_playbook.procedures.test_set.looks import Look
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord
from raytune_playbook.records.registry import LaunchRecord
from raytune_playbook.records.scores import ScoreRecord

SURPRISE = 3.0
"""Standard errors between validation and test beyond which chance among the test examples is no explanation."""


@dataclass(frozen=True)
class Tested:
    """What the test set has shown.

    Fields:
        looks: at the workload's test set before this one.
        reason: why it was read again.
        score: what came of it; None before.
        folded_round: that trained on the validation examples, too; None where none did.
        num_steps, why_steps: of that training.
    """

    launch: LaunchRecord
    looks: tuple[Look, ...]
    reason: str | None
    score: ScoreRecord | None = None
    folded_round: str | None = None
    num_steps: int | None = None
    why_steps: str = ""

    @property
    def value(self) -> float | None:
        """By the objective's metric."""
        return None if self.score is None else self.score.metrics.get(self.launch.objective.metric)

    @property
    def standard_error(self) -> float | None:
        """Of that, over the test examples."""
        return None if self.score is None else self.score.metrics.get(f"standard_error.{self.launch.objective.metric}")


def completed(draft: ProcedureRecord, found: Tested, storage: str) -> ProcedureRecord:
    """The record of a look at the test set."""
    launch, metric = found.launch, found.launch.objective.metric
    error = "" if found.standard_error is None else f" ± {number_text(found.standard_error, 2)}"
    num_examples = 0 if found.score is None else found.score.num_examples
    model = f"launch {launch.number}" + (", trained on the validation examples, too," if found.folded_round else "")
    verdict = f"Test {metric} of {model} is {number_text(found.value)}{error} on {count_text(num_examples)} examples."
    numbers: dict[str, JsonValue] = {
        "launch": launch.number,
        "trial": launch.trial,
        "metric": metric,
        "test": found.value,
        "standard_error": found.standard_error,
        "num_examples": num_examples,
        "validation": None if found.folded_round else launch.best,
        "validation_median": launch.median,
        "num_looks": len(found.looks) + 1,
        "is_folded": found.folded_round is not None,
        "num_steps": found.num_steps or launch.max_train_steps,
    }
    return draft.model_copy(
        update={
            "verdict": verdict,
            "is_good": None if _surprise(found) is None else not _surprise(found),
            "sentences": tuple(_sentences(found)),
            "numbers": numbers,
            "next": tuple(_next(found, storage)),
        }
    )


def _surprise(found: Tested) -> bool | None:
    """Whether the test set says something worse than validation did, beyond chance; None where that is not known."""
    launch = found.launch
    if found.value is None or launch.median is None or not found.standard_error:
        return None
    sign = 1 if launch.objective.goal == "minimize" else -1
    return sign * (found.value - launch.median) > SURPRISE * found.standard_error


def _sentences(found: Tested) -> list[str]:
    launch = found.launch
    said = []
    if launch.objective.split == "validation" and not found.folded_round:
        said.append(
            f"Its validation {launch.objective.metric} was {number_text(launch.best)}, by which the search picked it; "
            f"retrainings had a median of {number_text(launch.median)}."
        )
    match _surprise(found):
        case True:
            said.append(
                f"That is worse than the retrainings' validation median {number_text(launch.median)} by more than "
                f"{SURPRISE:g} standard errors: the test examples differ from the validation examples, or the "
                "validation set was tuned to. Report the test number, and look at how the splits were made."
            )
        case False:
            said.append("That agrees with the validation median within chance among the test examples.")
    if found.folded_round:
        said.append(
            f"The number of steps, {found.num_steps}, was fixed beforehand ({found.why_steps}), and the model is that "
            f"of the last step: {found.folded_round}."
        )
        said.append(
            f"{launch.workload.name} is closed to launches now (rule AD8): without validation examples nothing can be "
            "compared any more."
        )
    if found.looks:
        said.append(
            f"The test set was read {len(found.looks)} time(s) before; the reason this time: {found.reason}. Every "
            "look makes it a little more of a validation set."
        )
    else:
        said.append("The registry records that the test set was read (rule AD6); a second time asks for a reason.")
    return said


def _next(found: Tested, storage: str) -> list[NextCommand]:
    export = command_of("launch", "--list", storage)
    return [NextCommand(sentence="Launched, and tested. The registry of launches:", command=export)]
