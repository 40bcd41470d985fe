"""What arrived and is not begun: a line for each sender, served in turns. So nobody waits behind another's backlog.

Fair queueing by counts (Nagle, RFC 970): events of one sender keep their order, and one of every sender that waits is
taken before a second of any. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Lines by sender."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._there = asyncio.Event()
        self._ended = False

    def put(self, sender: str, item: T) -> None:
        """At the end of its sender's line."""
        self._lines.setdefault(sender, deque()).append(item)
        self._there.set()

    async def take(self, most: int) -> list[T]:
        """So many at most, as soon as there are any; none once it has ended."""
        while not self._lines and not self._ended:
            self._there.clear()
            await self._there.wait()
        return [] if self._ended else [self._next() for _ in range(min(most, sum(map(len, self._lines.values()))))]

    def end(self) -> list[T]:
        """Whoever takes gets none any more; what is left is nobody's."""
        left = [item for line in self._lines.values() for item in line]
        self._lines.clear()
        self._ended = True
        self._there.set()
        return left

    def _next(self) -> T:
        sender, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[sender] = line
        return item
