"""An event loop in a thread of its own: plain calls wait for its work, also in notebooks, where a loop runs already."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from nodes.client.errors import NetworkClosed

CLOSE_SECONDS_MAX: Final = 20.0
"""How long closing waits for what is under way."""

T = TypeVar("T")


class Loop:
    """The loop and its thread, from construction to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sublet-client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether nothing can run any more."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
        """What the coroutine returns or raises. Whoever interrupts the wait cancels the coroutine.

        Raises:
            NetworkClosed: the loop was closed.
            TimeoutError: it takes longer than `timeout` seconds, and was cancelled.
        """
        if self.closed:
            work.close()
            raise NetworkClosed
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the coroutine run beside everything else, until it ends or the loop is closed."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        if self.closed:
            return
        self.run(_cancel_others(), timeout=CLOSE_SECONDS_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS_MAX)
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def at_exit(close: Callable[[], None]) -> None:
    """Call `close` when this process ends: before `concurrent.futures` ends its threads, which `atexit` comes after.

    A process forked from this one has none of its threads, and closes nothing.
    """
    here = os.getpid()

    def unless_forked() -> None:
        if os.getpid() == here:
            close()

    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(unless_forked)
