"""Which hubs are asked for a quote (R2, N4): a few, drawn at random among those that may serve. Pure.

Never all, and never just the best: everybody knows the same best hubs, and many orders at once would all ask those few,
which can serve only some of them. A hub is drawn the more likely the more units it has free, the cheaper and the nearer
it is; what those lack is asked of others. Drawing without replacement by weight: Efraimidis and Spirakis, "Weighted
random sampling with a reservoir", 2006.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from typing import Final

from nodes.hub import known as known_hubs
from nodes.hub import links
from nodes.hub.advertising import told_lately, words
from nodes.hub.draft import Draft
from nodes.hub.terms import may_serve
from schemas.orders import BuyOrder, Capacity

HUBS_ASKED_MAX: Final = 8
"""At a time, for one order."""


def drawn(draft: Draft, order: BuyOrder, tried: Collection[str], *, seed: bytes) -> list[str]:
    """Hubs to ask for this order, of those that were not tried; none when no other may serve.

    Neighbours that told of nothing for long come first: their word may be lost, and their answer is one.
    """
    near = [hub for hub in draft.config.neighbours if hub not in tried and links.reaches(draft, hub)]
    strange = [hub for hub in near if not told_lately(draft, order.protection, hub)]
    return [*strange, *_drawn(draft, order, {*tried, *strange}, seed)][:HUBS_ASKED_MAX]


def _drawn(draft: Draft, order: BuyOrder, tried: Collection[str], seed: bytes) -> list[str]:
    known = words(draft, order.protection).items()
    others = [word.capacity for hub, word in known if hub not in tried and links.reaches(draft, hub)]
    keys = known_hubs.keys(draft)
    able = [each for each in others if keys.get(each.hub) is not None and may_serve(each, order)]
    if len(able) <= HUBS_ASKED_MAX:
        return sorted(each.hub for each in able)
    lowest = min(each.price_micros for each in able)
    waits = sorted((-math.log(_uniform(seed, each.hub)) / _weight(each, lowest), each.hub) for each in able)
    return [hub for _, hub in waits[:HUBS_ASKED_MAX]]


def _weight(capacity: Capacity, lowest: int) -> float:
    dear = (lowest + 1) / (capacity.price_micros + 1)
    return capacity.units * dear**8 / (1 + capacity.hops)


def _uniform(seed: bytes, hub: str) -> float:
    """A number over 0 and at most 1, for each hub another."""
    digest = hashlib.sha256(b"sublet/v1/draw" + seed + hub.encode()).digest()
    return (int.from_bytes(digest[:6], "big") + 1) / 2**48
