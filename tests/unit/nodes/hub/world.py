"""Hubs in memory: real machines and real signatures, a router and a clock that the test moves. No shell, no broker.

Every event is handled twice and the outcomes compared, the records are compared before and after, and every record
goes through its encoding, so that each scenario also shows that handling is deterministic, pure and storable.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct, structs

from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.machine import HubMachine
from nodes.hub.records import SellRecord
from nodes.machine import TIMER_FIRED, CancelTimer, Context, Note, Publish, Refused, SetTimer, Step, TimerFired
from schemas.contracts import Contract
from schemas.events import CATALOGUE, CapacityAdvertised, ContractSigned, Event, SellOrderPlaced
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.orders import BuyOrder, Capacity, Protection, SellOrder
from schemas.signing import struct_bytes

R = TypeVar("R", bound=Struct)
START = 1_800_000_000.0


@functools.cache
def private_key(address: str) -> Ed25519PrivateKey:
    """A key that is always the same for an address."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(address.encode()).digest())


def public_key(address: str) -> bytes:
    return private_key(address).public_key().public_bytes_raw()


def signer(address: str) -> Callable[[bytes], bytes]:
    return private_key(address).sign


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sell_order(lessor: str, number: int = 1, **fields: Any) -> SellOrder:
    """A signed sell order: 4 units at 100, an hour, all protections."""
    terms: dict[str, Any] = {
        "units": 4,
        "price_micros": 100,
        "protections": ("homomorphic", "enclave", "sealed-result"),
        "expires_at": START + 3600,
    } | fields
    order = SellOrder(id=derive_id("sell", lessor, number), lessor=lessor, **terms)
    return structs.replace(order, signature=signer(lessor)(struct_bytes(order)))


def placed(order: SellOrder, worker: int = 1) -> SellOrderPlaced:
    """As one of its lessor's workers places it."""
    return SellOrderPlaced(order=order, worker=derive_id("worker", order.lessor, worker))


def buy_order(renter: str, number: int = 1, *, now: float = START, **fields: Any) -> BuyOrder:
    """A signed buy order: 2 units of one lessor at up to 1000, half a minute to match, a lease of 10 minutes."""
    protection: Protection = "enclave"
    terms: dict[str, Any] = {
        "units": 2,
        "price_micros_max": 1000,
        "protection": protection,
        "lease_seconds": 600.0,
        "match_by": now + 30.0,
    } | fields
    order = BuyOrder(
        id=derive_id("order", renter, number), renter=renter, job=derive_id("job", renter, number), **terms
    )
    return structs.replace(order, signature=signer(renter)(struct_bytes(order)))


def capacity(hub: str, **fields: Any) -> Capacity:
    """Word of a hub that has no lessors, unless the fields say so."""
    protection: Protection = fields.pop("protection", "enclave")
    return Capacity(hub=hub, protection=protection, **{"units": 0, "at": START} | fields)


