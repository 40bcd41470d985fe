"""The market as one node knows it: what each subnet offers, per protection (N4). Hubs read their store, others ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nodes.hub import advertising
from nodes.hub.book import Book
from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import SellRecord
from nodes.identity import verify
from nodes.machine import Context
from nodes.records import RecordSet
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
    """Free: one worker each."""
    best_price_micros: int | None
    """The lowest, in millionths of the network's currency per unit and hour; None where none is free."""
    memory_mib: int
    """The most that a unit may use."""
    age_seconds: float
    """Of this word on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What is known of subnets; the own one first, then by name."""

    node: str
    supplies: tuple[Supply, ...]
    more: int = 0
    """Words that the hub left out, as they are too many to tell."""


async def at_hub(store: Store, config: HubConfig, now: float) -> Market:
    """As the hub's own store has it at `now`, seconds since 1970."""
    records = await store.read(AGGREGATE)
    living = {key: each for key, each in records.items() if not isinstance(each, SellRecord) or _lives(each, now)}
    context = Context(me=config.me, now=now, entropy=b"", event_id="", sign=_signs_nothing, verify=verify)
    return of_words(config.me, advertising.known(Book(Draft(config, RecordSet(living), context))))


def of_words(node: Address, words: Iterable[Capacity], more: int = 0) -> Market:
    """What hubs told."""
    own = hub_of(node)
    supplies = [_supply(each, own) for each in words]
    supplies.sort(key=lambda each: (not each.own, each.subnet, PROTECTIONS.index(each.protection)))
    return Market(node=node, supplies=tuple(supplies), more=more)


def _supply(of: Capacity, own: str) -> Supply:
    subnet = hub_of(Address(of.hub))
    return Supply(
        subnet=subnet,
        own=subnet == own,
        protection=of.protection,
        units=of.units,
        best_price_micros=of.price_micros if of.units else None,
        memory_mib=of.memory_mib,
        age_seconds=of.age_seconds,
    )


def _lives(record: SellRecord, now: float) -> bool:
    return record.order.expires_at > now


def _signs_nothing(_: bytes) -> bytes:
    raise AssertionError("a view signs nothing")
