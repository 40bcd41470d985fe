"""Where a worker's results go: to the renter, or sealed to its partner, with word of it to the renter."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs

from broker.embedded import EmbeddedServer
from broker.names import queue_name
from broker.network import Hub, Link, Network, Participant
from nodes.lessor.compute.port import Computed
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.records import EvidenceMade, SealAccepted
from nodes.lessor.receipts import Receipts
from nodes.lessor.refusals import Refusals
from nodes.lessor.worker import LessorWorker
from nodes.runtime.post import Post
from schemas import codec
from schemas.events import BatchForwarded, Event, KeySealed, SubtaskAnnounced, SubtaskAssigned, batch_attributes
from schemas.ids import Address
from schemas.jobs import Batch, SubtaskTerms
from tests.unit.nodes.lessor.protocol.desk import BATCH, JOB, NAME, PROGRAM, PUBLIC_KEY, SUBTASK, rented, terms
from tests.unit.nodes.lessor.rentals import HUB_KEYS, IDENTITIES, LESSOR, RENTER

PARTNER = Address("A11.A13")
SECONDS_MAX = 20


class FakeWorkshop:
    """Enclaves that agree to every key and compute the same result of every batch."""

    async def perform(self, activity: str, subtask: str, **_: Any) -> tuple[str, Struct]:
        if activity == "offer":
            return "evidence.made", EvidenceMade(subtask=subtask, evidence=b"evidence")
        return "seal.accepted", SealAccepted(subtask=subtask, mac=b"mac", protections=())

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        return Computed(b"result of " + body, 1.5)

    async def close_all(self) -> None:
        """There is nothing to close."""


@dataclass
class Renter:
    """Answers whatever a worker asks, up to the first batch."""

    server: EmbeddedServer
    terms: SubtaskTerms
    lane: str
    stop: asyncio.Event
    """Ends the worker."""
    working: asyncio.Task[None]

    def __post_init__(self) -> None:
        self.post = Post(IDENTITIES[RENTER], self.server.connect(RENTER), time.time)

    async def send(self, event_type: str, subject: str = SUBTASK, data: Struct | None = None, **more: Any) -> None:
        name = f"event-{event_type}"
        await self.post.send(event_type, LESSOR, subject, data, event_id=name, lane=self.lane, **more)

    async def answer(self, event: Event) -> None:
        if event.type == "subtask.requested":
            await self.send("subtask.assigned", data=SubtaskAssigned(terms=self.terms, worker=NAME, nonce=b"nonce"))
        elif event.type == "pieces.requested":
            await self.send("program.published", body=PROGRAM)
            await self.send("public-key.published", body=PUBLIC_KEY)
        elif event.type == "key.offered":
            sealed = {"sealed": b"s", "signature": b"g", "claims": b"c", "policy_digest": b"p"}
            await self.send("key.sealed", data=KeySealed(subtask=SUBTASK, worker=NAME, **sealed))
        elif event.type == "key.confirmed":
            await self.send("batch.dispatched", JOB, body=b"rows", attributes=batch_attributes(BATCH))

    async def until(self, last: str) -> Event:
        """The event of that type, once everything before it was answered, and it too."""
        await self.send("subtask.announced", data=SubtaskAnnounced(terms=self.terms))
        while True:
            event = await next_event(self.server, RENTER, "control")
            await self.answer(event)
            if event.type == last:
                return event


async def next_event(server: EmbeddedServer, of: Address, kind: str) -> Event:
    broker = server.connect(of)
    async with asyncio.timeout(SECONDS_MAX), broker.consume(queue_name(of, kind), prefetch=1) as consumer:
        delivery = await anext(consumer)
        await delivery.ack()
    return codec.decode(delivery.message.headers, delivery.message.body).event


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    near = (Participant(name="A12", role="renter", lanes=0), Participant(name="A13", role="partner", lanes=0))
    lessor = Participant(name="B12", role="lessor", lanes=1)
    hubs = (Hub(name="A11", participants=near), Hub(name="B11", participants=(lessor,)))
    running = EmbeddedServer(Network(hubs=hubs, links=(Link(hubs=("A11", "B11")),)))
    yield running
    await running.close()


@contextlib.asynccontextmanager
async def renting(
    server: EmbeddedServer, partner: Address | None, shop: Any = None, **settings: Any
) -> AsyncIterator[Renter]:
    """A renter with a worker at work for it."""
    config = LessorConfig(me=LESSOR, key=IDENTITIES[LESSOR].public, hub_keys=HUB_KEYS, lanes=1)
    shop, me = shop or FakeWorkshop(), IDENTITIES[LESSOR]
    folder = Path(tempfile.mkdtemp(prefix="receipts-"))
    kept = Receipts(folder / "receipts"), Refusals(folder, time.time)
    broker = server.connect(LESSOR)
    worker = LessorWorker(config, me, broker, time.time, NAME, shop, *kept, "fake", **settings)
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    await asyncio.wait_for(worker.ready.wait(), SECONDS_MAX)
    given = terms("sealed-result", contract=rented("sealed-result", now=time.time()), partner=partner)
    yield Renter(server, given, worker.lane, stop, working)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_result_goes_to_the_renter_with_what_it_took(server: EmbeddedServer) -> None:
    async with renting(server, None) as renter:
        await renter.until("key.confirmed")
        result = await next_event(server, RENTER, "result")
    assert (result.type, result.source, bytes(result.body)) == ("batch.completed", LESSOR, b"result of rows")
    assert codec.batch_of(result) == BATCH
    assert result.attributes["computeseconds"] == "1.500000"


async def test_a_sealed_result_goes_to_the_partner_and_word_of_it_to_the_renter(server: EmbeddedServer) -> None:
    async with renting(server, PARTNER) as renter:
        told = await renter.until("batch.forwarded")
        result = await next_event(server, PARTNER, "result")
    assert (result.type, result.source, bytes(result.body)) == ("batch.sealed", LESSOR, b"result of rows")
    assert codec.batch_of(result) == BATCH
    assert told.data == BatchForwarded(batch=BATCH, core_seconds=1.5)
    assert told.id != result.id
    assert server.depth(queue_name(RENTER, "result")) == 0


class SlowWorkshop(FakeWorkshop):
    """Computes until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        self.begun.set()
        await self.go.wait()
        return await super().compute(batch, body)


