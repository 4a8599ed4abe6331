"""A round's examples: where its workload says, or where `raytune-playbook preprocess` left them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from raytune_playbook.analysis.wording import duration_text
from raytune_playbook.data.datasets import Source, Sources
from raytune_playbook.data.examples import Examples, division_name, prepare
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.preprocessed import FOLDER, Manifest, files_of, find
from raytune_playbook.data.splits import example_hashes
from raytune_playbook.engine.jobs.preflight import check_batch_sizes, workload_of
from raytune_playbook.engine.rounds.found_examples import FoundExamples, find_with_ray
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.errors import SpecError
from raytune_playbook.records.scores import TEST, read_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ExamplesRecord
from raytune_playbook.report.formatting import looks_text
from raytune_playbook.report.rules import explained
from raytune_playbook.study.data_split import data_split, refuse_data_split
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.fingerprints import content_hash, examples_fingerprint
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Resources
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.workload import Workload

MIB = 2**20


def examples_of(running: RunningRound, storage: Storage | None, recorded: ExamplesRecord | None) -> Examples:
    """Read a round's examples and say what they are; those that were preprocessed before where there are such.

    Args:
        storage: where preprocessed examples may be; None to look for none.
        recorded: of a round that was begun, which keeps its mode, and how a `Split` divides.

    Raises:
        InputError: they cannot be read, preprocessed or trained on.
    """
    round_, console = running.round, running.console
    workload = workload_of(round_)
    found = running.found or find_with_ray(round_)
    if recorded is not None and isinstance(found.datasets, Split):
        found = replace(found, datasets=_divided_as_before(found.datasets, recorded, console))
    datasets: object = found.datasets
    manifest = _preprocessed(round_, workload, found, storage) if storage is not None else None
    division = division_name(datasets) if isinstance(datasets, Split) else None
    if manifest is not None and storage is not None:
        datasets = files_of(storage, manifest)
    pipeline = round_.input_pipeline
    if recorded is not None:
        window = recorded.window_examples or pipeline.window_examples
        pipeline = pipeline.model_copy(update={"mode": recorded.mode, "window_examples": window})
    packed = running.packed if workload.preprocesses() and manifest is None else None
    with console.status("Reading the examples ..."):
        how = running.session.preparation(packed, label=workload.label_column, pipeline=pipeline)
        examples = prepare(datasets, how, found.sources if manifest is None else None)
    if manifest is not None and storage is not None:
        update = {
            "preprocessed": storage.uri_of(manifest.folder),
            "sources": manifest.sources,
            "skipped": manifest.skipped,
            "overlaps": manifest.overlaps,
            "division": division,
        }
        examples = replace(examples, record=examples.record.model_copy(update=update))
    if running.says_examples:
        _say(console, examples.record, round_.resources)
    if storage is not None and recorded is not None:
        _warn_of_looks(console, RoundStore(storage, round_.name))
    _check_batch_sizes(round_, examples)
    return examples


def _warn_of_looks(console: Console, store: RoundStore) -> None:
    scores = read_scores(store)
    if any(score.split == TEST for score in scores):
        console.print(Text(f"  Warning: {looks_text(scores)}"), soft_wrap=True)


def _divided_as_before(split: Split, recorded: ExamplesRecord, console: Console) -> Split:
    """The same split, dividing as it did when its round began."""
    grows = recorded.division != "exact"  # in records of earlier versions, too
    if grows != split.grows:
        how = "each example's hash alone" if grows else "exact shares"
        console.print(f"  The examples stay divided by {how}, as they were when the round began", soft_wrap=True)
    return replace(split, grows=grows)


def _check_batch_sizes(round_: Round, examples: Examples) -> None:
    """Before a gang starts; of a `Split` each trial may be trained on another part."""
    in_all, by_division = examples.record.num_examples["train"], dict[int, int]()

    def number(trial: TrialSpec) -> int:
        division = data_split(trial.values)
        if division not in by_division:
            rows = examples.rows(division)
            by_division[division] = in_all if rows is None else len(rows["train"])
        return by_division[division]

    check_batch_sizes(round_, number)


def _say(console: Console, record: ExamplesRecord, resources: Resources) -> None:
    numbers = ", ".join(f"{number:,} {split}" for split, number in record.num_examples.items())
    total = sum(record.num_bytes.values()) / MIB
    cpus = f"{resources.pipeline_cpus} CPU(s) kept free for the input pipeline"
    if record.mode == "streaming":
        how = (
            f"streamed in windows of {record.window_examples:,}, at most {(record.stream_bytes or 0) / MIB:,.1f} MiB "
            f"for a gang; {cpus}, {record.pipeline_cpus} for each gang"
        )
    else:
        read = f", read in {duration_text(round(record.read_s))}" if record.read_s >= 1 else ""
        how = f"in memory, {total:,.1f} MiB{read}; {cpus}"
    if record.division:
        how += "; divided in exact shares" if record.division == "exact" else "; divided by each example's hash alone"
    console.print(f"  Examples: {numbers}; {how}", soft_wrap=True)
    if record.preprocessed:
        console.print(f"  They were preprocessed before: {record.preprocessed}", soft_wrap=True)
    if record.overlaps is None:
        console.print("  Whether splits overlap was not looked at: `raytune-playbook preprocess` does", soft_wrap=True)
    warn_of(console, record.overlaps or (), record.skipped)


def warn_of(console: Console, overlaps: Sequence[str], skipped: Sequence[str]) -> None:
    """What may be wrong with examples that were read."""
    for sentence in overlaps:
        console.print(Text(f"  Warning: {explained(f'IN10: {sentence}')}"), soft_wrap=True)
    if skipped:
        console.print(
            Text(f"  Warning: {len(skipped)} part(s) of the examples were left out: {skipped[0]}"), soft_wrap=True
        )


# ---------------------------------------------------------------------- preprocessed before


def _preprocessed(round_: Round, workload: Workload, found: FoundExamples, storage: Storage) -> Manifest | None:
    if FOLDER not in storage.folders():
        return None
    manifest = find(storage, *names_of(workload, found.datasets, found.sources))
    if manifest is not None:
        try:
            refuse_data_split(round_, files_of(storage, manifest))
        except SpecError:  # it asks for another division, and only the first one is saved
            return None
    return manifest


def names_of(workload: Workload, datasets: object, sources: Sources) -> tuple[str, str]:
    """The workload's name, and a fingerprint of its file, all of its attributes and what its sources hold."""
    spec = workload.spec()
    split = None if not isinstance(datasets, Split) else (datasets.fractions, datasets.key, *_exact(datasets))
    # Private attributes too, which `spec` leaves out: its preprocessing may depend on them.
    facts = (spec.name, sorted(vars(workload).items()), spec.source_hash, workload.preprocesses(), split)
    contents = {name: _content(source) for name, source in sources.by_split.items()}
    return spec.name, examples_fingerprint(facts, contents)


def _exact(split: Split) -> tuple[str, ...]:
    return () if split.grows else ("exact",)


def _content(source: Source) -> str:
    if isinstance(source, Listing):
        return source.identity
    # No round finds what a Ray Dataset holds preprocessed, since `preprocess` refuses one.
    return content_hash(example_hashes(source).tobytes()) if isinstance(source, dict) else ""
