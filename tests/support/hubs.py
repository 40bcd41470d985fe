"""Many hubs in virtual time: their real machines on a wire of the test's, without shells, signatures and encodings.

Hubs are linked at random, four links each: two rings through all of them, in different orders; there may be leaves
beside. Lessors have an order of a few units at prices that scatter; a rush is many orders in the same moment, at
renters of hubs drawn at random.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.hub.advertising import words
from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.machine import HubMachine
from nodes.hub.records import HeardRecord, HubsConfigured, KnownHub, SellRecord
from nodes.hub_keys import HubKeys
from nodes.machine import TIMER_FIRED, CancelTimer, Context, Note, Publish, Refused, SetTimer, TimerFired
from nodes.records import RecordSet
from nodes.runtime.links import LinkChanged
from schemas import limits
from schemas.events import CATALOGUE, Event, SellOrderPlaced
from schemas.hubs import FounderSignature, Founding, HubCertificate
from schemas.ids import Address, address, derive_id, hub_address, hub_of
from schemas.orders import BuyOrder, SellOrder

START: Final = 1_800_000_000.0
LATENCY_SECONDS: Final = 0.02
"""At least, from hub to hub; up to twice of it."""
PRICE_MICROS: Final = 1_000_000
UNITS: Final = 4
"""Of each lessor."""
KEY: Final = bytes(32)
SIGNATURE: Final = bytes(64)
FOUNDING: Final = Founding(founders=(KEY,))


@dataclass(slots=True)
class Site:
    """One hub."""

    me: Address
    machine: HubMachine
    links: tuple[str, ...]
    records: RecordSet = field(default_factory=RecordSet)
    timers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Fate:
    """What became of one order."""

    hubs_asked: int = 0
    waited: bool = False
    matched: bool = False

    @property
    def at_first_try(self) -> bool:
        """By hubs that were asked without a pause."""
        return self.matched and not self.waited


class Hubs:
    """So many hubs with so many participants in all: renters at every other hub, lessors at the rest.

    So nobody is served by its own hub, which is the harder case.
    """

    def __init__(self, hubs: int, participants: int, *, leaves: int = 0, seed: int = 1) -> None:
        self.random = Random(seed)
        self.now = START
        self.names = [f"H{number}" for number in range(hubs)]
        self.leaves = {hub_address(f"L{number}") for number in range(leaves)}
        self.sent: Counter[str] = Counter()
        """Messages between hubs, by type."""
        self.asked: Counter[str] = Counter()
        """Quotes asked for, by the hub that was asked."""
        self.announced_bytes = 0
        """Data of what hubs told each other of hubs."""
        self.announced_to: Counter[str] = Counter()
        """The same, by receiver."""
        self.gone: set[tuple[str, str]] = set()
        """Links that do not carry, each way."""
        self.fates: dict[str, Fate] = defaultdict(Fate)
        self.refusals: list[Refused] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.each_has = participants // hubs
        keys: dict[str, bytes] = dict.fromkeys(map(hub_address, self.names), KEY)
        links = self._links()
        for leaf in sorted(map(hub_of, self.leaves)):
            links[self.names[len(links) % hubs]].add(leaf)
            links[leaf] = {self.names[len(links) % hubs]}
        self.sites = {hub_address(name): self._site(name, linked, keys) for name, linked in links.items()}

    def _links(self) -> dict[str, set[str]]:
        links: dict[str, set[str]] = {name: set() for name in self.names}
        for _ in range(2):
            ring = self.random.sample(self.names, len(self.names))
            for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
                links[one].add(other)
                links[other].add(one)
        return links

    def _site(self, name: str, linked: set[str], keys: Mapping[str, bytes]) -> Site:
        own = (address(name, f"P{number}") for number in range(self.each_has))
        participants: dict[str, bytes] = dict.fromkeys(own, KEY)
        ends = tuple(map(hub_address, sorted(linked)))
        leaf = hub_address(name) in self.leaves
        own_key: dict[str, bytes] = {hub_address(name): KEY}
        config = HubConfig(
            me=hub_address(name),
            hub_keys=HubKeys(own_key if leaf else {**keys, **own_key}, FOUNDING),
            leaf=leaf,
            participants=participants,
            linked=ends,
            certificate=HubCertificate(name, KEY, 1, START + 1e8, (FounderSignature(0, SIGNATURE),)),
        )
        return Site(config.me, HubMachine(config), ends)

    # ---------------------------------------------------------------- acting

    def announce_all(self) -> None:
        """Every hub's process starts, and knows nobody but its neighbours."""
        for site in self.sites.values():
            self._after(0.0, self._event("hubs.configured", site.me, site.me, HubsConfigured()))

    def cut(self, one: Address, two: Address) -> None:
        """Both ends find that a link does not carry; what is sent over it is lost."""
        self.gone |= {(one, two), (two, one)}
        for hub, other in ((one, two), (two, one)):
            changed = LinkChanged(neighbour=other, why="nothing comes")
            self._after(0.0, self._event("link.changed", hub, hub, changed))

    def sell_all(self) -> None:
        """Every lessor places its order, at a price drawn around its hub's."""
        for name in self.names[1::2]:
            usual = PRICE_MICROS * self.random.lognormvariate(0.0, 0.2)
            for number in range(self.each_has):
                self.sell(address(name, f"P{number}"), int(usual * self.random.lognormvariate(0.0, 0.1)))

    def sell(self, lessor: Address, price_micros: int) -> None:
        """One lessor places its order."""
        order = SellOrder(
            id=derive_id("sell", lessor, price_micros),
            lessor=lessor,
            units=UNITS,
            price_micros=price_micros,
            protections=("homomorphic", "enclave", "sealed-result"),
            expires_at=self.now + limits.SELL_ORDER_SECONDS_MAX,
            signature=SIGNATURE,
        )
        self._tell_hub(lessor, "order.sell.placed", SellOrderPlaced(order=order, worker=derive_id("worker", lessor)))

    def rush(self, orders: int, units: int) -> list[str]:
        """So many orders in one moment, each of a renter drawn at random; their ids."""
        return [self.buy(address(self.random.choice(self.names[::2]), "P0"), units) for _ in range(orders)]

    def buy(self, renter: Address, units: int) -> str:
        """One order; its id."""
        number = next(self._count)
        order = BuyOrder(
            id=derive_id("order", number),
            renter=renter,
            job=derive_id("job", number),
            units=units,
            lessors_max=units,
            price_micros_max=limits.PRICE_MICROS_MAX_DEFAULT,
            protection="enclave",
            lease_seconds=600.0,
            match_by=self.now + limits.MATCH_SECONDS_DEFAULT,
            signature=SIGNATURE,
        )
        self._tell_hub(renter, "order.buy.placed", order)
        return order.id

    def run(self, seconds: float) -> None:
        """Let time pass, event by event."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            at, _, act = heapq.heappop(self._due)
            self.now = max(self.now, at)
            act()
        self.now = end

    # ---------------------------------------------------------------- looking

    def known(self, site: Site) -> set[str]:
        """The hubs whose compute a hub knows of."""
        context = Context(site.me, self.now, bytes(32), "", _sign, _verify)
        return {*words(Draft(site.machine.config, site.records, context), "enclave")}

    def bytes_of(self, prefix: str) -> Iterator[int]:
        """What each hub's records under a prefix take in its store."""
        for site in self.sites.values():
            yield sum(len(msgspec.json.encode(site.records[key])) for key in site.records.under(prefix))

    def lengths(self) -> Iterator[int | None]:
        """Of the ways from every hub but leaves to every other one; None where it knows none."""
        for site in self.sites.values():
            if site.me in self.leaves:
                continue
            for name in self.names:
                record = site.records.get(f"known/{name}")
                if hub_address(name) != site.me:
                    yield len(record.path) or None if isinstance(record, KnownHub) else None

    def stored(self, prefix: str) -> Iterator[int]:
        """What each record under a prefix takes in the store of each hub, with its key."""
        for site in self.sites.values():
            for key in site.records.under(prefix):
                yield len(key) + len(msgspec.msgpack.encode(site.records[key]))

    def kept_at_leaves(self) -> Iterator[tuple[int, int]]:
        """Hubs that each leaf knows, and bytes of all that it keeps of others in its store, with the keys."""
        for leaf in self.leaves:
            records = self.sites[leaf].records
            keys = [key for prefix in ("known", "sought", "heard", "telling") for key in records.under(prefix)]
            size = sum(len(key) + len(msgspec.msgpack.encode(records[key])) for key in keys)
            yield len(records.under("known")) - 1, size

    def words_kept(self) -> Iterator[int]:
        """Of others, at each hub."""
        for site in self.sites.values():
            found = (site.records[key] for key in site.records.under("heard"))
            yield sum(len(record.capacities) for record in found if isinstance(record, HeardRecord))

    def prices(self) -> dict[str, int]:
        """The best price of every hub with a lessor."""
        found: dict[str, int] = {}
        for site in self.sites.values():
            sells = [site.records[key] for key in site.records.under("sell")]
            prices = [record.order.price_micros for record in sells if isinstance(record, SellRecord)]
            if prices:
                found[site.me] = min(prices)
        return found

    # ---------------------------------------------------------------- the wire

    def _tell_hub(self, source: Address, event_type: str, data: Struct) -> None:
        self._after(0.0, self._event(event_type, source, hub_address(source.partition(".")[0]), data))

    def _event(self, event_type: str, source: Address, to: Address, data: Struct) -> Event:
        event_id = derive_id("event", next(self._count))
        return Event(event_id, event_type, source, to, self.now, "test", data)

    def _after(self, seconds: float, event: Event) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._count), lambda: self._handle(event)))

    def _handle(self, event: Event) -> None:
        site = self.sites[event.to]
        entropy = self.random.randbytes(32)
        try:
            step = site.machine.handle(
                site.records, event, Context(site.me, self.now, entropy, event.id, _sign, _verify)
            )
        except Refused as refusal:
            self.refusals.append(refusal)
            return
        for key in step.delete:
            site.records.drop(key)
        for key, record in step.put.items():
            site.records.put(key, record)
        for effect in step.effects:
            match effect:
                case Publish():
                    self._publish(site, effect)
                case SetTimer():
                    self._set_timer(site, effect)
                case CancelTimer():
                    site.timers.pop(effect.name, None)
                case Note(kind="short"):
                    self.fates[effect.details["order"]].waited = True

    def _publish(self, site: Site, effect: Publish) -> None:
        if effect.type == "order.buy.matched":
            self.fates[effect.subject].matched = True
        if effect.to not in self.sites:
            return
        if (site.me, effect.to) in self.gone:
            return
        self.sent[effect.type] += 1
        if effect.type == "hubs.announced":
            size = len(msgspec.json.encode(effect.data))
            self.announced_bytes += size
            self.announced_to[effect.to] += size
        if effect.type == "quote.requested":
            self.fates[effect.subject].hubs_asked += 1
            self.asked[effect.to] += 1
        data_class: Any = CATALOGUE[effect.type].data
        event = self._event(effect.type, site.me, Address(effect.to), msgspec.convert(effect.data, data_class))
        self._after(LATENCY_SECONDS * self.random.uniform(1.0, 2.0), event)

    def _set_timer(self, site: Site, timer: SetTimer) -> None:
        number = next(self._count)
        site.timers[timer.name] = number

        def fire() -> None:
            if site.timers.get(timer.name) == number:
                del site.timers[timer.name]
                self._handle(self._event(TIMER_FIRED, site.me, site.me, TimerFired(name=timer.name, at=timer.at)))

        heapq.heappush(self._due, (max(self.now, timer.at), number, fire))


def _sign(_: bytes) -> bytes:
    return SIGNATURE


def _verify(*_: bytes) -> bool:
    return True
