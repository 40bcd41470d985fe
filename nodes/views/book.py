"""A hub's book: offers and wishes with their prices, contracts under way, and what other hubs tell (R1, R4, N4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nodes.hub.machine import AGGREGATE
from nodes.hub.records import BuyRecord, CapacityRecord, ContractRecord, SellRecord
from nodes.store.port import Store
from schemas.orders import Capacity


@dataclass(frozen=True, slots=True)
class Offer:
    """A lessor's order."""

    order: str
    lessor: str
    units: int
    free: int
    price_micros: int
    """Millionths of the network's currency per unit and hour."""
    protections: tuple[str, ...]
    workers: int
    """That stand behind it."""
    state: str
    placed_at: float
    until: float


@dataclass(frozen=True, slots=True)
class Wish:
    """A renter's order."""

    order: str
    renter: str
    units: int
    price_micros_max: int
    protection: str
    state: str
    lacking: str
    placed_at: float
    until: float


@dataclass(frozen=True, slots=True)
class Tenancy:
    """A contract under way."""

    contract: str
    renter: str
    lessor: str
    protection: str
    units: int
    price_micros: int
    state: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Subnet:
    """What another hub last told of its subnet."""

    capacity: Capacity
    heard_at: float


@dataclass(frozen=True, slots=True)
class Book:
    """Times are seconds since 1970 (UTC)."""

    offers: tuple[Offer, ...]
    wishes: tuple[Wish, ...]
    tenancies: tuple[Tenancy, ...]
    subnets: tuple[Subnet, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """Units that are free or wanted at a price, and with those at better prices together."""

    price_micros: int
    units: int
    together: int


async def book(store: Store) -> Book:
    """As the hub's store has it."""
    records = (await store.read(AGGREGATE)).values()
    return Book(
        offers=tuple(_offer(each) for each in records if isinstance(each, SellRecord)),
        wishes=tuple(_wish(each) for each in records if isinstance(each, BuyRecord)),
        tenancies=tuple(_tenancy(each) for each in records if isinstance(each, ContractRecord)),
        subnets=tuple(Subnet(each.capacity, each.heard_at) for each in records if isinstance(each, CapacityRecord)),
    )


def asks(offers: Iterable[Offer], protection: str) -> list[Level]:
    """What may be rented under a protection, cheapest first."""
    return _levels((each.price_micros, each.free) for each in offers if protection in each.protections)


def bids(wishes: Iterable[Wish], protection: str) -> list[Level]:
    """What open orders would pay under a protection, dearest first."""
    found = [(-each.price_micros_max, each.units) for each in wishes if each.protection == protection]
    return [Level(-each.price_micros, each.units, each.together) for each in _levels(found)]


def _levels(found: Iterable[tuple[int, int]]) -> list[Level]:
    by: dict[int, int] = {}
    for price, units in found:
        if units:
            by[price] = by.get(price, 0) + units
    levels: list[Level] = []
    for price in sorted(by):
        levels.append(Level(price, by[price], by[price] + (levels[-1].together if levels else 0)))
    return levels


def _offer(record: SellRecord) -> Offer:
    order = record.order
    return Offer(
        order=order.id,
        lessor=order.lessor,
        units=order.units,
        free=record.free,
        price_micros=order.price_micros,
        protections=order.protections,
        workers=len(record.workers),
        state="taken back" if record.cancelled else "silent" if record.silent else "open",
        placed_at=record.placed_at,
        until=order.expires_at,
    )


def _wish(record: BuyRecord) -> Wish:
    order = record.order
    return Wish(
        order=order.id,
        renter=order.renter,
        units=order.units,
        price_micros_max=order.price_micros_max,
        protection=order.protection,
        state=record.state,
        lacking=record.lacking,
        placed_at=record.placed_at,
        until=order.match_by,
    )


def _tenancy(record: ContractRecord) -> Tenancy:
    contract = record.contract
    return Tenancy(
        contract=contract.id,
        renter=contract.renter,
        lessor=contract.lessor,
        protection=contract.protection,
        units=contract.units,
        price_micros=contract.price_micros,
        state=record.state,
        since=contract.starts_at,
        until=contract.ends_at,
    )
