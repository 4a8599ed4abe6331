"""How the mode of a round is chosen: its examples are materialized in the object store, or streamed from files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from raytune_playbook.errors import DataError
from raytune_playbook.study.settings import GIB

MATERIALIZED_SHARE = 0.5
"""How much of the smallest node's object store examples may take, which holds other things too."""

Mode: TypeAlias = Literal["materialized", "streaming"]
"""As the round's record calls it; see `raytune_playbook.study.datasets.InputPipeline`."""


@dataclass(frozen=True)
class Memory:
    """The object store of the smallest node."""

    node_bytes: int

    def holds(self, num_bytes: int) -> bool:
        """Whether examples of this size may be kept there."""
        return num_bytes <= MATERIALIZED_SHARE * self.node_bytes

    @property
    def half(self) -> str:
        """How messages call what examples may take."""
        return f"{self.node_bytes / 2 / GIB:.1f} GiB"


def chosen_mode(wanted: Literal["auto"] | Mode, num_bytes: int, memory: Memory, *, can_stream: bool) -> Mode:
    """The mode that a round asks for; with ``"auto"`` examples are streamed where memory does not hold them.

    Args:
        wanted: `InputPipeline.mode`.
        num_bytes: of all splits that would be kept in memory, decoded.
        can_stream: whether the training examples lie in files.

    Raises:
        DataError: memory cannot hold them, and they cannot be streamed, or shall not.
    """
    if wanted == "streaming" or (wanted == "auto" and can_stream and not memory.holds(num_bytes)):
        return "streaming"
    if not memory.holds(num_bytes):
        raise DataError(
            f"Examples in memory may take half of the smallest node's object store, {memory.half}, but these take "
            f"{num_bytes / GIB:.1f} GiB; give them as Parquet files, which can be streamed "
            "(InputPipeline(mode='streaming')), or give the nodes more memory."
        )
    return "materialized"


def require_memory_for_validation(num_bytes: int, memory: Memory) -> None:
    """Check that a streaming round can keep its validation examples in memory.

    Raises:
        DataError: it cannot.
    """
    if not memory.holds(num_bytes):
        raise DataError(
            "Validation examples are kept in memory, in at most half of the smallest node's object store "
            f"({memory.half}), but take {num_bytes / GIB:.1f} GiB; validate on fewer."
        )
