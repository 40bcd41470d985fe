"""What a hostile participant meets: the broker's permissions, and receivers that believe neither key nor sender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import aiormq.exceptions
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

import nodes.demo
from broker.names import dead_queue, hub_exchange, queue_name, routing_key
from nodes.config import read_config
from nodes.identity import Identity
from schemas import codec
from schemas.events import BatchFailed, Event, OrderCancelled, SubtaskRequested
from schemas.ids import Address, address, derive_id
from schemas.jobs import Batch
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server

pytestmark = pytest.mark.rabbitmq

RENTER, LESSOR, OTHER = address("A11", "A12"), address("B11", "B12"), address("B11", "B13")
DEMO = Path(nodes.demo.__file__).parent
SECONDS_MAX = 30
JOB, SUBTASK, WORKER = derive_id("job", 1), derive_id("subtask", 1), derive_id("worker", 1)


@pytest.fixture
async def network(tmp_path: Path, rabbitmq: Server) -> AsyncIterator[Deployment]:
    with deployment(tmp_path / "network", rabbitmq) as running:
        yield running


Open = Callable[[Address], Awaitable[AbstractChannel]]


@pytest.fixture
async def channel_of(network: Deployment) -> AsyncIterator[Open]:
    """Bare channels with a node's credentials: no adapter of ours in between."""
    connections: list[AbstractConnection] = []

    async def open_channel(who: Address) -> AbstractChannel:
        connection = await aio_pika.connect(read_config(network.config(who), {}).amqp_url)
        connections.append(connection)
        return await connection.channel(publisher_confirms=True, on_return_raises=True)

    yield open_channel
    for connection in connections:
        await connection.close()


async def publish(
    channel: AbstractChannel, hub: str, key: str, event: Event, identity: Identity, **headers: Any
) -> None:
    attributes, body = codec.encode(event, identity.sign)
    content_type = attributes.pop("content-type")
    message = aio_pika.Message(body, headers={**attributes, **headers}, content_type=content_type, message_id=event.id)
    exchange = await channel.get_exchange(hub_exchange(hub), ensure=False)
    await exchange.publish(message, key, mandatory=False)


def request(number: int, **changes: Any) -> Event:
    """What an honest worker of the lessor asks."""
    data = SubtaskRequested(job=JOB, subtask=SUBTASK, worker=WORKER, lane="w1")
    fields: dict[str, Any] = {
        "id": f"event-{number}",
        "type": "subtask.requested",
        "source": LESSOR,
        "to": RENTER,
        "time": time.time(),
        "subject": JOB,
        "data": data,
    }
    return Event(**(fields | changes))


async def publish_as_another(channel: AbstractChannel, identity: Identity) -> None:
    await publish(channel, "B11", routing_key(RENTER, OTHER, "control"), request(1), identity)


async def publish_on_another_hub(channel: AbstractChannel, identity: Identity) -> None:
    await publish(channel, "A11", routing_key(RENTER, LESSOR, "control"), request(1), identity)


async def consume_anothers_queue(channel: AbstractChannel, identity: Identity) -> None:
    await (await channel.get_queue(queue_name(OTHER, "batch"), ensure=False)).get(fail=False)


async def declare_a_queue(channel: AbstractChannel, identity: Identity) -> None:
    await channel.declare_queue("mine", durable=True)


async def bind_a_queue(channel: AbstractChannel, identity: Identity) -> None:
    await (await channel.get_queue(queue_name(LESSOR, "batch"), ensure=False)).bind(hub_exchange("B11"), "#")


@pytest.mark.parametrize(
    "attempt",
    [publish_as_another, publish_on_another_hub, consume_anothers_queue, declare_a_queue, bind_a_queue],
    ids=lambda attempt: attempt.__name__,
)
async def test_a_lessors_credentials_reach_no_further_than_the_lessor(
    network: Deployment, channel_of: Open, attempt: Callable[[AbstractChannel, Identity], Awaitable[None]]
) -> None:
    channel = await channel_of(LESSOR)
    with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
        await attempt(channel, read_config(network.config(LESSOR), {}).identity())


async def test_what_a_lessor_may_do_it_can(network: Deployment, channel_of: Open) -> None:
    channel = await channel_of(LESSOR)
    identity = read_config(network.config(LESSOR), {}).identity()
    await publish(channel, "B11", routing_key(RENTER, LESSOR, "control"), request(1), identity)
    renters = await channel_of(RENTER)
    message = await (await renters.get_queue(queue_name(RENTER, "control"), ensure=False)).get(timeout=SECONDS_MAX)
    assert message is not None
    assert message.message_id == "event-1"


async def test_lies_are_dead_lettered_with_their_reason_and_honest_jobs_go_on(
    network: Deployment, channel_of: Open
) -> None:
    network.start_all()
    channel = await channel_of(LESSOR)
    lessor = read_config(network.config(LESSOR), {}).identity()
    stranger = Identity.generate(LESSOR)
    key = routing_key(RENTER, LESSOR, "control")
    failed = BatchFailed(batch=_batch(), code="x", reason="x", final=True)
    lies = {
        "wrong-sender": (key, request(2, source=OTHER), {}),
        "wrong-receiver": (key, request(3, to=OTHER), {}),
        "unknown-sender": (key, request(4, type="batch.failed", data=failed), {}),
        "unknown-type": (key, request(5), {"ce-type": "job.assembled"}),
        "from-the-future": (key, request(6, time=time.time() + 86_400), {}),
    }
    for _, (routing, event, headers) in lies.items():
        await publish(channel, "B11", routing, event, lessor, **headers)
    hub = Event("event-7", "order.sell.cancelled", LESSOR, address("B11", "hub"), time.time(), JOB, _cancelled())
    await publish(channel, "B11", routing_key(address("B11", "hub"), LESSOR, "control"), hub, stranger)
    copied = routing_key(address("B11", "hub"), LESSOR, "control")
    await publish(channel, "B11", copied, request(8), lessor, CC=[f"{OTHER}.{LESSOR}.control"])
    found = await dead_letters(channel_of, "A11", len(lies))
    assert {message.message_id: message.headers["x-sublet-reason"] for message in found} == {
        event.id: reason for reason, (_, event, _) in lies.items()
    }
    at_b11 = [(m.message_id, m.headers["x-sublet-reason"]) for m in await dead_letters(channel_of, "B11", 3)]
    assert sorted(at_b11) == [
        ("event-7", "bad-signature"),
        ("event-8", "wrong-receiver"),
        ("event-8", "wrong-receiver"),
    ]
    data, program = DEMO / "breast_cancer.csv", DEMO / "breast_cancer_linear.onnx"
    report = await asyncio.to_thread(
        network.job, "submit", str(data), "--program", str(program), "--protection", "homomorphic", "--wait"
    )
    assert report["state"] == "completed"


async def dead_letters(channel_of: Open, hub: str, count: int) -> list[AbstractIncomingMessage]:
    """So many of a hub's dead letters."""
    channel = await channel_of(address(hub, "hub"))
    queue = await channel.get_queue(dead_queue(hub), ensure=False)
    found: list[AbstractIncomingMessage] = []
    async with asyncio.timeout(SECONDS_MAX), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            found.append(message)
            if len(found) == count:
                break
    return found


def _batch() -> Batch:
    job, subtask, contract = (derive_id(name, 1) for name in ("job", "subtask", "contract"))
    return Batch(job=job, subtask=subtask, contract=contract, batch=0, attempt=1, first_row=0, rows=1)


def _cancelled() -> OrderCancelled:
    return OrderCancelled(order=derive_id("sell", 1))
