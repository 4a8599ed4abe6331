"""Items made ahead of time in a thread that ends with whoever uses them."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from raytune_playbook.data.prefetch import Prefetched
from tests.data.conftest import prefetchers

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


class Numbers:
    """A generator of 0, 1, 2, ... that tells what becomes of it."""

    def __init__(self, num_items: int | None = None, error: BaseException | None = None) -> None:
        self.made = threading.Semaphore(0)
        self.num_made = 0
        self.closed_in: threading.Thread | None = None
        self._num_items, self._error = num_items, error

    def items(self) -> Iterator[int]:
        try:
            for item in itertools.count() if self._num_items is None else range(self._num_items):
                self.num_made += 1
                self.made.release()
                yield item
            if self._error is not None:
                raise self._error
        finally:
            self.closed_in = threading.current_thread()

    def await_made(self, number: int) -> None:
        """Wait for so many items more, and see that no other follows."""
        for _ in range(number):
            assert self.made.acquire(timeout=60)
        assert not self.made.acquire(timeout=0.05)


def wait_for_no_thread() -> None:
    deadline_s = time.monotonic() + 60
    while prefetchers() and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert prefetchers() == []


@pytest.mark.parametrize("depth", [1, 2, 3, 100])
@pytest.mark.parametrize("num_items", [0, 1, 2, 50])
def test_items_come_in_order_and_end_again_and_again(depth, num_items):
    ready = Prefetched(Numbers(num_items).items(), depth)
    assert list(ready) == list(range(num_items))
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(ready)
    assert prefetchers() == []


def test_any_iterator_will_do():
    assert list(Prefetched(iter([3, 1, 2]), 2)) == [3, 1, 2]
    assert list(Prefetched(iter([None, 0]), 2)) == [None, 0]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_never_more_than_depth_items_are_made_ahead(depth):
    numbers = Numbers()
    ready = Prefetched(numbers.items(), depth)
    numbers.await_made(depth)
    for taken in range(1, 4):
        next(ready)
        numbers.await_made(1)
        assert numbers.num_made == depth + taken
    ready.close()


class Bad(BaseException):
    """Not even an Exception, as what ends an actor's thread."""


@pytest.mark.parametrize("error", [ValueError("a bad pixel"), Bad("exit"), SystemExit(1), KeyboardInterrupt()])
@pytest.mark.parametrize("num_items", [0, 1, 5])
@pytest.mark.parametrize("depth", [1, 2, 10])
def test_an_exception_comes_once_and_after_the_items_before_it(error, num_items, depth):
    numbers = Numbers(num_items, error)
    ready = Prefetched(numbers.items(), depth)
    found = []
    with pytest.raises(type(error)) as caught:
        for item in ready:
            found.append(item)  # noqa: PERF402 - what came before the exception counts
    assert caught.value is error
    assert found == list(range(num_items))
    assert list(ready) == []
    assert prefetchers() == []


def test_an_exception_while_the_generator_closes_is_the_consumers():
    def items() -> Iterator[int]:
        try:
            yield 0
        finally:
            raise OSError("cannot close")

    class Once:
        """Ends, and cannot be closed."""

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            raise OSError("cannot close")

    for given in (items(), Once()):
        with pytest.raises(OSError, match="cannot close"):
            list(Prefetched(given, 1))


@pytest.mark.parametrize("num_taken", [0, 1, 7])
def test_close_ends_the_thread_and_closes_the_generator_there(num_taken):
    numbers = Numbers()
    ready = Prefetched(numbers.items(), 2)
    (thread,) = prefetchers()
    assert list(itertools.islice(ready, num_taken)) == list(range(num_taken))
    if not num_taken:
        numbers.await_made(2)  # a generator that has not begun has no `finally` to run
    ready.close()
    assert numbers.closed_in is thread
    assert not thread.is_alive()
    assert list(ready) == []
    ready.close()


def test_close_waits_for_the_item_in_the_making():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        begun.set()
        may_end.wait(60)
        ended.set()
        yield 0

    ready = Prefetched(items(), 1)
    assert begun.wait(60)
    threading.Timer(0.1, may_end.set).start()
    ready.close()
    assert ended.is_set()


def test_close_drops_what_was_made():
    class Item:
        pass

    num_items = [0]

    def items() -> Iterator[Item]:
        while True:
            num_items[0] += 1
            yield Item()

    ready = Prefetched(items(), 3)
    next(ready)
    ready.close()
    gc.collect()
    assert num_items[0]
    assert not [each for each in gc.get_objects() if type(each) is Item]


def test_close_wakes_a_consumer_that_waits():
    may_make = threading.Event()

    def items() -> Iterator[int]:
        may_make.wait(60)
        yield from ()

    ready = Prefetched(items(), 1)
    found: list[list[int]] = []
    waiting = [threading.Thread(target=lambda: found.append(list(ready))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    may_make.set()
    ready.close()
    for thread in waiting:
        thread.join(60)
    assert found == [[], []]


@pytest.mark.parametrize("num_taken", [0, 1, 7])
def test_the_thread_ends_where_nobody_uses_the_items_any_more(num_taken):
    numbers = Numbers()
    ready = Prefetched(numbers.items(), 2)
    assert list(itertools.islice(ready, num_taken)) == list(range(num_taken))
    numbers.await_made(2 + num_taken)
    (thread,) = prefetchers()
    del ready
    gc.collect()
    wait_for_no_thread()
    assert numbers.closed_in is thread


def test_a_consumer_that_stops_early_ends_the_thread():
    numbers = Numbers()

    def first(number: int) -> list[int]:
        return list(itertools.islice(Prefetched(numbers.items(), 2), number))

    assert first(3) == [0, 1, 2]
    gc.collect()
    wait_for_no_thread()
    assert numbers.num_made <= 3 + 2
