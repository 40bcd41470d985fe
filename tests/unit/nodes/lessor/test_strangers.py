"""Without a contract nobody takes a worker's slots, and nobody is in another's way."""

from __future__ import annotations

import asyncio
import time

import pytest

from broker.embedded import EmbeddedServer
from broker.names import queue_name, routing_key
from broker.port import Message
from nodes.lessor import parking
from nodes.lessor.parking import Parking
from nodes.lessor.worker import LessorWorker
from nodes.machine import Refused
from schemas import codec
from schemas.events import Event, SubtaskAnnounced, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch
from tests.unit.nodes.lessor.rentals import IDENTITIES, LESSOR, OTHER, RENTER, contract, terms
from tests.unit.nodes.lessor.test_worker import send, server, worker

__all__ = ["server", "worker"]

SECONDS_MAX = 10
STRANGERS_BATCHES = 40


async def dispatch(server: EmbeddedServer, source: Address, subtask: str, number: int) -> None:
    """A batch of a subtask that the worker does not know."""
    batch = Batch(
        job=derive_id("job", source),
        subtask=subtask,
        contract=derive_id("contract", source),
        batch=number,
        attempt=1,
        first_row=0,
        rows=1,
    )
    event = Event(
        id=derive_id("event", source, number),
        type="batch.dispatched",
        source=source,
        to=LESSOR,
        time=time.time(),
        subject=batch.job,
        body=b"junk",
        attributes=batch_attributes(batch),
    )
    headers, raw = codec.encode(event, IDENTITIES[source].sign)
    message = Message(key=routing_key(LESSOR, source, "batch"), body=raw, headers=headers, id=event.id)
    await server.connect(source).publish(message, timeout_seconds=SECONDS_MAX)


async def asked_for(server: EmbeddedServer, subtask: str) -> None:
    """Return when the renter was asked for this subtask."""
    renter = server.connect(RENTER)
    async with asyncio.timeout(SECONDS_MAX), renter.consume(queue_name(RENTER, "control"), prefetch=64) as consumer:
        async for delivery in consumer:
            await delivery.ack()
            event = codec.decode(delivery.message.headers, delivery.message.body).event
            if event.type == "subtask.requested" and getattr(event.data, "subtask", "") == subtask:
                return


async def test_batches_of_a_stranger_that_answers_nothing_delay_nobody(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    for number in range(STRANGERS_BATCHES):
        await dispatch(server, OTHER, derive_id("subtask", "junk", number), number)
    honest = derive_id("subtask", "honest")
    await dispatch(server, RENTER, honest, 0)
    await asked_for(server, honest)


async def test_a_stranger_that_speaks_of_anothers_subtask_first_does_not_keep_it_from_its_renter(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    rented = terms(contract())
    await dispatch(server, OTHER, rented.subtask, 0)
    stranger = server.connect(OTHER)
    async with asyncio.timeout(SECONDS_MAX), stranger.consume(queue_name(OTHER, "control"), prefetch=1) as consumer:
        await (await anext(aiter(consumer))).ack()  # it was asked
    await send(server.connect(RENTER), "subtask.announced", SubtaskAnnounced(terms=rented))
    await asked_for(server, rented.subtask)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_and_end() -> None:
    clock = Clock()
    parked = Parking(clock)
    pauses = [parked.pause_seconds("batch", RENTER) for _ in range(parking.RETURNS_MAX)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.25, 30.0)
    with pytest.raises(Refused) as refused:
        parked.pause_seconds("batch", RENTER)
    assert refused.value.code == "no-contract"


def test_few_batches_of_one_stranger_wait_and_others_are_not_counted_with_it() -> None:
    clock = Clock()
    parked = Parking(clock)
    for number in range(parking.BATCHES_PER_RENTER_MAX):
        parked.pause_seconds(f"junk {number}", OTHER)
    with pytest.raises(Refused):
        parked.pause_seconds("one more", OTHER)
    assert parked.pause_seconds("honest", RENTER)
    parked.leave("junk 0")
    assert parked.pause_seconds("one more", OTHER)
    clock.now += parking.FORGET_SECONDS + 1
    assert parked.pause_seconds("after they went elsewhere", OTHER)
