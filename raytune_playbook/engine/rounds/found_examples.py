"""A round's examples as far as they can be known before they are read, and before Ray starts."""

from __future__ import annotations

from dataclasses import dataclass

import ray
import ray.exceptions

from raytune_playbook.data.columns import num_examples
from raytune_playbook.data.datasets import Source, Sources, find_sources
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.engine.cluster.ray_internals import automatic_start_off
from raytune_playbook.engine.jobs.preflight import check_batch_sizes, datasets_of, workload_of
from raytune_playbook.errors import SpecError
from raytune_playbook.study.data_split import refuse_data_split
from raytune_playbook.study.round import Round


@dataclass(frozen=True)
class FoundExamples:
    """What a workload's `datasets` returned, and where the examples come from; nothing of it is read."""

    datasets: object
    sources: Sources


def find_before_ray(round_: Round) -> FoundExamples | None:
    """Find a round's examples without Ray; None where `Workload.datasets` makes use of it.

    Raises:
        InputError: as `find_with_ray`.
    """
    with automatic_start_off():
        try:
            found = find_with_ray(round_)
        except SpecError as error:
            if isinstance(error.__cause__, ray.exceptions.RaySystemError) and not ray.is_initialized():
                return None
            raise
    is_of_ray = any(isinstance(source, ray.data.Dataset) for source in found.sources.by_split.values())
    return None if is_of_ray else found  # a Ray Dataset is better made where it will be executed


def find_with_ray(round_: Round) -> FoundExamples:
    """Find a round's examples, and hold the round against them.

    Raises:
        InputError: there are none, they are nothing that can be read, or they don't suit the round.
    """
    workload = workload_of(round_)
    datasets = datasets_of(workload)
    refuse_data_split(round_, datasets)
    sources = find_sources(datasets)
    number = _num_of(sources.by_split.get("train"))
    if number is not None and not workload.preprocesses():  # which may leave some out
        check_batch_sizes(round_, lambda trial: number)
    return FoundExamples(datasets, sources)


def most_training_examples(found: FoundExamples) -> int | None:
    """So many there are at most: of a `Split` all of its source's; None where only reading tells."""
    return _num_of(found.sources.by_split.get("train", found.sources.by_split.get("all")))


def _num_of(source: Source | None) -> int | None:
    """None where only reading tells."""
    if isinstance(source, Listing):
        return source.num_examples
    return num_examples(source) if isinstance(source, dict) and source else None
