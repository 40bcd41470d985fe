"""How much of a node one participant may take: so many events a second. What comes faster waits at the broker.

Nobody else waits for it: those messages go behind those of others. Only where very many wait already are some set
aside, to show what was sent, and the others dropped and counted: a flood costs its neighbours no more than to
acknowledge it.
Hubs speak for whole subnets, so they are not counted; neither is a node itself. The broker pinned who the sender is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from broker.names import WAIT_STEPS
from nodes.machine import Refused
from nodes.runtime.ageing import Ageing
from schemas.ids import HUB_NAME, Address

EVENTS_PER_SECOND_MAX: Final = 100.0
"""Of one participant, on average: a part of what a node serves."""
EVENTS_AT_ONCE_MAX: Final = 200
"""That many may come at once after a rest."""
EVENTS_WAITING_MAX: Final = 1000
"""More than that are not kept for it."""
EVENTS_ASIDE_MAX: Final = 100
"""Of one sender, that are set aside for that; it begins anew after a rest."""
REST_SECONDS: Final = WAIT_STEPS[-1]
"""Who sent nothing for so long may send as if it never had: all that waited has come back."""
TOO_MANY: Final = "too-many-events"
SENDERS_MAX: Final = 4096
"""Of whom it is remembered how much they sent; who was quiet longest gives way."""


class Flooded(Refused):
    """So many events of its sender were set aside that this one is dropped."""


@dataclass(slots=True)
class _Sender:
    left: float
    """Events that it may send now."""
    at: float
    waiting: int = 0
    """Events that were sent back since it last had some left."""
    aside: int = 0
    """Events beyond these."""


class Quota:
    """Of one process of a node."""

    def __init__(self, me: Address, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._me = me
        self._clock = clock
        self._senders: Ageing[_Sender] = Ageing(clock, most=SENDERS_MAX, seconds=REST_SECONDS)
        self._dropped: Counter[str] = Counter()

    def pause_seconds(self, source: str) -> float:
        """How long a message of this sender has to wait; 0 for one that may come in now.

        Raises:
            Refused: too-many-events; Flooded, where as many as that were refused already.
        """
        if source in ("", self._me) or source.endswith(f".{HUB_NAME}"):  # empty: refused for its key
            return 0.0
        sender = self._sender(source)
        if sender.left >= 1:
            sender.left -= 1
            sender.waiting = max(0, sender.waiting - 1)
            return 0.0
        if sender.waiting >= EVENTS_WAITING_MAX:
            raise self._too_many(source, sender)
        sender.waiting += 1
        return min(max(sender.waiting / EVENTS_PER_SECOND_MAX, WAIT_STEPS[0]), WAIT_STEPS[-1])

    def take_dropped(self) -> Mapping[str, int]:
        """How many events of whom were dropped since this was asked last."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped

    def _too_many(self, source: str, sender: _Sender) -> Refused:
        reason = f"{source} sends faster than {EVENTS_PER_SECOND_MAX:.0f} events a second"
        if sender.aside < EVENTS_ASIDE_MAX:
            sender.aside += 1
            return Refused(TOO_MANY, reason)
        self._dropped[source] += 1
        return Flooded(TOO_MANY, reason)

    def _sender(self, source: str) -> _Sender:
        now = self._clock()
        sender = self._senders.find(source) or _Sender(EVENTS_AT_ONCE_MAX, now)
        self._senders.see(source, sender)
        passed = max(0.0, now - sender.at)
        sender.left, sender.at = min(EVENTS_AT_ONCE_MAX, sender.left + passed * EVENTS_PER_SECOND_MAX), now
        return sender
