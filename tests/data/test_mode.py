"""How the mode of a round is chosen, by table."""

from __future__ import annotations

import pytest

from raytune_playbook.data.mode import MATERIALIZED_SHARE, Memory, chosen_mode, require_memory_for_validation
from raytune_playbook.errors import DataError
from raytune_playbook.study.settings import GIB

MEMORY = Memory(8 * GIB)
LIMIT = 4 * GIB
"""Half of it."""


@pytest.mark.parametrize("can_stream", [False, True])
@pytest.mark.parametrize("num_bytes", [0, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("wanted", ["auto", "materialized", "streaming"])
def test_examples_are_materialized_as_long_as_memory_holds_them(wanted, num_bytes, can_stream):
    if wanted == "streaming":
        assert chosen_mode(wanted, num_bytes, MEMORY, can_stream=can_stream) == "streaming"
    elif num_bytes <= LIMIT:
        assert chosen_mode(wanted, num_bytes, MEMORY, can_stream=can_stream) == "materialized"
    elif wanted == "auto" and can_stream:
        assert chosen_mode(wanted, num_bytes, MEMORY, can_stream=can_stream) == "streaming"
    else:
        with pytest.raises(DataError, match=r"object store, 4.0 GiB, but these take 4.0 GiB; give them as Parquet"):
            chosen_mode(wanted, num_bytes, MEMORY, can_stream=can_stream)


def test_validation_examples_are_always_in_memory():
    require_memory_for_validation(LIMIT, MEMORY)
    with pytest.raises(DataError, match=r"store \(4.0 GiB\), but take 12.0 GiB; validate on fewer\.$"):
        require_memory_for_validation(3 * LIMIT, MEMORY)


def test_messages_say_the_share():
    assert MATERIALIZED_SHARE == 0.5  # "half" stands in three sentences and in the docstring of `InputPipeline`
