"""A small network on the embedded broker for tests of the runtime: one hub, a node under test, and its peers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.embedded import EmbeddedServer
from broker.names import dead_queue, queue_name, routing_key
from broker.network import Hub, Network, Participant
from broker.port import DEAD_REASON, Broker, Consumer, Message
from nodes.identity import Identity
from nodes.runtime.loop import Runtime
from nodes.runtime.outbox import Activity
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from schemas import codec
from schemas.events import Event, OrderCancelled
from schemas.ids import Address, derive_id, hub_address
from tests.support.toy_machine import Tally, ToyMachine

ME = Identity.from_seed(Address("A11.A12"), b"\x01" * 32)
PEER = Identity.from_seed(Address("A11.B12"), b"\x02" * 32)
STRANGER = Identity.from_seed(Address("A11.C12"), b"\x03" * 32)
NOW = 1_000_000.0


@dataclass(slots=True)
class Clock:
    """Time that stands still until it is moved."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def told(number: int, reason: str, *, subject: str = "job", source: Identity = PEER, to: Address = ME.address) -> Event:
    """The `number`-th event that tells the toy machine to do what `reason` says."""
    return Event(
        id=derive_id("event", number),
        type="order.sell.cancelled",
        source=source.address,
        to=to,
        time=NOW,
        subject=subject,
        data=OrderCancelled(order=derive_id("sell", number), reason=reason),
    )


def message(event: Event, signer: Identity = PEER, *, sender: Identity = PEER) -> Message:
    """The event as `sender` puts it on the wire, signed by `signer`."""
    headers, body = codec.encode(event, signer.sign)
    return Message(key=routing_key(ME.address, sender.address, "control"), body=body, headers=headers, id=event.id)


@dataclass(slots=True)
class Running:
    """A runtime at work."""

    runtime: Runtime
    store: Store
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def end(self) -> None:
        """Stop it and wait; raises what it raised."""
        self.stop.set()
        await self.task


@dataclass(slots=True)
class World:
    """The network, what reaches the peer, and what is dead-lettered."""

    folder: Path
    server: EmbeddedServer
    peer: Broker
    answers: Consumer
    dead: Consumer
    clock: Clock = field(default_factory=Clock)
    running: list[Running] = field(default_factory=list)
    opened: list[Store] = field(default_factory=list)

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path) -> World:
        """A world whose runtimes and connections end with `stack`."""
        members = tuple(Participant(name=name, role="renter") for name in ("A12", "B12", "C12"))
        server = EmbeddedServer(Network(hubs=(Hub(name="A11", participants=members),), keep_unroutable=False))
        stack.push_async_callback(server.close)
        peer = server.connect(PEER.address)
        hub = server.connect(hub_address("A11"))
        answers = await stack.enter_async_context(peer.consume(queue_name(PEER.address, "control"), prefetch=1000))
        dead = await stack.enter_async_context(hub.consume(dead_queue("A11"), prefetch=1000))
        world = cls(folder, server, peer, answers, dead)
        stack.push_async_callback(world.close)
        return world

    async def store(self) -> Store:
        """The node's store, opened once more."""
        store = await SqliteStore.open(self.folder / "node.sqlite", ToyMachine.record_types)
        self.opened.append(store)
        return store

    async def start(
        self,
        *,
        activities: Mapping[str, Activity] | None = None,
        broker: Broker | None = None,
        machine: ToyMachine | None = None,
        store: Store | None = None,
        storage: Storage | None = None,
        hearing_since: Callable[[], float] = lambda: 0.0,
        **more: Any,
    ) -> Running:
        """One process of the node under test; `more` goes to its `Runtime`."""
        store = store or await self.store()
        runtime = Runtime(
            machine=machine or ToyMachine({PEER.address: PEER.public, STRANGER.address: STRANGER.public}),
            broker=broker or self.server.connect(ME.address),
            store=store,
            identity=ME,
            clock=self.clock,
            activities=activities or {},
            blobs=BlobStore(self.folder / "blobs"),
            entropy=os.urandom,
            storage=storage,
            hearing_since=hearing_since,
            **more,
        )
        stop = asyncio.Event()
        running = Running(runtime, store, stop, asyncio.create_task(runtime.run(stop)))
        self.running.append(running)
        return running

    async def tell(self, *messages: Message, sender: Identity = PEER) -> None:
        """Publish to the node under test."""
        broker = self.peer if sender is PEER else self.server.connect(sender.address)
        for one in messages:
            await broker.publish(one, timeout_seconds=5.0)

    async def answered(self, count: int) -> list[Event]:
        """The next answers that reach the peer, verified."""
        events = []
        for _ in range(count):
            delivery = await anext(self.answers)
            received = codec.decode(delivery.message.headers, delivery.message.body)
            events.append(received.event)
            await delivery.ack()
        return events

    async def buried(self, count: int) -> list[tuple[str, str]]:
        """Id and reason of the next dead letters."""
        letters = []
        for _ in range(count):
            delivery = await anext(self.dead)
            letters.append((delivery.message.id, str(delivery.message.headers[DEAD_REASON])))
            await delivery.ack()
        return letters

    async def close(self) -> None:
        """End what still runs."""
        for running in self.running:
            if not running.task.done():
                await running.end()
            await running.store.close()
        for store in self.opened:
            await store.close()


async def tally(store: Store, aggregate: str = "job") -> Tally:
    """What the toy machine noted in an aggregate."""
    record = (await store.read(aggregate)).get("tally", Tally())
    assert isinstance(record, Tally)
    return record


def reasons(events: Sequence[Event]) -> list[str]:
    """The words that answers repeat."""
    return [str(getattr(event.data, "reason", "")) for event in events]


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again, giving others their turn, until the condition holds."""
    while not await condition():  # noqa: ASYNC110 - what is awaited happens in the store
        await asyncio.sleep(0)


async def empty(store: Store) -> bool:
    """Whether every effect was carried out."""
    return not await store.outbox_size()


async def fired(store: Store) -> bool:
    """Whether the toy machine saw its timer."""
    return "timer.fired" in (await tally(store)).seen
