"""Two hubs that beat over links which the test cuts, in virtual time: what is committed, and who is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from broker.errors import BrokerUnreachable, PublishUnknown
from broker.names import HEARTBEAT, queue_name, routing_key
from broker.port import Message
from nodes.identity import Identity
from nodes.runtime.door import Door
from nodes.runtime.heartbeats import Heartbeats
from nodes.runtime.links import BEAT_SECONDS, LinkChanged, Links
from nodes.runtime.post import Post
from nodes.store.errors import StoreFailed
from schemas import codec
from schemas.events import Event, Heartbeat
from schemas.ids import Address
from tests.support.world import Clock
from tests.unit.nodes.runtime.test_door import FakeDelivery

A, B, C = (Identity.from_seed(Address(f"{name}.hub"), name.encode() * 10 + b"--") for name in ("A11", "B11", "C11"))
KEYS: dict[str, bytes] = {each.address: each.public for each in (A, B, C)}
SILENT = f"nothing has come from {B.address} for 9 s"


@dataclass(eq=False)
class Wire:
    """All brokers and links in one: whatever is published reaches the queue of whom its key names, unless it is cut."""

    queues: dict[str, asyncio.Queue[FakeDelivery]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    """Addresses whose messages reach nobody but themselves."""
    fails: Exception | None = None
    seen: list[FakeDelivery] = field(default_factory=list)

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        if self.fails is not None:
            raise self.fails
        to, source = message.key.split(".", 2)[0], message.key.split(".")[2]
        if f"{source}.hub" not in self.cut or to == source:
            self.give(message)

    def give(self, message: Message) -> FakeDelivery:
        delivery = FakeDelivery(message)
        self.seen.append(delivery)
        self.of(f"{message.key.split('.')[0]}.hub").put_nowait(delivery)
        return delivery

    def of(self, address: str) -> asyncio.Queue[FakeDelivery]:
        return self.queues.setdefault(address, asyncio.Queue())

    def consume(self, queue: str, **_: object) -> Consuming:
        (address,) = (each.address for each in (A, B, C) if queue == queue_name(each.address, HEARTBEAT))
        return Consuming(self.of(address))


@dataclass(eq=False)
class Consuming:
    queue: asyncio.Queue[FakeDelivery]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to end."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FakeDelivery:
        return await self.queue.get()


@dataclass(eq=False)
class Pair:
    """Hubs A11 and B11, and what each had committed."""

    wire: Wire = field(default_factory=Wire)
    clock: Clock = field(default_factory=Clock)
    committed: dict[str, list[LinkChanged]] = field(default_factory=lambda: {A.address: [], B.address: []})
    store_fails: set[str] = field(default_factory=set)
    _beat: dict[str, asyncio.Event] = field(default_factory=dict)

    def hub(self, me: Identity, neighbour: Identity) -> Heartbeats:
        async def submit(event_type: str, data: Any, aggregate: str) -> None:
            assert (event_type, aggregate) == ("link.changed", "hub")
            if me.address in self.store_fails:
                raise StoreFailed("full")
            await asyncio.sleep(0)
            self.committed[me.address].append(data)

        async def pause(seconds: float) -> None:
            assert seconds == BEAT_SECONDS
            event = self._beat[me.address] = asyncio.Event()
            await event.wait()

        wire: Any = self.wire
        door = Door(me.address, "hub", self.clock)
        post = Post(me, wire, self.clock)

        async def key_of(hub: str) -> bytes | None:
            return KEYS.get(hub)

        links = Links([neighbour.address])
        return Heartbeats(wire, door, post, key_of, links, submit, "hub", self.clock, pause)

    @contextmanager
    def running(self) -> Iterator[None]:
        tasks = [asyncio.create_task(self.hub(*each).run()) for each in ((A, B), (B, A))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def beats(self, count: int) -> None:
        for _ in range(count):
            await self._quiet()
            self.clock.now += BEAT_SECONDS
            for event in self._beat.values():
                event.set()
        await self._quiet()

    async def _quiet(self) -> None:
        """Until all that was published is settled and both wait for their next beat."""
        for _ in range(50):
            await asyncio.sleep(0)
        while any(not each.settled for each in self.wire.seen):  # noqa: ASYNC110 - signatures are checked in threads
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)

    def said(self, of: Identity) -> list[str]:
        return [each.why for each in self.committed[of.address]]


def heartbeat(source: Identity, signer: Identity | None = None, *, hears: bool = False, number: int = 1) -> Message:
    event = Event(
        id=f"beat-{number}",
        type="heartbeat.sent",
        source=source.address,
        to=A.address,
        time=Clock().now,
        subject=A.address,
        data=Heartbeat(hears=hears),
    )
    headers, body = codec.encode(event, (signer or source).sign)
    return Message(routing_key(A.address, source.address, HEARTBEAT), body, headers, event.id)


async def test_a_cut_and_its_end_are_committed_once_at_both_ends() -> None:
    pair = Pair()
    with pair.running():
        await pair.beats(3)
        assert (pair.said(A), pair.said(B)) == ([""], [""])
        pair.wire.cut = {B.address}
        await pair.beats(7)
        pair.wire.cut = set()
        for number in range(3):  # some that waited come at once
            pair.wire.give(heartbeat(B, hears=True, number=number))
        await pair.beats(3)
    assert pair.said(A) == ["", SILENT, ""]
    assert pair.said(B) == ["", f"{A.address} says that nothing comes from here", ""]
    assert {each.neighbour for each in pair.committed[A.address]} == {B.address}


async def test_what_could_not_be_committed_is_said_again() -> None:
    pair = Pair()
    with pair.running():
        await pair.beats(3)
        pair.wire.cut, pair.store_fails = {B.address}, {A.address}
        await pair.beats(8)
        assert pair.said(A) == [""]
        pair.store_fails = set()
        await pair.beats(1)
    assert pair.said(A) == ["", SILENT]


@pytest.mark.parametrize("error", [BrokerUnreachable("gone"), PublishUnknown("no confirm")])
async def test_while_its_own_broker_is_away_a_hub_blames_nobody(error: Exception) -> None:
    pair = Pair()
    with pair.running():
        await pair.beats(3)
        pair.wire.fails = error
        await pair.beats(30)
        pair.wire.fails = None
        await pair.beats(3)
    assert (pair.said(A), pair.said(B)) == ([""], [""])


@pytest.mark.parametrize(
    ("message", "code"),
    [(heartbeat(C), "no-neighbour"), (heartbeat(B, signer=C), "bad-signature")],
)
async def test_only_neighbours_own_heartbeats_are_believed(message: Message, code: str) -> None:
    pair = Pair()
    with pair.running():
        await pair.beats(2)
        forged = pair.wire.give(message)
        await pair.beats(1)
    assert forged.settled == [code]
    assert pair.said(A) == [""]