class World:
    """`World({"A11": ["A12"], "B11": ["B12", "B13"]})`: hubs, their participants; `links`, else all are linked.

    `bridged` are hubs reached over a bridge, and the neighbour there, by hub: `{A: {B: B, C: B}}`.
    """

    def __init__(
        self,
        subnets: Mapping[str, Sequence[str]],
        links: Collection[tuple[str, str]] | None = None,
        bridged: Mapping[str, Mapping[str, Address]] | None = None,
    ) -> None:
        self.now = START
        self.hub_keys: dict[str, bytes] = {hub_address(hub): public_key(hub_address(hub)) for hub in subnets}
        self.machines: dict[str, HubMachine] = {}
        self.records: dict[str, dict[str, Struct]] = {}
        for hub, names in subnets.items():
            participants = {f"{hub}.{name}": public_key(f"{hub}.{name}") for name in names}
            me = hub_address(hub)
            ends = {each for link in links or () for each in link if hub in link} - {hub}
            linked = None if links is None else tuple(map(hub_address, ends))
            config = HubConfig(
                me=me,
                hub_keys=self.hub_keys,
                participants=participants,
                linked=linked,
                bridged=(bridged or {}).get(me, {}),
            )
            self.machines[me] = HubMachine(config)
            self.records[me] = {}
        self.inbox: dict[str, list[Event]] = {}
        self.notes: list[tuple[str, Note]] = []
        self.refusals: list[Refused] = []
        self.sent: list[Event] = []
        self.queue: list[Event] = []
        self.cut_off: set[str] = set()
        """Hubs that receive nothing; what is sent there waits."""
        self.lost: set[str] = set()
        """Types of events that never arrive."""
        self.choose: Callable[[int], int] = lambda length: 0
        """Which of the events under way arrives next."""
        self.timers: dict[tuple[str, str], float] = {}
        self.signers: dict[str, Callable[[bytes], bytes]] = {}
        """Of hubs whose key is another than their address' (`private_key`)."""
        self._events = 0

    # ------------------------------------------------------------ acting

    def send(self, event_type: str, source: str, data: Struct, to: str = "", **fields: Any) -> Event:
        """An event of a participant to its hub (or to `to`), under way."""
        self._events += 1
        event = Event(
            id=derive_id("event", self._events),
            type=event_type,
            source=Address(source),
            to=Address(to) if to else hub_address(hub_of(Address(source))),
            time=self.now,
            subject="test",
            data=data,
        )
        event = Event(**({name: getattr(event, name) for name in event.__dataclass_fields__} | fields))
        self.queue.append(event)
        return event

    def sell(self, lessor: str, number: int = 1, **fields: Any) -> SellOrder:
        order = sell_order(lessor, number, **fields)
        self.send("order.sell.placed", lessor, placed(order))
        return order

    def buy(self, renter: str, number: int = 1, **fields: Any) -> BuyOrder:
        order = buy_order(renter, number, now=self.now, **fields)
        self.send("order.buy.placed", renter, order)
        return order

    def tell(self, by: str, to: str, *capacities: Capacity, **fields: Any) -> Event:
        """A hub's word to its neighbour, under way."""
        return self.send("capacity.advertised", by, CapacityAdvertised(capacities=capacities), to=to, **fields)

    def settle(self) -> None:
        """Deliver until nothing is under way that can be delivered, and fire timers that are due."""
        for _ in range(100_000):
            ready = [event for event in self.queue if event.to not in self.cut_off]
            if ready:
                event = ready[self.choose(len(ready))]
                self.queue.remove(event)
                self.deliver(event)
                continue
            due = sorted((at, key) for key, at in self.timers.items() if at <= self.now)
            if not due:
                return
            self._fire(*due[0][1])
        raise AssertionError("the hubs talk without end")

    def run(self, seconds: float) -> None:
        """Let so much time pass, timer by timer."""
        end = self.now + seconds
        self.settle()
        while self.timers and min(self.timers.values()) <= end:
            self.now = max(self.now, min(self.timers.values()))
            self.settle()
        self.now = end

    def deliver(self, event: Event) -> None:
        """Let its receiver handle an event now; a refusal is collected."""
        if event.to not in self.machines:
            self.inbox.setdefault(event.to, []).append(event)
            return
        try:
            self.handle(event)
        except Refused as refusal:
            self.refusals.append(refusal)

    def handle(self, event: Event) -> Step:
        """Let a hub handle an event now.

        Raises:
            Refused: as the machine does.
        """
        me = event.to
        machine, records = self.machines[me], self.records[me]
        assert machine.aggregate_of(event) == "hub"
        before = _encoded(records)
        context = Context(
            me=me,
            now=self.now,
            entropy=bytes(32),
            event_id=event.id,
            sign=self.signers.get(me, signer(me)),
            verify=verify,
        )
        try:
            step = machine.handle(records, event, context)
            assert step == machine.handle(records, event, context), "handling is not deterministic"
        finally:
            assert _encoded(records) == before, "handling changed the records"
        self._apply(me, event, step)
        return step

    # ------------------------------------------------------------ looking

    def all(self, hub: str, record_type: type[R]) -> list[R]:
        return [record for record in self.records[f"{hub}.hub"].values() if isinstance(record, record_type)]

    def got(self, party: str, event_type: str) -> list[Any]:
        """Data of the events of a type that a participant received."""
        return [event.data for event in self.inbox.get(party, []) if event.type == event_type]

    def contracts(self, party: str) -> list[Contract]:
        return [data.contract for data in self.got(party, "contract.signed") if isinstance(data, ContractSigned)]

    def wire(self, event_type: str) -> list[Event]:
        """Events of a type that hubs sent."""
        return [event for event in self.sent if event.type == event_type]

    def told(self, to: str) -> tuple[Capacity, ...]:
        """What a hub was told last."""
        (*_, last) = (event.data for event in self.wire("capacity.advertised") if event.to == to)
        assert isinstance(last, CapacityAdvertised)
        return last.capacities

    def draft(self, me: Address) -> Draft:
        """A hub's records as it sees them now."""
        context = Context(me=me, now=self.now, entropy=bytes(32), event_id="", sign=signer(me), verify=verify)
        return Draft(self.machines[me].config, self.records[me], context)

    def held(self, hub: str) -> dict[str, int]:
        """Units held per lessor."""
        held: dict[str, int] = {}
        for record in self.all(hub, SellRecord):
            held[record.order.lessor] = held.get(record.order.lessor, 0) + sum(record.held.values())
        return held

    def kinds(self, hub: str) -> set[str]:
        """Prefixes of the records that a hub keeps."""
        return {key.partition("/")[0] for key in self.records[f"{hub}.hub"]}

    # ------------------------------------------------------------ inside

    def _fire(self, hub: str, name: str) -> None:
        at = self.timers.pop((hub, name))
        self._events += 1
        fired = TimerFired(name=name, at=at)
        event_id = derive_id("event", "timer", self._events)
        self.deliver(
            Event(
                id=event_id,
                type=TIMER_FIRED,
                source=Address(hub),
                to=Address(hub),
                time=self.now,
                subject="hub",
                data=fired,
            )
        )

    def _apply(self, me: Address, event: Event, step: Step) -> None:
        records = self.records[me]
        assert not step.delete & step.put.keys()
        assert step.delete <= records.keys()
        for key in step.delete:
            del records[key]
        for key, record in step.put.items():
            record_class = self.machines[me].record_types[key.partition("/")[0]]
            assert type(record) is record_class
            records[key] = msgspec.json.decode(msgspec.json.encode(record), type=record_class)
            assert records[key] == record
        for index, effect in enumerate(step.effects):
            if isinstance(effect, Publish):
                self._publish(me, event, index, effect)
            elif isinstance(effect, SetTimer):
                self.timers[me, effect.name] = effect.at
            elif isinstance(effect, CancelTimer):
                self.timers.pop((me, effect.name), None)
            elif isinstance(effect, Note):
                self.notes.append((me, effect))

    def _publish(self, me: Address, event: Event, index: int, effect: Publish) -> None:
        row = CATALOGUE[effect.type]
        assert row.data is not None
        assert "hub" in row.sender
        published = Event(
            id=derive_id("event", event.id, me, index),
            type=effect.type,
            source=me,
            to=Address(effect.to),
            time=self.now,
            subject=effect.subject,
            data=msgspec.convert(effect.data, row.data),
            cause=event.id,
        )
        self.sent.append(published)
        if published.type not in self.lost:
            self.queue.append(published)


def hold_proposals(world: World) -> list[Event]:
    """Deliver everything up to the proposals, and take those off the wire."""
    world.choose = lambda length: 0
    held: list[Event] = []
    while True:
        held += [event for event in world.queue if event.type == "contract.proposed"]
        world.queue = [event for event in world.queue if event.type != "contract.proposed"]
        if not world.queue:
            return held
        world.deliver(world.queue.pop(0))


def _encoded(records: dict[str, Struct]) -> bytes:
    return msgspec.msgpack.encode(records)
