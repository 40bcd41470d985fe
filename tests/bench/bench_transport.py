"""transport.*: what our protocol costs on RabbitMQ, against raw aio-pika over the same hubs and queues.

    transport.enclave_path      bodies of 1 MiB from a renter over two hubs to a lessor's enclave, results back
    transport.request_response  small events from a renter over two hubs to a lessor, answers back

Ours encrypts, signs, publishes, receives, verifies, computes in a locked enclave process and decrypts. The peer moves
bodies and headers of the same sizes with the same confirms, windows and prefetch, and does nothing else. Either has
both sides in one process; the peer's is one of its own, because ours sets up its process as a node does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from broker.names import queue_name, routing_key
from broker.network import Hub, Link, Network, Participant
from broker.port import Broker, Consumer, Message
from broker.rabbitmq import connect
from nodes.allocator import keep_memory
from nodes.enclave.host.process import EnclaveProcess
from nodes.identity import Identity, verify
from nodes.runtime import bulk
from schemas import limits
from schemas.events import BatchFailed, ContractEnded, Event, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch
from tests.bench import raw_amqp
from tests.bench.harness import Result, interleave, more
from tests.bench.raw_amqp import SECONDS_MAX, Load, Parcel, Settled, Task, send_all
from tests.support.rabbitmq import Site, running, site
from tests.unit.nodes.enclave.enclaves import Subtask, agree, model, quoter

ENCLAVE_PATH, REQUEST_RESPONSE = "transport.enclave_path", "transport.request_response"
RENTER, LESSOR = Address("A11.A12"), Address("B11.B12")
COLUMNS: Final = 16
ROWS: Final = limits.BODY_BYTES_TARGET // (8 * COLUMNS)
BATCHES, BATCH_WINDOW, BATCH_PREFETCH = 48, 6, 4
REQUESTS, REQUEST_WINDOW, REQUEST_PREFETCH = 1_500, 100, limits.CONTROL_PREFETCH
ERROR_MAX: Final = 1e-9
NOW: Final = 1_800_000_000.0
MIB: Final = 1024 * 1024


def run(only: str) -> Iterator[Result]:
    """Measures the names that begin with `only`, on one server."""
    names = [name for name in (ENCLAVE_PATH, REQUEST_RESPONSE) if name.startswith(only)]
    if not names:
        return
    keep_memory()
    network = Network(
        hubs=(
            Hub(name="A11", participants=(Participant(name="A12", role="renter", lanes=0),)),
            Hub(name="B11", participants=(Participant(name="B12", role="lessor", lanes=1),)),
        ),
        links=(Link(hubs=("A11", "B11")),),
    )
    with running() as server, site(server, network) as here, asyncio.Runner() as runner:
        if ENCLAVE_PATH in names:
            yield _compare(runner, ENCLAVE_PATH, enclave_path(here), "MiB/s")
        if REQUEST_RESPONSE in names:
            yield _compare(runner, REQUEST_RESPONSE, request_response(here), "1/s")


@dataclass(frozen=True)
class Rounds:
    """One round of each: its rate."""

    ours: Callable[[], Awaitable[float]]
    peer: Callable[[], float]


def _compare(runner: asyncio.Runner, name: str, opened: Any, unit: str) -> Result:
    rounds: Rounds = runner.run(opened.__aenter__())
    try:
        ours, peer = interleave(lambda: runner.run(_rate(rounds.ours)), rounds.peer)
    finally:
        runner.run(opened.__aexit__(None, None, None))
    return more(name, ours, peer, "raw aio-pika", unit)


async def _rate(measured: Callable[[], Awaitable[float]]) -> float:
    return await measured()


# ---------------------------------------------------------------- ours


async def our_round(
    renter: Broker,
    lessor: Broker,
    load: Load,
    make: Callable[[int], Awaitable[Message]],
    answer: Callable[[Message], Awaitable[Message]],
    accept: Callable[[Message], Awaitable[None]],
) -> float:
    """Messages per second, to and fro: `make` at the renter, `answer` at the lessor, `accept` at the renter."""
    slots, settled = asyncio.Semaphore(load.window), Settled(load)

    async def serve(consumer: Consumer) -> None:
        async def one(delivery: Any) -> None:
            await lessor.publish(await answer(delivery.message), timeout_seconds=SECONDS_MAX)
            await delivery.ack()
            settled.one()

        async with asyncio.TaskGroup() as group:
            async for delivery in consumer:
                group.create_task(one(delivery))

    async def collect(consumer: Consumer) -> None:
        async def one(delivery: Any) -> None:
            await accept(delivery.message)
            await delivery.ack()
            slots.release()
            settled.one()

        async with asyncio.TaskGroup() as group:
            async for delivery in consumer:
                group.create_task(one(delivery))

    async def send(number: int) -> None:
        await renter.publish(await make(number), timeout_seconds=SECONDS_MAX)

    async with AsyncExitStack() as stack:
        batches = lessor.consume(queue_name(LESSOR, load.kind), prefetch=load.prefetch)
        answers = renter.consume(queue_name(RENTER, load.answer_kind), prefetch=load.prefetch)
        served, collected = [await stack.enter_async_context(each) for each in (batches, answers)]
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(serve(served)), group.create_task(collect(collected))]
            rate = await send_all(load, slots, settled, send)
            for end in ends:
                end.cancel()
        return rate


async def _signed(event: Event, identity: Identity, kind: str) -> Message:
    headers, body = await bulk.encode(event, identity.sign)
    return Message(routing_key(event.to, event.source, kind), body, headers, event.id)


async def _verified(message: Message, public: bytes) -> Event:
    received = await bulk.decode(message.headers, message.body)
    if not verify(public, received.signed, received.signature):
        raise AssertionError("a signature did not verify")
    return received.event


@dataclass(frozen=True)
class Parties:
    """Both ends, connected and known to each other."""

    renter: Broker
    lessor: Broker
    renter_identity: Identity
    lessor_identity: Identity


@asynccontextmanager
async def _parties(here: Site) -> AsyncIterator[Parties]:
    renter, lessor = await connect(here.url(RENTER), RENTER), await connect(here.url(LESSOR), LESSOR)
    try:
        yield Parties(renter, lessor, Identity.generate(RENTER), Identity.generate(LESSOR))
    finally:
        await renter.close()
        await lessor.close()


# ---------------------------------------------------------------- the enclave path


@asynccontextmanager
async def enclave_path(here: Site) -> AsyncIterator[Rounds]:
    """MiB of input bodies per second, results back included."""
    load = Load(BATCHES, BATCH_WINDOW, BATCH_PREFETCH, "batch", "result")
    data = np.random.default_rng(1).normal(size=(ROWS, COLUMNS))
    weights = np.ones((COLUMNS, 1))
    async with _parties(here) as parties, EnclaveProcess(quoter()) as enclave:
        path = EnclavePath(parties, enclave, await agree(enclave, model(COLUMNS, weights)), data, data @ weights)
        there = await path.make(0)
        back = await path.answer(there)

        async def ours() -> float:
            rate = await our_round(parties.renter, parties.lessor, load, path.make, path.answer, path.accept)
            return rate * len(there.body) / MIB

        with raw_amqp.peer(_task(here, load, there, back)) as raw:
            yield Rounds(ours, lambda: raw.round() * len(there.body) / MIB)


@dataclass(frozen=True)
class EnclavePath:
    """What renter, lessor and enclave do with a batch."""

    parties: Parties
    enclave: EnclaveProcess
    subtask: Subtask
    data: Any
    """float64 [ROWS, COLUMNS]."""
    expected: Any
    """float64 [ROWS, 1]."""

    async def make(self, number: int) -> Message:
        """Encrypted rows in a signed event."""
        context = self.subtask.context(ROWS, batch=number)
        body = await asyncio.to_thread(self.subtask.encrypt, context, self.data)
        event = self._event("batch.dispatched", RENTER, LESSOR, number, body)
        return await _signed(event, self.parties.renter_identity, "batch")

    async def answer(self, message: Message) -> Message:
        """The enclave's encrypted result in a signed event."""
        event = await _verified(message, self.parties.renter_identity.public)
        number = int(event.attributes["batch"])
        executed = await self.enclave.execute(self.subtask.context(ROWS, batch=number), bytes(event.body))
        answer = self._event("batch.completed", LESSOR, RENTER, number, executed.body)
        return await _signed(answer, self.parties.lessor_identity, "result")

    async def accept(self, message: Message) -> None:
        """The result's values, checked."""
        event = await _verified(message, self.parties.lessor_identity.public)
        context = self.subtask.context(ROWS, batch=int(event.attributes["batch"]))
        raw = await asyncio.to_thread(self.subtask.decrypt, context, bytes(event.body))
        if np.abs(np.frombuffer(raw).reshape(ROWS, 1) - self.expected).max() > ERROR_MAX:
            raise AssertionError("a result is wrong")

    def _event(self, event_type: str, source: Address, to: Address, number: int, body: bytes) -> Event:
        batch = _batch(number)
        return Event(
            id=derive_id("evt", event_type, number),
            type=event_type,
            source=source,
            to=to,
            time=NOW,
            subject=batch.job,
            body=body,
            attributes=batch_attributes(batch),
        )


