"""What only RabbitMQ has: accounts and their permissions, hostile frames, servers that do not answer."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.exceptions import ChannelAccessRefused
from structlog.testing import capture_logs

from broker.errors import AccessRefused, BrokerUnreachable
from broker.names import dead_queue, hub_exchange, lane, queue_name, routing_key
from broker.port import Message
from broker.rabbitmq import connect
from schemas.ids import Address, hub_address
from tests.support.letters import SECONDS_MAX, following
from tests.support.wires import LESSOR, NEIGHBOUR, PARTNER, RENTER, RabbitMQWire

pytestmark = pytest.mark.rabbitmq

OWN: Final = queue_name(RENTER, "control")
FOREIGN: Final = queue_name(NEIGHBOUR, "batch")
OWN_HUB: Final = hub_exchange("A11")
OWN_KEY: Final = routing_key(LESSOR, RENTER, "control")
Attempt = Callable[[AbstractChannel], Awaitable[Any]]


async def _queue(channel: AbstractChannel, name: str) -> Any:
    return await channel.get_queue(name, ensure=False)


async def _exchange(channel: AbstractChannel, name: str) -> Any:
    return await channel.get_exchange(name, ensure=False)


async def _bind(channel: AbstractChannel, queue: str, exchange: str) -> None:
    await (await _queue(channel, queue)).bind(exchange, "B11.#")


async def _unbind(channel: AbstractChannel, queue: str, exchange: str) -> None:
    await (await _queue(channel, queue)).unbind(exchange, "B11.#")


async def _link(channel: AbstractChannel, exchange: str, source: str) -> None:
    await (await _exchange(channel, exchange)).bind(await _exchange(channel, source), "#")


async def _delete_queue(channel: AbstractChannel, name: str) -> None:
    await (await _queue(channel, name)).delete(if_unused=False, if_empty=False)


async def _delete_exchange(channel: AbstractChannel, name: str) -> None:
    await (await _exchange(channel, name)).delete()


async def _purge(channel: AbstractChannel, name: str) -> None:
    await (await _queue(channel, name)).purge()


async def _get(channel: AbstractChannel, name: str) -> None:
    await (await _queue(channel, name)).get(no_ack=True)


async def _publish(channel: AbstractChannel, exchange: str, key: str) -> None:
    target = await _exchange(channel, exchange) if exchange else channel.default_exchange
    await target.publish(aio_pika.Message(b"forged"), key, timeout=SECONDS_MAX)


FORBIDDEN: Final[dict[str, Attempt]] = {
    "declare a queue": lambda channel: channel.declare_queue("mine"),
    "declare an exclusive queue": lambda channel: channel.declare_queue(exclusive=True),
    "declare its own queue otherwise": lambda channel: channel.declare_queue(OWN, durable=True),
    "declare an exchange": lambda channel: channel.declare_exchange("mine"),
    "bind its own queue": lambda channel: _bind(channel, OWN, OWN_HUB),
    "unbind its own queue": lambda channel: _unbind(channel, OWN, OWN_HUB),
    "bind a foreign queue": lambda channel: _bind(channel, FOREIGN, OWN_HUB),
    "bind its own queue to another hub": lambda channel: _bind(channel, OWN, hub_exchange("B11")),
    "link exchanges": lambda channel: _link(channel, OWN_HUB, hub_exchange("B11")),
    "delete its own queue": lambda channel: _delete_queue(channel, OWN),
    "delete a foreign queue": lambda channel: _delete_queue(channel, FOREIGN),
    "delete its hub": lambda channel: _delete_exchange(channel, OWN_HUB),
    "purge a foreign queue": lambda channel: _purge(channel, FOREIGN),
    "read a foreign queue": lambda channel: _get(channel, FOREIGN),
    "read dead letters": lambda channel: _get(channel, dead_queue("A11")),
    "publish on another hub": lambda c: _publish(c, hub_exchange("B11"), routing_key(LESSOR, RENTER, "control")),
    "publish into a queue": lambda channel: _publish(channel, "", FOREIGN),
    "publish past the hub": lambda c: _publish(c, "again.A11", f"A11.wait250.{NEIGHBOUR}.batch"),
    "publish on a standard exchange": lambda channel: _publish(channel, "amq.topic", "any"),
    "publish as another": lambda c: _publish(c, OWN_HUB, routing_key(LESSOR, NEIGHBOUR, "control")),
    "publish as a remote": lambda c: _publish(c, OWN_HUB, routing_key(NEIGHBOUR, LESSOR, "control")),
    "publish as the broker": lambda c: _publish(c, OWN_HUB, "A11.dead.A11.broker.dead"),
    "publish with a longer key": lambda c: _publish(c, OWN_HUB, routing_key(LESSOR, RENTER, "control") + ".more"),
    "publish with a newline": lambda c: _publish(c, OWN_HUB, routing_key(LESSOR, RENTER, "control") + "\n"),
}


@pytest.fixture
async def account(rabbitmq_network: RabbitMQWire) -> AsyncIterator[AbstractConnection]:
    """A connection with the renter's credentials, in other hands than ours."""
    connection = await aio_pika.connect(rabbitmq_network.url(RENTER))
    async with connection:
        yield connection


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_participants_account_cannot(account: AbstractConnection, name: str) -> None:
    channel = await account.channel()
    with pytest.raises((AMQPError, ChannelInvalidStateError), match="ACCESS_REFUSED"):
        await FORBIDDEN[name](channel)


