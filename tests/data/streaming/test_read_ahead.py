"""Blocks of any size cut into windows, without Ray: a reference is the positions that its block holds."""

from __future__ import annotations

import itertools

import pytest

from raytune_playbook.data.streaming.read_ahead import Block, Cutter
from raytune_playbook.data.streaming.windows import Layout, Place

NUM_EPOCHS = 3


def blocks(sizes: tuple[int, ...], start: int) -> list[Block]:
    """Of some epochs, from the one on that holds a position."""
    ends = list(itertools.accumulate(sizes * NUM_EPOCHS))
    found = [(end - size, size) for end, size in zip(ends, sizes * NUM_EPOCHS, strict=True)]
    return [Block(range(first, first + size), first, size) for first, size in found if first + size > start]


@pytest.mark.parametrize("window_examples", [1, 2, 5, 6, 7, 24, 31, 100])
@pytest.mark.parametrize("sizes", [(24,), (1,), (6, 6, 6, 6), (5, 1, 13, 2, 9, 1)])
def test_windows_hold_every_position_once_and_in_order_from_any_window_on(sizes, window_examples):
    layout = Layout(sum(sizes), min(window_examples, sum(sizes)))
    places = [Place(epoch, window) for epoch in range(NUM_EPOCHS) for window in range(layout.num_windows)]
    for number, first in enumerate(places):
        cutter = Cutter(layout, first)
        cut = []
        for block in blocks(sizes, layout.start(first)):
            assert cutter.complete is None
            cutter.add(block)
            while (window := cutter.complete) is not None:
                assert cutter.end == layout.start(window.place) + layout.size(window.place.window)
                cut.append(window)
                cutter.next_window()
        assert [window.place for window in cut] == places[number:]
        for window in cut:
            held: list[int] = []
            for segment, positions in zip(window.segments, window.blocks, strict=True):
                assert segment.first == len(held)
                held += positions[segment.offset : segment.offset + segment.size]
            start = layout.start(window.place)
            assert held == list(range(start, start + layout.size(window.place.window)))
