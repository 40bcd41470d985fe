"""What a unit costs now, per protection: by the best offers of the market, or by this renter's last contracts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from nodes.renter.protocol.records import JOB_PREFIX
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from nodes.views import orders
from nodes.views.market import Market

JOBS_LOOKED_AT_MAX: Final = 20
"""For prices of last contracts."""
PriceSource = Literal["market", "last contracts", "nothing"]


@dataclass(frozen=True, slots=True)
class Prices:
    """By protection: the lowest price, in millionths per unit and hour, and free units, which only a market tells."""

    source: PriceSource
    micros: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)


def of_market(market: Market) -> Prices:
    """The best that any subnet offers, of what this node's hub knows."""
    micros: dict[str, int] = {}
    units: dict[str, int] = {}
    for each in market.supplies:
        units[each.protection] = units.get(each.protection, 0) + each.units
        if each.best_price_micros is not None:
            micros[each.protection] = min(each.best_price_micros, micros.get(each.protection, each.best_price_micros))
    return Prices("market", micros, units)


async def of_contracts(store: Store) -> Prices:
    """The lowest of some of this renter's last contracts."""
    found: dict[str, int] = {}
    for job in (await store.aggregates(JOB_PREFIX))[-JOBS_LOOKED_AT_MAX:]:
        with contextlib.suppress(RecordUnreadable):  # its own job's trouble
            for order in await orders.of_job(store, job):
                for protection in order.protections if order.kind == "sell" else ():
                    found[protection] = min(order.price_micros, found.get(protection, order.price_micros))
    return Prices("last contracts" if found else "nothing", found)
