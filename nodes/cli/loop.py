"""Runs a command's coroutine. Imports asyncio only then: commands without one, and help, start quicker."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_ARENA_MAX: Final = -8
"""`M_ARENA_MAX` of glibc's mallopt(3)."""


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. KeyboardInterrupt cancels it and is raised after it has cleaned up."""
    import asyncio  # noqa: PLC0415

    _one_heap()
    return asyncio.run(work)


def _one_heap() -> None:
    """Let all threads share one heap: glibc gives each its own, and every one keeps the largest batch it has seen.

    Threads rarely allocate at the same time, for Python's lock lets one run. Elsewhere than on glibc nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
