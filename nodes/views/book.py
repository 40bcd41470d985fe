"""A hub's book: offers and wishes with their prices, contracts under way, and what other hubs tell (R1, R4, N4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from nodes.hub.machine import AGGREGATE
from nodes.hub.records import BuyRecord, ContractRecord, HeardRecord, LinkRecord, SellRecord
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
    """What was last heard of another subnet."""

    hub: str
    supplies: tuple[Capacity, ...]
    """One for each protection of which something was heard."""
    heard_at: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A link that does not carry now."""

    neighbour: str
    """Its hub's address."""
    why: str
    since: float


@dataclass(frozen=True, slots=True)
class Book:
    """Times are seconds since 1970 (UTC)."""

    offers: tuple[Offer, ...]
    wishes: tuple[Wish, ...]
    tenancies: tuple[Tenancy, ...]
    subnets: tuple[Subnet, ...]
    neighbours: Mapping[str, float] = field(default_factory=dict)
    """When each neighbour was last heard of, by its hub's address."""
    cuts: tuple[Cut, ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """Units that are free or wanted at a price, and with those at better prices together."""

    price_micros: int
    units: int
    together: int


async def book(store: Store) -> Book:
    """As the hub's store has it."""
    found = await store.read(AGGREGATE)
    records = found.values()
    return Book(
        offers=tuple(_offer(each) for each in records if isinstance(each, SellRecord)),
        wishes=tuple(_wish(each) for each in records if isinstance(each, BuyRecord)),
        tenancies=tuple(_tenancy(each) for each in records if isinstance(each, ContractRecord)),
        subnets=_subnets(records),
        neighbours=_neighbours(found),
        cuts=tuple(
            Cut(key.partition("/")[2], each.why, each.lost_at)
            for key, each in found.items()
            if isinstance(each, LinkRecord)
        ),
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


def _subnets(records: Iterable[Struct]) -> tuple[Subnet, ...]:
    """Of what several neighbours tell of a subnet, the youngest counts."""
    youngest: dict[tuple[str, str], tuple[Capacity, float]] = {}
    for record in records:
        for each in record.capacities if isinstance(record, HeardRecord) else ():
            place = each.hub, each.protection
            if place not in youngest or youngest[place][0].at < each.at:
                youngest[place] = each, record.heard_at  # type: ignore[attr-defined]
    hubs = sorted({hub for hub, _ in youngest})
    found = {hub: [value for (name, _), value in youngest.items() if name == hub] for hub in hubs}
    return tuple(
        Subnet(hub, tuple(capacity for capacity, _ in told), max(at for _, at in told)) for hub, told in found.items()
    )


def _neighbours(found: Mapping[str, Struct]) -> dict[str, float]:
    heard: dict[str, float] = {}
    for key, record in found.items():
        if isinstance(record, HeardRecord):
            name = key.rpartition("/")[2]
            heard[name] = max(heard.get(name, 0.0), record.heard_at)
    return heard


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
