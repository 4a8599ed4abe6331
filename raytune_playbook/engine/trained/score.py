"""``raytune-playbook predict --split``: a kept model scored on all examples of a split, and on record (rule AD6).

"The test set is read only at the end, on request": not while its round runs, and every look stands in the round's
records, on its page and in the list of rounds.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from rich.console import Console

from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES
from raytune_playbook.data.columns import Columns
from raytune_playbook.data.datasets import Sources, find_source, find_sources
from raytune_playbook.data.reading import Divided, padded_batches, read_split
from raytune_playbook.engine.jobs.preflight import datasets_of
from raytune_playbook.engine.trained.load import KeptModel, load_kept
from raytune_playbook.engine.trained.predict import (
    look,
    model_tables,
    recipe_of,
    refuse_other_predictions,
    trained_columns,
    write_tables,
)
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.driving.claims import Claim, claimed, driving
from raytune_playbook.records.scores import TEST, ScoreRecord, write_score
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ExamplesRecord
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.data_split import data_split
from raytune_playbook.study.datasets import SPLITS, Files, Split
from raytune_playbook.train.evaluation import evaluate
from raytune_playbook.train.prediction import BATCH_SIZE, on_device, own_code
from raytune_playbook.train.workload import Workload


def score(
    round: str | RoundStore,
    trial: str,
    split: str = TEST,
    *,
    storage: str = DEFAULT_STORAGE,
    step: int | None = None,
    output: str | None = None,
    workload: Workload | None = None,
    console: Console | None = None,
) -> ScoreRecord:
    """Score a kept model on all examples of one of its round's splits by the workload's metrics, and record it.

    Args:
        round, trial, storage, step, workload: as for `load_model`.
        split: ``test``, ``validation`` or ``train``, in the division that the trial was trained on.
        output: path or URI of a Parquet file for the predictions on them, in their order; None for none.
        console: where to say what there is to wait for.

    Raises:
        InputError: there is no such round, trial, checkpoint or split, the round is running, or its examples are not
            there any more.
    """
    if split not in SPLITS:
        raise SpecError(f"A split is one of {', '.join(SPLITS)}, but got {split!r}; name one of them.")
    store = RoundStore(Storage(storage), round) if isinstance(round, str) else round
    record, kept = store.round(), load_kept(store, trial, step=step, workload=workload)
    if output is not None:
        refuse_other_predictions(output)
    with _not_running(store, console or new_console()) if split == TEST else contextlib.nullcontext():
        return _scored(store, kept, RoundExamples(kept, record.examples), split, output)


def _not_running(store: RoundStore, console: Console) -> AbstractContextManager[Claim]:
    """Within it the round does not run.

    Raises:
        StorageError: it does.
    """
    at_the_end = replace(driving(store), rule="The test set is looked at only at the end (rule AD6)")
    return claimed(at_the_end, say=lambda sentence: console.print(sentence, soft_wrap=True))


def _scored(store: RoundStore, kept: KeptModel, examples: RoundExamples, split: str, output: str | None) -> ScoreRecord:
    found = _evaluated(kept, examples.blocks(split))
    num_examples = int(found.pop(NUM_EXAMPLES))
    examples.require_number(split, num_examples)
    metrics = {name: value if math.isfinite(value) else None for name, value in found.items()}
    scored = look(kept, split, metrics, num_examples, examples.source(split), examples.number)
    write_score(store, scored)
    if output is not None:
        write_tables(output, model_tables(kept, examples.blocks(split), trained_columns(store)))
    return scored


def _evaluated(kept: KeptModel, blocks: Iterator[Columns]) -> dict[str, float]:
    model = kept.model
    first = next(blocks, None)
    if first is None:
        raise DataError("Examples to score are needed, but the split holds none; name another.")
    batches = (on_device(batch, model) for batch in padded_batches(_with_first(first, blocks), BATCH_SIZE))
    with own_code(model, first):
        return evaluate(model, batches, with_errors=True)


def _with_first(first: Columns, blocks: Iterator[Columns]) -> Iterator[Columns]:
    yield first
    yield from blocks


class RoundExamples:
    """The examples of a round's splits, as they are now: where its workload says, or where they lie preprocessed."""

    def __init__(self, kept: KeptModel, recorded: ExamplesRecord | None) -> None:
        self._kept, self._recorded = kept, recorded
        self._preprocessed = None if recorded is None else recorded.preprocessed
        self._datasets: object = None if self._preprocessed else datasets_of(kept.model.workload)
        self.number = data_split(kept.spec.values)

    def blocks(self, split: str) -> Iterator[Columns]:
        """A split's examples, preprocessed."""
        recipe = recipe_of(self._kept, is_preprocessed=self._preprocessed is not None)
        return read_split(self._sources(split), split, recipe, self._divided())

    def source(self, split: str) -> str:
        """How the records call where they come from."""
        names = self._sources(split).names
        return names["all"] if self._divided() else names[split]

    def require_number(self, split: str, found: int) -> None:
        """Check that there are as many as the round had, so far as its record says.

        Raises:
            DataError: there are not.
        """
        there = None if self._recorded is None or self.number else self._recorded.num_examples.get(split)
        if there is not None and there != found:
            raise DataError(
                f"A split must hold the examples that its round had, but {split} holds {found} where there were "
                f"{there}; restore them."
            )

    def _sources(self, split: str) -> Sources:
        if not self._preprocessed:
            return find_sources(self._datasets)
        files = Files(f"{self._preprocessed}/{split}", format="parquet")
        return Sources({split: find_source(files, "", split)}, frozenset(), {split: str(files.uris)})

    def _divided(self) -> Divided | None:
        if not isinstance(self._datasets, Split):
            return None
        grows = self._recorded is None or self._recorded.division != "exact"  # as in records of earlier versions
        return Divided(replace(self._datasets, grows=grows), self.number)
