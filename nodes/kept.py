"""What an asyncio process keeps at hand: the things used last, each loaded once however many want it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The things used last; each is loaded once however many want it, and again if that failed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: OrderedDict[str, asyncio.Task[T]] = OrderedDict()

    async def get(self, name: str, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As `load` gave it; raises what `load` raised."""
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(load())
        self._tasks.move_to_end(name)
        while len(self._tasks) > self._most:
            self._tasks.popitem(last=False)
        try:
            return await asyncio.shield(task)
        finally:
            if task.done() and (task.cancelled() or task.exception()) and self._tasks.get(name) is task:
                del self._tasks[name]

    def names(self, prefix: str) -> list[str]:
        """Of the things at hand that begin so."""
        return [name for name in self._tasks if name.startswith(prefix)]

    def drop(self, name: str) -> T | None:
        """Keep it no longer; what it was, if it was there."""
        task = self._tasks.pop(name, None)
        return task.result() if task and task.done() and not task.cancelled() and not task.exception() else None
