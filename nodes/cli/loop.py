"""Runs a command's coroutine. Imports asyncio only then: commands without one, and help, start quicker."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from nodes.allocator import share_heap

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. KeyboardInterrupt cancels it and is raised after it has cleaned up."""
    import asyncio  # noqa: PLC0415

    share_heap()
    return asyncio.run(work)
