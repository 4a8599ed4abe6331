"""What kept models scored on whole splits after training, above all on the test set: each look is on record (AD6).

``<round>/scores/<time>-<split>-<unique>.json``, one file per look; none is ever rewritten.
"""

from __future__ import annotations

import json
import time
import uuid

from raytune_playbook.errors import InputError, StorageError
from raytune_playbook.records.storage import first_line
from raytune_playbook.records.store import Readable, RoundStore
from raytune_playbook.study.frozen import FrozenSpec

FOLDER = "scores"

TEST = "test"
"""The split that is looked at only at the end, on request."""


class ScoreRecord(FrozenSpec):
    """One look at a split.

    Fields:
        study, trial: whose model it was; the trial's key within its study.
        step: of the checkpoint.
        split: ``train``, ``validation`` or ``test``.
        metrics: the workload's, with ``standard_error.<metric>`` of each mean; None where one is not finite, and no
            metrics at all where the model's predictions on the examples were written, but not scored.
        num_examples: all of the split.
        source: where they came from, and which division of them it was where a `Split` divides them.
        scored_at: UTC, ISO 8601.
    """

    study: str
    trial: str
    step: int
    split: str
    metrics: dict[str, float | None]
    num_examples: int
    source: str
    data_split: int = 0
    scored_at: str


def now() -> str:
    """The time as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_score(store: RoundStore, score: ScoreRecord) -> None:
    """Add a look to a round's records."""
    name = f"{score.scored_at.replace(':', '')}-{score.split}-{uuid.uuid4().hex[:8]}.json"
    content = json.dumps(score.model_dump(mode="json"), indent=2) + "\n"
    store.storage.write(f"{store.name}/{FOLDER}/{name}", content.encode())


def read_scores(store: RoundStore) -> list[ScoreRecord]:
    """All looks of a round, the earliest first.

    Raises:
        StorageError: a record is broken.
    """
    readable = readable_scores(store)
    if readable.broken:
        raise StorageError(readable.broken[0])
    return readable.found


def readable_scores(store: RoundStore) -> Readable[list[ScoreRecord]]:
    """The looks of a round that can be read, the earliest first."""
    found, broken = [], []
    for file in store.storage.files(f"{store.name}/{FOLDER}"):
        path = f"{store.name}/{FOLDER}/{file}"
        content = store.storage.read(path)
        if not file.endswith(".json") or content is None:
            continue
        try:
            found.append(ScoreRecord.from_json(content))
        except InputError as error:
            broken.append(
                f"{path} in {store.storage.uri!r} must hold a score, but does not ({first_line(error)}); restore it."
            )
    return Readable(found, tuple(broken))
