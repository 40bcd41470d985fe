"""Orders that a node knows: a hub's book, and what lies behind a renter's contracts (R1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from nodes.hub.machine import AGGREGATE
from nodes.hub.records import BuyRecord, SellRecord
from nodes.renter.protocol.records import JOB_PREFIX, ContractRecord
from nodes.store.port import Store
from schemas.orders import BuyOrder, SellOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as one node knows it."""

    order: str
    kind: Literal["buy", "sell"]
    by: str
    units: int
    free: int | None = None
    """Units that may still be matched; of sell orders in a hub's book only."""
    price_micros: int
    """Millionths of the network's currency per unit and hour: asked when selling, at most paid when buying."""
    protections: tuple[str, ...]
    state: str
    until: float
    """Seconds since 1970 (UTC)."""


async def in_book(store: Store) -> list[Order]:
    """All orders of a hub's subnet."""
    records = (await store.read(AGGREGATE)).values()
    return [found for record in records if (found := _in_book(record)) is not None]


async def of_job(store: Store, job_id: str) -> list[Order]:
    """The orders that the job's contracts bind together, each once."""
    return list(_bound(await store.read(job_id)).values())


async def of_renter(store: Store) -> list[Order]:
    """Those of all its jobs."""
    return [order for job_id in await store.aggregates(JOB_PREFIX) for order in await of_job(store, job_id)]


def _in_book(record: Struct) -> Order | None:
    if isinstance(record, SellRecord):
        state = "cancelled" if record.cancelled else "silent" if record.silent else "open"
        return _sell(record.order, free=record.free, state=state, until=record.order.expires_at)
    if isinstance(record, BuyRecord):
        return _buy(record.order, state=record.state, until=record.order.match_by)
    return None


def _bound(records: Mapping[str, Struct]) -> dict[str, Order]:
    found: dict[str, Order] = {}
    for record in records.values():
        if isinstance(record, ContractRecord):
            contract = record.contract
            rest: dict[str, Any] = {"state": "ended" if record.ended else "rented", "until": contract.ends_at}
            found |= {contract.buy.id: _buy(contract.buy, **rest), contract.sell.id: _sell(contract.sell, **rest)}
    return found


def _buy(order: BuyOrder, *, state: str, until: float) -> Order:
    return Order(
        order=order.id,
        kind="buy",
        by=order.renter,
        units=order.units,
        price_micros=order.price_micros_max,
        protections=(order.protection,),
        state=state,
        until=until,
    )


def _sell(order: SellOrder, *, state: str, until: float, free: int | None = None) -> Order:
    return Order(
        order=order.id,
        kind="sell",
        by=order.lessor,
        units=order.units,
        free=free,
        price_micros=order.price_micros,
        protections=order.protections,
        state=state,
        until=until,
    )