def _batch(number: int) -> Batch:
    return Batch(
        job=derive_id("job", "bench"),
        subtask=derive_id("subtask", "bench"),
        contract=derive_id("contract", "bench"),
        batch=number,
        attempt=1,
        first_row=number * ROWS,
        rows=ROWS,
    )


# ---------------------------------------------------------------- request and response


@asynccontextmanager
async def request_response(here: Site) -> AsyncIterator[Rounds]:
    """Requests answered per second."""
    load = Load(REQUESTS, REQUEST_WINDOW, REQUEST_PREFETCH, "control", "control")
    async with _parties(here) as parties:

        async def make(number: int) -> Message:
            data = ContractEnded(contract=derive_id("contract", number), code="withdrawn", reason="no longer needed")
            return await _signed(
                _small("contract.ended", RENTER, LESSOR, str(number), data), parties.renter_identity, "control"
            )

        async def answer(message: Message) -> Message:
            request = await _verified(message, parties.renter_identity.public)
            data = BatchFailed(batch=_batch(1), code="ended", reason=request.subject, final=True)
            response = _small("batch.failed", LESSOR, RENTER, request.id, data)
            return await _signed(response, parties.lessor_identity, "control")

        async def accept(message: Message) -> None:
            await _verified(message, parties.lessor_identity.public)

        there = await make(0)
        back = await answer(there)

        async def ours() -> float:
            return await our_round(parties.renter, parties.lessor, load, make, answer, accept)

        with raw_amqp.peer(_task(here, load, there, back)) as raw:
            yield Rounds(ours, raw.round)


def _task(here: Site, load: Load, there: Message, back: Message) -> Task:
    urls = {str(of): here.url(of) for of in (RENTER, LESSOR)}
    parcels = (Parcel({k: str(v) for k, v in each.headers.items()}, len(each.body)) for each in (there, back))
    return Task(urls, RENTER, LESSOR, load, *parcels)


def _small(event_type: str, source: Address, to: Address, name: str, data: Any) -> Event:
    about = derive_id("job", "bench")
    return Event(
        id=derive_id("evt", event_type, name), type=event_type, source=source, to=to, time=NOW, subject=about, data=data
    )
