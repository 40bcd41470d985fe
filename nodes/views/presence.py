"""Whether a node's processes live: each writes down, every few seconds, that it does (`Store.beat`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodes.store.port import BEAT_SECONDS, Store

SILENT_SECONDS: Final = 2 * BEAT_SECONDS
"""A process that was not heard of for longer is stopped, or its store is."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The node's processes at one moment."""

    processes: int
    """That live."""
    heard_at: float
    """When the last was heard of, seconds since 1970; 0 if none ever was."""


async def presence(store: Store, now: float) -> Presence:
    """As the store has it at `now`, seconds since 1970."""
    beats = (await store.beats()).values()
    return Presence(sum(now - each <= SILENT_SECONDS for each in beats), max(beats, default=0.0))
