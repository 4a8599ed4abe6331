"""Reading and preprocessing parts with Ray Data, in parallel tasks whose blocks come in the order of the parts.

Runs in actors of ours, so that Ray Data's settings, which belong to a process, stay out of the user's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import ray
import ray.exceptions
from ray.data import DataContext, Datasource, ExecutionResources, ReadTask
from ray.data.block import Block, BlockAccessor, BlockMetadata

from raytune_playbook.data.actors import as_playbook_error
from raytune_playbook.data.columns import Columns, as_column, from_arrow
from raytune_playbook.data.decode import Part, Recipe, Report, read_and_decode
from raytune_playbook.errors import RunError

NO_CPU_S = 30.0
"""A pipeline for which no CPU is free for this long ends with a sentence."""


@dataclass(frozen=True)
class BlockRef:
    """A block of examples in the object store."""

    ref: ray.ObjectRef[Block]
    num_examples: int
    num_bytes: int

    def columns(self) -> Columns:
        """Its columns, where it can without a copy."""
        columns = BlockAccessor.for_block(ray.get(self.ref)).to_numpy()
        return columns if isinstance(columns, dict) else {"": columns}

    def read(self, where: str) -> Columns:
        """Its columns as `from_arrow` reads them; what is Ray's own, such as tensors of several shapes, as Ray does.

        Raises:
            DataError: a value is missing.
        """
        table = BlockAccessor.for_block(ray.get(self.ref)).to_arrow()
        rays = [field.name for field in table.schema if _is_rays_own(field.type)]
        found = dict(from_arrow(table.drop_columns(rays), where))
        found |= {name: as_column(BlockAccessor.for_block(table).to_numpy(name)) for name in rays}
        return {name: found[name] for name in table.column_names}


class _Tasks(Datasource):
    """Ray Data's view of the tasks."""

    def __init__(self, tasks: list[list[Part]], recipe: Recipe, report: Report | None, *, is_remote: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray's own has no annotations
        self._tasks, self._recipe, self._report, self._is_remote = tasks, recipe, report, is_remote

    def get_name(self) -> str:
        return "Examples"

    def estimate_inmemory_data_size(self) -> int | None:
        return sum(part.num_bytes for task in self._tasks for part in task) or None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        return [self._task(parts) for parts in self._tasks]

    def _task(self, parts: list[Part]) -> ReadTask:
        recipe, report, is_remote = self._recipe, self._report, self._is_remote

        def read() -> list[Block]:
            columns = read_and_decode(parts, recipe, report, is_remote=is_remote)
            return [] if columns is None else [BlockAccessor.batch_to_block(columns)]

        numbers = [part.num_examples for part in parts]
        number = None if None in numbers else sum(each or 0 for each in numbers)
        size = sum(part.num_bytes for part in parts)
        return ReadTask(read, BlockMetadata(number, size, None, None))


def _is_rays_own(declared: pa.DataType) -> bool:
    """Whether a column's values cannot be told from what Arrow knows of them."""
    return isinstance(declared, pa.BaseExtensionType) and (
        pa.types.is_struct(declared.storage_type) or pa.types.is_large_binary(declared.storage_type)
    )


def read_blocks(
    tasks: list[list[Part]], recipe: Recipe, report: Report | None, *, is_remote: bool
) -> Iterator[BlockRef]:
    """The blocks of examples that tasks make, in the order of the parts.

    Raises:
        DataError: of the first part that cannot be read or decoded.
    """
    if not tasks:
        return
    context = quiet_context()
    context.execution_options.resource_limits = ExecutionResources(cpu=recipe.num_cpus)
    reading = _Tasks(tasks, recipe, report, is_remote=is_remote)
    dataset = ray.data.read_datasource(reading, override_num_blocks=len(tasks))
    try:
        yield from _blocks_of(dataset)
    except ray.exceptions.RayError as error:
        raise as_playbook_error(error) from None


def quiet_context() -> DataContext:
    """Ray Data's settings in this process: in order, and quiet."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    return context


def dataset_blocks(dataset: ray.data.Dataset) -> Sequence[BlockRef]:
    """Execute a Ray Dataset."""
    options, before = dataset.context.execution_options, dataset.context.enable_progress_bars
    in_order = options.preserve_order
    options.preserve_order, dataset.context.enable_progress_bars = True, False
    try:
        return list(_blocks_of(dataset))
    finally:  # the settings may be the user's
        options.preserve_order, dataset.context.enable_progress_bars = in_order, before


def _blocks_of(dataset: ray.data.Dataset) -> Iterator[BlockRef]:
    for bundle in dataset.iter_internal_ref_bundles():
        for ref, metadata in zip(bundle.block_refs, bundle.metadata, strict=True):
            yield BlockRef(ref, metadata.num_rows or 0, metadata.size_bytes or 0)


def require_cpu(num_cpus: int, timeout_s: float = NO_CPU_S) -> None:
    """Wait until a task of the pipeline's can run.

    Raises:
        RunError: none could for ``timeout_s``.
    """
    probe = ray.remote(num_cpus=1, max_retries=0)(_nothing).remote()
    ready, _ = ray.wait([probe], timeout=timeout_s)
    if ready:
        return
    ray.cancel(probe, force=True)
    free, has = (f"{each.get('CPU', 0.0):g}" for each in (ray.available_resources(), ray.cluster_resources()))
    raise RunError(
        f"The input pipeline needs {num_cpus} whole CPU(s) beside the gangs (Resources.pipeline_cpus), but none was "
        f"free for {timeout_s:.0f} s ({free} of the cluster's {has} are); leave it one: fewer gangs (num_gangs), "
        "smaller workers (cpus_per_worker), or end what else runs on the cluster."
    )


def _nothing() -> None:
    pass
