"""How large a checkpoint would be, without writing it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.train.group import Group
from raytune_playbook.train.saved.buffers import buffers, gathered, shared

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def size_of(model: nn.Module, rest: Mapping[str, Any], group: Group) -> CheckpointSize | None:
    """The size of a checkpoint that is not written, on rank 0; every worker calls it when the others do.

    Args:
        model, rest: as for `Checkpoints.save`.
    """
    own = gathered(buffers(model), group)
    if group.rank > 0:
        return None
    return CheckpointSize(_num_bytes(model.state_dict()), _num_bytes({"buffers": shared(own), **rest}))


class _Counted(io.BytesIO):
    """A file that keeps nothing of what is written."""

    num_bytes = 0

    def write(self, content: ReadableBuffer) -> int:
        size = memoryview(content).nbytes
        self.num_bytes += size
        return size


def _num_bytes(content: Mapping[str, Any]) -> int:
    file = _Counted()
    torch.save(dict(content), file)
    return file.num_bytes