async def test_a_participants_account_has_no_other_virtual_host(rabbitmq_network: RabbitMQWire) -> None:
    url = rabbitmq_network.url(RENTER).rpartition("/")[0] + "/%2F"
    with pytest.raises(AccessRefused):
        await connect(url, RENTER, timeout_seconds=SECONDS_MAX)


async def test_wrong_credentials_are_refused_at_once_and_not_shown(rabbitmq_network: RabbitMQWire) -> None:
    url = rabbitmq_network.url(RENTER).replace("-of-an-address", "-of-another")
    with pytest.raises(AccessRefused) as caught:
        await connect(url, RENTER, timeout_seconds=SECONDS_MAX)
    assert "another" not in str(caught.value)
    assert RENTER in str(caught.value)


async def test_credentials_that_are_refused_later_are_named_as_such(rabbitmq_network: RabbitMQWire) -> None:
    """A password that was changed while the connection stood: what follows is not for want of a broker."""
    broker = await rabbitmq_network.connect(RENTER)
    with rabbitmq_network.refused(RENTER), capture_logs() as lines:
        await rabbitmq_network.cut(RENTER)
        with pytest.raises(BrokerUnreachable, match=r"refuses the credentials of A11\.A12"):
            await broker.publish(Message(OWN_KEY, b"", {}, "1"), timeout_seconds=2.0)
    assert [line["event"] for line in lines if "reason" in line and "trying again" in line["event"]] == [
        "the broker refuses us, trying again"
    ]
    await broker.publish(Message(OWN_KEY, b"", {}, "2"), timeout_seconds=SECONDS_MAX)


async def test_a_server_that_does_not_answer_is_named_without_credentials() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{port}") as caught:
            await connect(f"amqp://A11.A12:very-secret@127.0.0.1:{port}/x", RENTER, timeout_seconds=0.3)
    assert "secret" not in str(caught.value)


async def test_nothing_shown_of_a_connection_holds_its_credentials(rabbitmq_network: RabbitMQWire) -> None:
    broker = await rabbitmq_network.connect(RENTER)
    password = rabbitmq_network.url(RENTER).partition("@")[0].rpartition(":")[2]
    assert password not in repr(broker)
    assert password not in repr(broker.consume(OWN, prefetch=1))


