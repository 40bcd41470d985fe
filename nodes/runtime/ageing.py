"""What was seen lately, by key: for a bounded time, and of a bounded number; who was quiet longest gives way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Ageing(Generic[V]):
    """Values by key. Not for what must not be forgotten."""

    def __init__(self, clock: Callable[[], float], *, most: int, seconds: float) -> None:
        """Of `most` keys at a time, each until it was not seen for so many seconds; `clock` gives seconds."""
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        self._age()
        return len(self._kept)

    def __iter__(self) -> Iterator[V]:
        self._age()
        return (value for _, value in self._kept.values())

    def find(self, key: str) -> V | None:
        """What is kept under this key, if it was seen lately. Does not count as seeing it."""
        self._age()
        return self._kept[key][1] if key in self._kept else None

    def see(self, key: str, value: V) -> None:
        """Keep this under the key from now on."""
        self._kept[key] = self._clock(), value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, key: str) -> None:
        """Nothing is kept under this key."""
        self._kept.pop(key, None)

    def _age(self) -> None:
        oldest = self._clock() - self._seconds
        while self._kept and next(iter(self._kept.values()))[0] < oldest:
            self._kept.popitem(last=False)
