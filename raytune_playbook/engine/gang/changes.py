"""Waiting within an actor's event loop until something has changed."""

from __future__ import annotations

import asyncio


class Changes:
    """Wakes every task that waits whenever anything has changed; each looks for itself whether that concerns it."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Until the next change, or as long as that takes at most."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), max(0.0, timeout_s))
        except TimeoutError:
            return
