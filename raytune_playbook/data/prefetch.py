"""Making what comes next in a thread of its own, while the consumer works on what it has."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _End:
    """What the thread puts last: an exception, or None at the end of the items."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetched(Generic[Item]):
    """The same items, at most ``depth`` of them made ahead of time in a thread that ends with the consumer.

    Args:
        items: advanced and closed by the thread alone.
        depth: how many wait for the consumer or are in the making, at least one.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._ready: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._room = threading.Semaphore(depth)
        self._stopped = threading.Event()
        # The thread knows the parts of this object, and not the object, lest it keep alive what nobody uses any more.
        parts = (items, self._ready, self._room, self._stopped)
        self._thread = threading.Thread(target=_produce, args=parts, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._ready.get()
        self._room.release()
        if not isinstance(item, _End):
            return item
        self.close()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """End the thread; what it has made is dropped."""
        self._stop()
        if self._thread is not threading.current_thread():
            self._thread.join()
        with suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._ready.put(_End(None))  # for whoever asks again, or waits for an item in another thread

    def __del__(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        self._room.release()  # wakes the thread where it waits for room, so that a trial's end waits for nothing


def _produce(
    items: Iterator[Item],
    ready: queue.SimpleQueue[Item | _End],
    room: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    """What the thread does; whatever happens, it puts an end, since the consumer would wait for ever without."""
    error: BaseException | None = None
    try:
        try:
            room.acquire()
            while not stopped.is_set():
                ready.put(next(items))
                room.acquire()
        finally:
            close = getattr(items, "close", None)  # of a generator, whose own resources end with it
            if close is not None:
                close()
    except StopIteration:
        pass
    except BaseException as raised:  # noqa: BLE001 - handed over to the consumer, who raises it
        error = raised
    ready.put(_End(error))
