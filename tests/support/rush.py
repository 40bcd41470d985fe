"""A rush on a market: renters' buy orders all at once, for more units than lessors offer, and what must come of it.

Speaks as renters and lessors, of which no process runs; the hubs are whatever the test started.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from msgspec import Struct, structs

from broker.names import queue_name, routing_key
from broker.port import Broker, Message
from nodes.contracts import verify_contract
from nodes.identity import Identity, verify
from schemas import codec
from schemas.contracts import Contract
from schemas.events import (
    CATALOGUE,
    BuyOrderRefused,
    ContractEnded,
    ContractsCompleted,
    ContractSigned,
    Event,
    SellOrderPlaced,
)
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.orders import PROTECTIONS, BuyOrder, SellOrder
from schemas.signing import struct_bytes

PUBLISH_SECONDS_MAX: Final = 60.0
PREFETCH: Final = 200
UNITS_MAX: Final = 3
"""Orders ask for one unit, for two, for as many as this, and so on."""
LEASE_SECONDS: Final = 3600.0
"""All contracts run at the same time."""
PRICE: Final = 1_000_000

Order = TypeVar("Order", BuyOrder, SellOrder)


@dataclass(slots=True)
class Heard:
    """What renters and lessors were told; by order, and by contract."""

    matched: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    rented: dict[str, Contract] = field(default_factory=dict)
    let: dict[str, Contract] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def note(self, me: Address, event: Event) -> None:
        """Repetitions change nothing."""
        data = event.data
        if isinstance(data, ContractsCompleted):
            self.matched[data.order] = data.contracts
        elif isinstance(data, BuyOrderRefused):
            self.refused[data.order] = data.code
        elif isinstance(data, ContractEnded):
            self.ended.add(data.contract)
        elif isinstance(data, ContractSigned):
            side = self.rented if data.contract.renter == me else self.let
            side[data.contract.id] = data.contract


@dataclass(slots=True)
class Rush:
    """One market, once. `connect` gives a connection of an address."""

    connect: Callable[[Address], Awaitable[Broker]]
    identities: Mapping[Address, Identity]
    hub_keys: Mapping[str, bytes]
    renters: Sequence[Address]
    lessors: Sequence[Address]
    heard: Heard = field(default_factory=Heard)
    brokers: dict[Address, Broker] = field(default_factory=dict)
    offered: dict[str, SellOrder] = field(default_factory=dict)
    asked: dict[str, BuyOrder] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Everybody hears, while this lasts."""
        for each in (*self.renters, *self.lessors):
            self.brokers[each] = await self.connect(each)
        tasks = [asyncio.create_task(self._listen(each)) for each in self.brokers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(each.close() for each in self.brokers.values()))

    async def offer(self, units: int) -> None:
        """Every lessor offers so many units."""
        for lessor in self.lessors:
            unsigned = SellOrder(
                id=derive_id("sell", lessor),
                lessor=lessor,
                units=units,
                price_micros=PRICE,
                protections=PROTECTIONS,
                expires_at=time.time() + 600,
            )
            order = self._signed(lessor, unsigned)
            self.offered[order.id] = order
            placed = SellOrderPlaced(order=order, worker=derive_id("worker", lessor))
            await self._send(lessor, "order.sell.placed", order.id, placed)

    async def order(self, count: int, match_seconds: float) -> None:
        """So many buy orders of all renters, at once."""
        await asyncio.gather(*(self._order(number, time.time() + match_seconds) for number in range(count)))

    async def answered(self, count: int) -> None:
        """Return as soon as so many orders have their answer."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.heard.matched | self.heard.refused) >= count)

    def require_fair(self) -> Counter[str]:
        """No unit is sold twice, every order ended once, both sides hold the same; how many ended in what way."""
        heard = self.heard
        assert heard.matched.keys() | heard.refused.keys() == self.asked.keys()
        assert not heard.matched.keys() & heard.refused.keys()
        for order, contracts in heard.matched.items():
            made = [heard.rented[each] for each in contracts]
            assert sum(each.units for each in made) >= self.asked[order].units, order
        running = {name: each for name, each in heard.let.items() if name not in heard.ended}
        assert running == {name: each for name, each in heard.rented.items() if name not in heard.ended}
        assert running.keys() == {name for contracts in heard.matched.values() for name in contracts}
        sold: Counter[str] = Counter()
        for contract in running.values():
            verify_contract(contract, self.hub_keys, verify)
            sold[contract.sell.id] += contract.units
        assert all(units <= self.offered[name].units for name, units in sold.items()), sold
        return Counter(heard.refused.values()) + Counter({"matched": len(heard.matched), "units": sold.total()})

    async def _order(self, number: int, match_by: float) -> None:
        renter = self.renters[number % len(self.renters)]
        unsigned = BuyOrder(
            id=derive_id("order", renter, number),
            renter=renter,
            job=derive_id("job", renter, number),
            units=1 + number % UNITS_MAX,
            price_micros_max=2 * PRICE,
            protection="enclave",
            lease_seconds=LEASE_SECONDS,
            match_by=match_by,
        )
        order = self._signed(renter, unsigned)
        self.asked[order.id] = order
        await self._send(renter, "order.buy.placed", order.id, order)

    def _signed(self, of: Address, order: Order) -> Order:
        return structs.replace(order, signature=self.identities[of].sign(struct_bytes(order)))

    async def _send(self, of: Address, event_type: str, subject: str, data: Struct) -> None:
        event = Event(
            id=derive_id("event", event_type, subject),
            type=event_type,
            source=of,
            to=hub_address(hub_of(of)),
            time=time.time(),
            subject=subject,
            data=data,
        )
        headers, body = codec.encode(event, self.identities[of].sign)
        key = routing_key(event.to, of, CATALOGUE[event_type].kind)
        message = Message(key=key, body=body, headers=headers, id=event.id)
        await self.brokers[of].publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)

    async def _listen(self, me: Address) -> None:
        async with self.brokers[me].consume(queue_name(me, "control"), prefetch=PREFETCH) as deliveries:
            async for delivery in deliveries:
                received = codec.decode(delivery.message.headers, delivery.message.body)
                await delivery.ack()
                async with self.changed:
                    self.heard.note(me, received.event)
                    self.changed.notify_all()
