"""``raytune-playbook preprocess``: preprocess a round's examples once, offline, for all later rounds (rule PI2)."""

from __future__ import annotations

from rich.console import Console

from raytune_playbook.analysis.wording import duration_text
from raytune_playbook.data.examples import save
from raytune_playbook.data.materialized.preprocessed import Manifest, find, folder_of
from raytune_playbook.engine.cluster.loss import driver_gone, told_if_killed
from raytune_playbook.engine.cluster.quiet import driver_log
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.rounds.examples import MIB, names_of, warn_of
from raytune_playbook.engine.rounds.found_examples import find_before_ray
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import DataError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.driving.claims import Subject, claimed
from raytune_playbook.records.storage import Storage
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.datasets import InputPipeline, Split
from raytune_playbook.study.round import Round


def preprocess(
    round: Round, *, storage: str = DEFAULT_STORAGE, address: str | None = None, console: Console | None = None
) -> Manifest:
    """Preprocess a round's examples and save them, unless that was done for the same code and files before.

    Args:
        storage: folder or URI under which they are saved, and found by rounds that are stored there.
        address: of a Ray cluster; None for ``RAY_ADDRESS``, or else this machine.

    Raises:
        InputError: the examples cannot be read or preprocessed, or lie where their contents cannot be told.
    """
    console = console or new_console()
    workload, place = workload_of(round), Storage(storage)
    packed = pack(workload) if workload.preprocesses() else None
    place.check_writable()
    found = find_before_ray(round)
    if found is None:
        raise DataError(
            "`preprocess` saves what comes of files or arrays, whose contents it can tell, but Workload.datasets makes "
            "use of Ray, such as its Datasets; write those with their own write_parquet and return Files."
        )
    names = names_of(workload, found.datasets, found.sources)
    split = found.datasets if isinstance(found.datasets, Split) else None
    with claimed(preprocessing(place, names), say=lambda sentence: console.print(sentence, soft_wrap=True)):
        manifest = find(place, *names)
        if manifest is not None:
            there = place.uri_of(manifest.folder)
            console.print(f"The examples were preprocessed before: {there}", soft_wrap=True)
            return manifest
        gone = driver_gone(f"preprocessed the examples of {round.name!r}", "Preprocess them again.")
        with (
            told_if_killed(gone),
            driver_log(),
            Gangs(round.resources, address=address, keep_idle_s=0) as session,
            session.losses_told(),
            console.status("Preprocessing the examples ..."),
        ):
            how = session.preparation(packed, label=workload.label_column, pipeline=InputPipeline())
            manifest = save(found.sources, how, split=split, storage=place.uri, names=names)
    _say_what_was_saved(console, manifest, place)
    warn_of(console, manifest.overlaps, manifest.skipped)
    return manifest


def preprocessing(place: Storage, names: tuple[str, str]) -> Subject:
    """Preprocessing and saving the examples of one workload and fingerprint."""
    folder = folder_of(*names)
    return Subject(
        place,
        f"{folder}.work",  # what an earlier attempt left in the folder itself is deleted
        rule="Examples are preprocessed by one process at a time",
        doing=f"preprocesses {folder!r}",
        advice="wait for it",
        is_begun=lambda: False,
    )


def _say_what_was_saved(console: Console, manifest: Manifest, place: Storage) -> None:
    numbers = ", ".join(f"{number:,} {split}" for split, number in manifest.num_examples.items())
    size = sum(manifest.num_bytes.values()) / MIB
    took, there = duration_text(round(manifest.seconds)), place.uri_of(manifest.folder)
    console.print(f"Preprocessed {numbers} examples ({size:,.1f} MiB) in {took}: {there}", soft_wrap=True)
