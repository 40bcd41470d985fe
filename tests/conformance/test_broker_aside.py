"""What every broker must do with messages that are rejected, retried, or came back too often (`broker.port`)."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from broker.errors import Unroutable
from broker.names import WAIT_STEPS, dead_queue, lane, queue_name, routing_key, unroutable_queue
from broker.port import DEAD_KEY, DEAD_QUEUE, DEAD_REASON, DELIVERY_LIMIT, Broker, Headers, Message
from schemas.ids import Address, hub_address
from tests.support.letters import CONTROL_OF_LESSOR, drain, following, last_of, letter, post, take
from tests.support.wires import DELIVERIES_MAX, LESSOR, PARTNER, RENTER, Wire

RABBITMQ_4_DELIVERIES_MAX: Final = 20


async def test_a_rejected_message_goes_to_the_hub_with_its_reason(wire: Wire) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    sent = letter("evt-1", LESSOR, RENTER, body=b"poison")
    await post(renter, sent, letter("evt-2", LESSOR, RENTER))
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=5) as consumer:
        first, second = await take(consumer, 2)
        await first.reject("bad-signature")
        await second.ack()
    hub = await wire.connect(hub_address("B11"))
    (dead,) = await drain(hub, dead_queue("B11"), 1)
    assert (dead.id, dead.body) == ("evt-1", b"poison")
    why = {DEAD_REASON: "bad-signature", DEAD_QUEUE: CONTROL_OF_LESSOR, DEAD_KEY: sent.key}
    assert dict(dead.headers) == {**sent.headers, **why}
    delivery = await last_of(lessor, CONTROL_OF_LESSOR, letter("mark", LESSOR, LESSOR))
    assert delivery.message.id == "mark"


async def test_what_comes_back_too_often_is_dead_lettered(wire: Wire) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    sent = letter("evt-1", LESSOR, RENTER, body=b"poison")
    await post(renter, sent)
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
        for count in range(DELIVERIES_MAX + 1):
            delivery = await following(consumer)
            assert delivery.delivery_count == count
            await delivery.release()
    hub = await wire.connect(hub_address("B11"))
    (dead,) = await drain(hub, dead_queue("B11"), 1)
    assert (dead.id, dead.body) == ("evt-1", b"poison")
    why = {DEAD_REASON: DELIVERY_LIMIT, DEAD_QUEUE: CONTROL_OF_LESSOR, DEAD_KEY: sent.key}
    assert dict(dead.headers) == {**sent.headers, **why}


async def test_what_a_consumer_left_too_often_is_dead_lettered(wire: Wire) -> None:
    """As a message does that ends whoever receives it."""
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    await post(renter, letter("evt-1", LESSOR, RENTER))
    for count in range(DELIVERIES_MAX + 1):
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            assert (await following(consumer)).delivery_count == count
    (dead,) = await drain(await wire.connect(hub_address("B11")), dead_queue("B11"), 1)
    assert (dead.id, dead.headers[DEAD_REASON]) == ("evt-1", DELIVERY_LIMIT)


async def test_dead_letters_may_come_back_to_their_hub_often(wire: Wire) -> None:
    """More often than RabbitMQ 4 allows where nothing is said."""
    lessor, hub = await wire.connect(LESSOR), await wire.connect(hub_address("B11"))
    await post(lessor, letter("evt-1", LESSOR, LESSOR))
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
        await (await following(consumer)).reject("bad-signature")
    async with hub.consume(dead_queue("B11"), prefetch=1) as consumer:
        for count in range(2 * RABBITMQ_4_DELIVERIES_MAX):
            dead = await following(consumer)
            assert (dead.message.id, dead.delivery_count) == ("evt-1", count)
            await dead.release()
        await (await following(consumer)).ack()


@pytest.mark.parametrize("kind", ["control", "batch", lane(1)])
async def test_a_retried_message_comes_back_to_its_queue_later_and_unchanged(wire: Wire, kind: str) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    queue = queue_name(LESSOR, kind)
    sent = letter("evt-1", LESSOR, RENTER, kind=kind, body=b"later")
    clock = asyncio.get_running_loop().time
    async with lessor.consume(queue, prefetch=1) as consumer:
        await post(renter, sent, letter("evt-2", LESSOR, RENTER, kind=kind))
        first = await following(consumer)
        asked_at = clock()
        await first.retry(WAIT_STEPS[0] / 2)
        meanwhile = await following(consumer)
        assert meanwhile.message.id == "evt-2"
        await meanwhile.ack()
        back = await following(consumer)
        assert clock() - asked_at >= WAIT_STEPS[0] / 2
        assert (back.message, back.queue, back.delivery_count) == (sent, queue, 1)
        assert back.redelivered
        await back.retry(0.0)
        again = await following(consumer)
        assert (again.message, again.delivery_count) == (sent, 2)
        await again.ack()


async def test_a_hub_can_retry_what_it_keeps_for_want_of_a_receiver(wire: Wire) -> None:
    renter, hub = await wire.connect(RENTER), await wire.connect(hub_address("A11"))
    sent = letter("evt-1", Address("A11.nobody"), RENTER)
    await post(renter, sent)
    async with hub.consume(unroutable_queue("A11"), prefetch=1) as consumer:
        await (await following(consumer)).retry(0.0)
        back = await following(consumer)
        assert (back.message, back.delivery_count) == (sent, 1)
        await back.ack()


async def test_headers_of_the_broker_layer_are_not_taken_from_senders(wire: Wire) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    forged: Headers = {DEAD_REASON: "x", DEAD_KEY: "x", "x-sublet-waiting-key": "B11.B12.C11.C12.control"}
    forged = {**forged, "x-sublet-attempts": 7}
    key = routing_key(LESSOR, RENTER, "control")
    await post(renter, Message(key, b"", forged, "evt-1"))
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
        delivery = await following(consumer)
        assert (delivery.message.key, dict(delivery.message.headers)) == (key, {})
        assert delivery.delivery_count == 0
        await delivery.ack()


async def test_nobody_can_put_a_message_into_the_retries_of_another(wire: Wire) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    forged: Headers = {"x-sublet-waiting-key": routing_key(LESSOR, PARTNER, "control"), "x-sublet-attempts": 1}
    wait = f"B11.wait{round(WAIT_STEPS[0] * 1000)}"
    for key in (f"{wait}.{RENTER}.control", f"A11.wait{round(WAIT_STEPS[0] * 1000)}.{RENTER}.batch"):
        await post_or_unroutable(renter, Message(key, b"", forged, "evt-forged"))
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=5) as consumer:
        await post(renter, letter("evt-1", LESSOR, RENTER))
        delivery = await following(consumer)
        assert delivery.message.id == "evt-1"
        await delivery.retry(WAIT_STEPS[0])  # what was forged before would come before this
        back = await following(consumer)
        assert back.message.id == "evt-1"
        await back.ack()


async def post_or_unroutable(broker: Broker, message: Message) -> None:
    try:
        await post(broker, message)
    except Unroutable:
        return
