"""A round's trials as frozen rows, which the rest of the analysis works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from raytune_playbook.analysis.wording import count_text, duration_text, number_text
from raytune_playbook.records.columns import VALUE_PREFIX, training_of
from raytune_playbook.records.types import Attempt, Machine, Outcome, Training
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.shown import Shown, facts_table
from raytune_playbook.study.trial import trial_key
from raytune_playbook.study.wording import values_text

if TYPE_CHECKING:
    from rich.console import RenderableType

TrialId: TypeAlias = tuple[str, str]
"""A trial's study and key: what names it within its round."""


@dataclass(frozen=True, repr=False)
class Trial(Shown):
    """One row of a trials table; see `raytune_playbook.records.types.TrialRecord` for the fields.

    ``objective`` and ``best_step`` are those of whichever objective the trials are judged by, which
    `raytune_playbook.analysis.judging.rejudging.rejudged` can change.
    """

    study: str
    index: int
    repeat: int = 0
    values: Mapping[str, Value] = field(default_factory=dict)
    outcome: Outcome | None = None
    reason: str | None = None
    objective: float | None = None
    best_step: int | None = None
    training: Training | None = None
    checkpoint_bytes: int | None = None
    checkpoints_deleted: bool = False
    attempts: tuple[Attempt, ...] = ()
    machine: Machine = field(default_factory=Machine)

    def __str__(self) -> str:
        """How it ended, and its values on a line of their own."""
        return f"{self.text}: {self._ended}\n{values_text(self.values)}"

    def __repr__(self) -> str:
        return f"<Trial {self.text}: {self._ended}>"

    def __rich__(self) -> RenderableType:
        training, machine = self.training, self.machine
        steps = (
            "" if training is None else f"{count_text(training.num_steps)} steps in {duration_text(training.train_s)}"
        )
        hosts = ", ".join(dict.fromkeys(machine.hosts))
        facts = {
            "values": values_text(self.values),
            "training": steps,
            "machine": f"{machine.device} of {hosts}" if hosts else machine.device,
            "traceback": (self.last_traceback or "").rstrip(),
        }
        return facts_table(f"{self.text}: {self._ended}", facts)

    @property
    def _ended(self) -> str:
        ended = "has not ended" if self.outcome is None else str(self.outcome)
        if self.objective is not None:
            at_step = "" if self.best_step is None else f" at step {count_text(self.best_step)}"
            return f"{ended} with {number_text(self.objective)}{at_step}"
        return ended if self.reason is None else f"{ended} ({self.reason})"

    @property
    def key(self) -> str:
        """The trial's name within its study, as in `TrialSpec.key`."""
        return trial_key(self.index, self.repeat)

    @property
    def id(self) -> TrialId:
        """The trial's name within its round."""
        return self.study, self.key

    @property
    def text(self) -> str:
        """The same as commands take it, and as it is shown: ``STUDY/INDEX``."""
        return f"{self.study}/{self.key}"

    @property
    def is_stopped_early(self) -> bool:
        """Whether it counts as completed though its training was stopped before its end (rule CK4): it has a reason."""
        return self.outcome == Outcome.COMPLETED and self.reason is not None

    @property
    def last_traceback(self) -> str | None:
        """The newest traceback of a trial that failed, or was tried more than once."""
        return next((attempt.traceback for attempt in reversed(self.attempts) if attempt.traceback), None)


def trials_of(table: pa.Table) -> tuple[Trial, ...]:
    """The rows of a trials table of shape (num_trials, num_columns), in its order.

    Columns that an older version did not write are as in a trial of which they are not known.
    """
    names = {name: name.removeprefix(VALUE_PREFIX) for name in table.column_names if name.startswith(VALUE_PREFIX)}
    made = ("values", "outcome", "training", "checkpoints_deleted", "attempts", "machine")
    plain = [column.name for column in fields(Trial) if column.name not in made]
    return tuple(
        Trial(
            **{name: row.get(name) for name in plain},
            values={short: row[name] for name, short in names.items()},
            outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
            training=training_of(row),
            checkpoints_deleted=bool(row.get("checkpoints_deleted")),
            attempts=tuple(Attempt(**attempt) for attempt in row["attempts"] or ()),
            machine=_machine(row["machine"]),
        )
        for row in table.to_pylist()
    )


def _machine(row: Mapping[str, Any]) -> Machine:
    lists = {name: tuple(row.get(name) or ()) for name in ("hosts", "cores")}
    return Machine(**(dict(row) | lists))
