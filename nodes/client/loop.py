"""An event loop in a thread of its own: plain calls wait for its work, also in notebooks, where a loop runs already."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from nodes.client.errors import NetworkClosed

CLOSE_SECONDS_MAX: Final = 20.0
"""How long closing waits for what is under way."""
UNHEARD_SECONDS_MAX: Final = 0.5
"""An interrupt that comes after Python's last look for one, just before a wait, is heard after the wait."""

T = TypeVar("T")


class Loop:
    """The loop and its thread, from construction to `close`."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._turn, name="sublet-client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether nothing can run any more."""
        return self._closing

    def run(self, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
        """What the coroutine returns or raises. Whoever interrupts the wait cancels the coroutine, at any moment.

        Raises:
            NetworkClosed: the loop was closed, before or meanwhile.
            TimeoutError: it takes longer than `timeout` seconds, and was cancelled.
        """
        if self.closed:
            work.close()
            raise NetworkClosed
        call = _Call(work)
        try:
            self._schedule(call.begin)
            call.wait(timeout, self._loop.is_closed)
        except BaseException:
            self._schedule(call.cancel)
            raise
        return call.result()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the coroutine run beside everything else, until it ends or the loop is closed."""
        if self.closed:
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        if not self.closed:
            self._closing = True
            self._schedule(self._loop.stop)
        self._thread.join(CLOSE_SECONDS_MAX)

    def _turn(self) -> None:
        with self._runner:  # which cancels in the end what still runs
            self._loop.run_forever()

    def _schedule(self, what: Callable[[], object]) -> None:
        """In the loop's thread, in the order of calls; nothing once that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)


class _Call(Generic[T]):
    """A coroutine that a thread waits for.

    A future of `concurrent.futures` would not do: who is interrupted while taking its lock may leave that locked, and
    the loop's thread, which needs it too, would wait for ever. Here only the waiting thread takes the lock.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def begin(self) -> None:
        """In the loop's thread."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(lambda _: self._done.release())

    def cancel(self) -> None:
        """In the loop's thread; not to begin, if it was interrupted before."""
        if self._task is None:
            self._work.close()
        else:
            self._task.cancel()

    def wait(self, timeout: float | None, closed: Callable[[], bool]) -> None:
        """Until it has ended, or the loop is `closed`. Raises TimeoutError."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self._done.acquire(timeout=max(0.0, min(UNHEARD_SECONDS_MAX, until - time.monotonic()))):
            if closed():
                return
            if time.monotonic() >= until:
                raise TimeoutError(f"it takes longer than {timeout:g} s")

    def result(self) -> T:
        """Raises NetworkClosed: the loop ended before it did."""
        try:
            if self._task is None or not self._task.done():
                raise NetworkClosed
            return self._task.result()
        except asyncio.CancelledError:
            raise NetworkClosed from None


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
