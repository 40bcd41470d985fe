"""Whether the links to hubs on other brokers carry, both ways: by heartbeats and by what is not heard. Pure.

Theory of operation. Every `BEAT_SECONDS` a hub sends a heartbeat to each neighbour, and an echo to itself; both kinds
come in one queue. A link is

    carrying   while heartbeats come from the neighbour, and say that it hears this hub's
    lost       when for `SILENCE_SECONDS_MAX` none came, or when one says that it hears nothing from here

So a link that is cut one way only is named at both ends: at one because nothing comes, at the other because it is told
so. Who does not hear itself is deaf, and blames nobody: its own broker is away, or stands still. A neighbour's silence
counts from where hearing began, and is looked at when an echo comes, for by then all that was there before it has been
handed out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from schemas.fields import Text
from schemas.ids import Address, AddressField, hub_of

BEAT_SECONDS: Final = 2.0
SILENCE_SECONDS_MAX: Final = 9.0
"""Four heartbeats may be lost or late. With two more beats, one at each end, a cut is named within 15 seconds."""
ECHO_SECONDS_MAX: Final = 3 * BEAT_SECONDS
"""Between two echoes: with a longer pause hearing begins anew."""


class LinkChanged(Struct, frozen=True, kw_only=True):
    """Internal event `link.changed`: a link is lost, for this reason, or, without one, carries."""

    neighbour: AddressField
    why: Text = ""


class Links:
    """What one process of a hub hears. Times are seconds of one steady clock."""

    def __init__(self, neighbours: Iterable[Address]) -> None:
        self.neighbours = tuple(sorted(neighbours))
        self._counted_at = dict.fromkeys(self.neighbours, -math.inf)
        """Since when each is listened for."""
        self._since = self._echoed_at = -math.inf
        self._heard_at: dict[Address, float] = {}
        self._silent: set[Address] = set()
        self._deaf: set[Address] = set()
        """Those that say that they hear nothing from here."""

    def follow(self, neighbours: Iterable[Address], now: float) -> None:
        """The links are these from now on. A new one's silence counts from here."""
        self.neighbours = tuple(sorted(neighbours))
        self._counted_at = {each: self._counted_at.get(each, now) for each in self.neighbours}

    def echoed(self, now: float) -> None:
        """An echo came: this process hears, and all that came before it has been handed out."""
        if now - self._echoed_at > ECHO_SECONDS_MAX:
            self._since = now
        self._echoed_at = now
        for neighbour in self.neighbours:
            since = max(self._since, self._counted_at[neighbour])
            if now - max(since, self._heard_at.get(neighbour, -math.inf)) > SILENCE_SECONDS_MAX:
                self._silent.add(neighbour)

    def heard(self, neighbour: Address, hears: bool, now: float) -> None:
        """A heartbeat came, which says whether its sender hears this hub."""
        self._heard_at[neighbour] = now
        self._silent.discard(neighbour)
        (self._deaf.discard if hears else self._deaf.add)(neighbour)

    def hears(self, neighbour: Address) -> bool:
        """What a heartbeat to this neighbour says. At first nobody is accused."""
        return neighbour not in self._silent

    def speaks(self, now: float) -> bool:
        """Whether this process hears itself. Of several of one hub one does, and sends the heartbeats."""
        return now - self._echoed_at <= ECHO_SECONDS_MAX

    def why_lost(self, neighbour: Address) -> str | None:
        """Why the link is lost; empty where it carries, None while nothing is known of it."""
        if neighbour in self._silent:
            return f"nothing has come from {neighbour} for {SILENCE_SECONDS_MAX:.0f} s"
        if neighbour in self._deaf:
            return f"{neighbour} says that nothing comes from here"
        return "" if neighbour in self._heard_at else None

    def standing(self) -> Mapping[str, bool]:
        """Whether each link carries, by the neighbour's name; those of which something is known."""
        why = {neighbour: self.why_lost(neighbour) for neighbour in self.neighbours}
        return {hub_of(neighbour): not each for neighbour, each in why.items() if each is not None}