async def test_headers_of_any_type_leave_the_consumer_alive(
    rabbitmq_network: RabbitMQWire, account: AbstractConnection
) -> None:
    channel = await account.channel()
    exchange = await channel.get_exchange(OWN_HUB, ensure=False)
    headers: dict[str, Any] = {
        "list": [1, [2]],
        "table": {"a": {"b": 1}},
        "real": 1.5,
        "raw": bytearray(b"\xff"),
        "none": None,
    }
    headers |= {"true": True, "when": datetime(2026, 1, 1, tzinfo=UTC), "fine": "yes", "number": -1, "x-death": "no"}
    headers |= {"x-delivery-count": 99, "x-first-death-reason": "x"}
    await exchange.publish(aio_pika.Message(b"1", headers=headers), routing_key(LESSOR, RENTER, "control"))
    await exchange.publish(aio_pika.Message(b"2"), routing_key(LESSOR, RENTER, "control"))
    lessor = await rabbitmq_network.connect(LESSOR)
    async with lessor.consume(queue_name(LESSOR, "control"), prefetch=2) as consumer:
        first, second = await following(consumer), await following(consumer)
        assert dict(first.message.headers) == {"fine": "yes", "number": -1}
        assert first.delivery_count == 0
        assert second.message.body == b"2"
        await first.ack()
        await second.ack()


async def test_nobody_takes_a_copy_for_a_message_to_itself(
    rabbitmq_network: RabbitMQWire, account: AbstractConnection
) -> None:
    """RabbitMQ asks no permission for the keys of CC headers, from 4.3 on it does.

    Where a copy slips past, its receiver sees the key that the sender wrote to, and refuses by that.
    """
    channel = await account.channel()
    exchange = await channel.get_exchange(OWN_HUB, ensure=False)
    copies = [routing_key(NEIGHBOUR, PARTNER, "batch"), f"A11.wait250.{NEIGHBOUR}.batch"]
    forged: dict[str, Any] = {
        "CC": copies,
        "x-sublet-waiting-key": routing_key(NEIGHBOUR, PARTNER, "batch"),
        "x-sublet-attempts": 1,
    }
    sent = routing_key(RENTER, RENTER, "control")
    try:
        await exchange.publish(aio_pika.Message(b"forged", headers=forged, message_id="evt-1"), sent)
    except ChannelAccessRefused:
        copies = []
    neighbour = await rabbitmq_network.connect(NEIGHBOUR)
    async with neighbour.consume(FOREIGN, prefetch=3) as consumer:
        for _ in copies:  # one at once, one by way of the retries
            delivery = await following(consumer)
            assert delivery.message.key.startswith((f"{RENTER}.{RENTER}.", f"A11.wait250.{NEIGHBOUR}."))
            await delivery.ack()
        last = Message(routing_key(NEIGHBOUR, NEIGHBOUR, "batch"), b"", {}, "last")
        await neighbour.publish(last, timeout_seconds=SECONDS_MAX)
        assert (await following(consumer)).message == last


async def test_nothing_is_used_that_a_later_release_will_refuse(rabbitmq_network: RabbitMQWire) -> None:
    worker = await rabbitmq_network.connect(LESSOR)
    async with (
        worker.consume(queue_name(LESSOR, "control"), prefetch=1),
        worker.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True),
    ):
        assert not rabbitmq_network.deprecated()


async def test_a_lane_left_by_a_killed_connection_can_be_taken(
    rabbitmq_network: RabbitMQWire,
) -> None:
    connection = await aio_pika.connect(rabbitmq_network.url(LESSOR))
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name(LESSOR, lane(1)), ensure=False)
        await queue.consume(_ignore, exclusive=True)
        await rabbitmq_network.cut(LESSOR)
        worker = await rabbitmq_network.connect(LESSOR)
        async with worker.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True) as consumer:
            await worker.publish(
                Message(routing_key(LESSOR, LESSOR, lane(1)), b"", {}, "1"), timeout_seconds=SECONDS_MAX
            )
            delivery = await following(consumer)
            assert delivery.message.id == "1"
            await delivery.ack()


async def test_what_waits_survives_with_its_hub_address(rabbitmq_network: RabbitMQWire) -> None:
    """A hub retries its own control events as participants do."""
    hub = Address(hub_address("A11"))
    broker = await rabbitmq_network.connect(hub)
    async with broker.consume(queue_name(hub, "control"), prefetch=1) as consumer:
        sent = Message(routing_key(hub, hub, "control"), b"1", {"ce-id": "1"}, "1")
        await broker.publish(sent, timeout_seconds=SECONDS_MAX)
        await (await following(consumer)).retry(0.0)
        back = await following(consumer)
        assert back.message == sent
        await back.ack()


async def _ignore(_: AbstractIncomingMessage) -> None:
    """A consumer that settles nothing."""