async def test_a_worker_that_ends_finishes_what_it_computes_and_takes_no_more(server: EmbeddedServer) -> None:
    shop = SlowWorkshop()
    async with renting(server, None, shop) as renter:
        await renter.until("key.confirmed")
        await asyncio.wait_for(shop.begun.wait(), SECONDS_MAX)
        renter.stop.set()
        assert (await next_event(server, Address("B11.hub"), "control")).type == "order.sell.placed"
        assert (await next_event(server, Address("B11.hub"), "control")).type == "order.sell.cancelled"
        later = batch_attributes(structs.replace(BATCH, batch=BATCH.batch + 1))
        await renter.post.send("batch.dispatched", LESSOR, JOB, event_id="event-later", body=b"more", attributes=later)
        shop.go.set()
        assert (await next_event(server, RENTER, "result")).type == "batch.completed"
        await asyncio.wait_for(renter.working, SECONDS_MAX)
    assert (await next_event(server, LESSOR, "batch")).id == "event-later"


async def test_a_worker_that_ends_hands_back_what_takes_long(server: EmbeddedServer) -> None:
    shop = SlowWorkshop()
    async with renting(server, None, shop, drain_seconds_max=0.05) as renter:
        await renter.until("key.confirmed")
        await asyncio.wait_for(shop.begun.wait(), SECONDS_MAX)
        renter.stop.set()
        await asyncio.wait_for(renter.working, SECONDS_MAX)
    assert (await next_event(server, LESSOR, "batch")).type == "batch.dispatched"
