"""The market as one node knows it: what each subnet offers, per protection (N4). Hubs read their store, others ask."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.hub.book import capacity_of
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import CapacityRecord, SellRecord
from nodes.store.port import Store
from schemas.ids import Address, hub_of
from schemas.orders import PROTECTIONS, Capacity, Protection


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a subnet offers under one protection."""

    subnet: str
    own: bool
    """Whether it is the node's own."""
    protection: Protection
    units: int
    """Free at `at`, seconds since 1970 (UTC): one worker each."""
    best_price_micros: int | None
    """The lowest, in millionths of the network's currency per unit and hour; None where none is free."""
    memory_mib: int
    """The most that a unit may use."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """All subnets that are known; the own one first, then by name."""

    node: str
    supplies: tuple[Supply, ...]
    more: int = 0
    """Subnets that the hub left out, as they are too many to tell."""


async def at_hub(store: Store, hub: Address, now: float) -> Market:
    """As the hub's own store has it at `now`, seconds since 1970."""
    records = (await store.read(AGGREGATE)).values()
    own = capacity_of((each for each in records if isinstance(each, SellRecord)), hub, now)
    others = (each.capacity for each in records if isinstance(each, CapacityRecord))
    return of_subnets(hub, (own, *others))


def of_subnets(node: Address, subnets: tuple[Capacity, ...], more: int = 0) -> Market:
    """What hubs told."""
    own = hub_of(node)
    ordered = sorted(subnets, key=lambda each: (hub_of(Address(each.hub)) != own, each.hub))
    supplies = tuple(_supply(each, protection, own) for each in ordered for protection in PROTECTIONS)
    return Market(node=node, supplies=supplies, more=more)


def _supply(of: Capacity, protection: Protection, own: str) -> Supply:
    subnet = hub_of(Address(of.hub))
    return Supply(
        subnet=subnet,
        own=subnet == own,
        protection=protection,
        units=of.units.get(protection, 0),
        best_price_micros=of.best_price_micros.get(protection),
        memory_mib=of.memory_mib.get(protection, 0),
        at=of.at,
    )
