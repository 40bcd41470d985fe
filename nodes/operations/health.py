"""Whether a process can do its work, and if not, why: what /readyz and `sublet node status` say."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

STARTING: Final = "it has not started yet"
STOPPING: Final = "it is ending"


def _never() -> str:
    return STARTING


def _nothing() -> tuple[int, float]:
    return 0, 0.0


async def _no_jobs() -> Mapping[str, int]:
    return {}


@dataclass(slots=True)
class Health:
    """Of one process. Its parts say what they know of themselves as they come up; read by the event loop only."""

    broker: Callable[[], str] = _never
    """Why there is no connection to the broker; empty when there is one. So are the two below."""
    store: Callable[[], str] = lambda: ""
    """Why what must be kept cannot be written."""
    consuming: Callable[[], str] = _never
    """Why no messages are taken."""
    outbox: Callable[[], tuple[int, float]] = _nothing
    """Effects that this process holds, and the age of the oldest in seconds."""
    jobs: Callable[[], Awaitable[Mapping[str, int]]] = _no_jobs
    """Jobs in the store by their state."""
    links: Callable[[], Mapping[str, bool]] = dict[str, bool]
    """Whether each link to another hub carries, by that hub's name, as far as is known."""
    stopping: Callable[[], bool] = lambda: False
    began: float = field(default_factory=time.monotonic)

    @property
    def reasons(self) -> Sequence[str]:
        """Why it is not ready; none when it is. The broker's stands for what follows from it."""
        if self.stopping():
            return [STOPPING]
        broker, store = self.broker(), self.store()
        consuming = "" if broker else self.consuming()
        return [each for each in (broker, store, consuming) if each]

    @property
    def up_seconds(self) -> float:
        """Since the process began."""
        return time.monotonic() - self.began
