"""What a page shows beside the insight: read from a round's folder; a round of another tool has none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import pyarrow as pa

from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.procedures import procedure_anchor
from raytune_playbook.report.reading import read_logs, read_measurements, read_profiles


@dataclass(frozen=True)
class Extras:
    """Beside the insight.

    Fields:
        logs: paths of each trial's log files within the round's folder.
        profiles: paths of profiler traces within it.
        notes: that were taken.
        measurements: of the best trial of every scientific value, for the counts of classes and the sample.
        storage: folder or URI in which the round is, for the commands that the page gives; None where it is in none.
        propose: the command that writes the next study's job; None where there is none.
        whole: of a procedure's round, where the page is from this one that says what the procedure came to; None where
            there is none, as before the round of its job has begun.
    """

    logs: Mapping[TrialId, Sequence[str]] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    notes: str = ""
    measurements: Mapping[TrialId, pa.Table] = field(default_factory=dict)
    storage: str | None = None
    propose: str | None = None
    whole: str | None = None


def read_extras(store: RoundStore, insight: Insight) -> Extras:
    """What a round's folder holds beside the insight."""
    reading = insight.reading
    best = [arm.best for arm in reading.arms if arm.best is not None]
    part = reading.record.part_of
    has_whole = part is not None and RoundStore(store.storage, part.round).exists()
    return Extras(
        logs=read_logs(store, reading.studies),
        profiles=read_profiles(store, reading.studies),
        notes=store.notes(),
        measurements=read_measurements(store, best),
        storage=store.storage.uri,
        propose=None if reading.record.job is None else store.command("propose"),
        whole=f"../../{quote(part.round)}/report/index.html#{procedure_anchor(part.procedure)}"
        if part is not None and has_whole
        else None,
    )
