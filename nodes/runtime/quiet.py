"""Counts what is under way, so that one can wait until nothing is. Belongs to one event loop.

with wake's loop:   while True:
                        with quiet.busy():
                            wake.served()
                            ... do everything there is to do ...
                        await wake.wait(seconds)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Quiet:
    """Quiet when as many things ended as began."""

    def __init__(self) -> None:
        self._count = 0
        self._event = asyncio.Event()
        self._event.set()

    @property
    def now(self) -> bool:
        """Whether nothing is under way."""
        return self._count == 0

    def begin(self) -> None:
        """Something is under way."""
        self._count += 1
        self._event.clear()

    def end(self) -> None:
        """It ended."""
        self._count -= 1
        if not self._count:
            self._event.set()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Something is under way inside the block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    async def wait(self) -> None:
        """Return as soon as nothing is under way."""
        await self._event.wait()


class Wake:
    """Calls a loop to work before its time. Between call and work, its `Quiet` is not quiet."""

    def __init__(self, quiet: Quiet) -> None:
        self._quiet = quiet
        self._event = asyncio.Event()

    def set(self) -> None:
        """There is something to do."""
        if not self._event.is_set():
            self._quiet.begin()
            self._event.set()

    def served(self) -> None:
        """What was called for until now is about to be done."""
        if self._event.is_set():
            self._event.clear()
            self._quiet.end()

    async def wait(self, seconds: float) -> None:
        """Return when called, or after `seconds`."""
        # Not by `wait_for`: before Python 3.12 it loses a cancellation that meets the event, and the loop never ends.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
