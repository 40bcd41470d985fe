"""What every broker must do (`broker.port`), run against each adapter on the same networks.

The fixtures `wire` and `plain_wire` (conftest.py) bring each adapter.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import pytest

from broker.errors import (
    AccessRefused,
    BrokerUnreachable,
    MessageTooLarge,
    NoSuchQueue,
    PublishUnknown,
    QueueBusy,
    Unroutable,
)
from broker.names import WAIT_STEPS, dead_queue, lane, queue_name, routing_key, unroutable_queue
from broker.port import (
    DEAD_KEY,
    DEAD_QUEUE,
    DEAD_REASON,
    DELIVERY_LIMIT,
    Broker,
    Consumer,
    Delivery,
    Headers,
    Message,
)
from schemas import limits
from schemas.ids import Address, hub_address
from tests.support.wires import DELIVERIES_MAX, LESSOR, NEIGHBOUR, PARTNER, RENTER, Line, Wire

SECONDS_MAX: Final = 20.0
"""For what must happen soon; a test that waits so long has failed."""
RABBITMQ_4_DELIVERIES_MAX: Final = 20
TURNS: Final = 50
"""Of the event loop, until what was begun is on its way."""


def letter(name: str, to: Address, by: Address, *, kind: str = "control", body: bytes = b"{}") -> Message:
    return Message(routing_key(to, by, kind), body, {"content-type": "application/json", "ce-id": name}, name)


async def post(broker: Broker, *messages: Message) -> None:
    for message in messages:
        await broker.publish(message, timeout_seconds=SECONDS_MAX)


async def post_surely(broker: Broker, message: Message) -> int:
    """Publish as a node does, again while it is unknown whether it arrived; how often it was unknown."""
    async with asyncio.timeout(SECONDS_MAX):
        unknown = 0
        while True:
            try:
                await broker.publish(message, timeout_seconds=SECONDS_MAX)
            except (PublishUnknown, BrokerUnreachable):
                unknown += 1
                await asyncio.sleep(0)
            else:
                return unknown


async def following(consumer: Consumer) -> Delivery:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(consumer)


async def take(consumer: Consumer, count: int) -> list[Delivery]:
    return [await following(consumer) for _ in range(count)]


async def drain(broker: Broker, queue: str, count: int) -> list[Message]:
    """The next messages of a queue, acknowledged."""
    async with broker.consume(queue, prefetch=count) as consumer:
        deliveries = await take(consumer, count)
        for delivery in deliveries:
            await delivery.ack()
    return [delivery.message for delivery in deliveries]


async def last_of(broker: Broker, queue: str, mark: Message) -> Delivery:
    """Puts a mark behind everything else in the queue; the first delivery tells whether anything was left."""
    await post(broker, mark)
    async with broker.consume(queue, prefetch=1) as consumer:
        delivery = await following(consumer)
        await delivery.ack()
    return delivery


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message.id for delivery in deliveries]


CONTROL_OF_LESSOR: Final = queue_name(LESSOR, "control")


class TestDelivering:
    async def test_what_is_published_arrives_whole(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        headers: Headers = {"content-type": "text/plain", "ce-subject": "größer als 1 €", "n": -(2**40), "zero": 0}
        sent = Message(routing_key(LESSOR, RENTER, "control"), b"\x00\xff body", headers, "evt-1")
        await post(renter, sent)
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            delivery = await following(consumer)
            assert delivery.message == sent
            assert dict(delivery.message.headers) == headers
            assert delivery.queue == CONTROL_OF_LESSOR
            assert not delivery.redelivered
            assert delivery.delivery_count == 0
            await delivery.ack()

    @pytest.mark.parametrize("size", [0, 1, limits.BODY_BYTES_TARGET, limits.BODY_BYTES_MAX])
    async def test_bodies_of_every_size_arrive_unchanged(self, wire: Wire, size: int) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        body = (bytes(range(256)) * (size // 256 + 1))[:size]
        await post(renter, letter("evt-1", LESSOR, RENTER, kind="batch", body=body))
        (message,) = await drain(lessor, queue_name(LESSOR, "batch"), 1)
        assert message.body == body

    async def test_a_queue_keeps_the_order_in_which_one_sender_published(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        names = [f"evt-{number}" for number in range(40)]
        await post(renter, *(letter(name, LESSOR, RENTER) for name in names))
        assert [message.id for message in await drain(lessor, CONTROL_OF_LESSOR, 40)] == names

    async def test_a_consumer_that_waits_gets_what_comes_later(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            waiting = asyncio.create_task(following(consumer))
            await post(renter, letter("evt-1", LESSOR, RENTER))
            delivery = await waiting
            assert delivery.message.id == "evt-1"
            await delivery.ack()

    async def test_each_kind_has_its_own_queue(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        kinds = ("control", "batch", lane(1), lane(2))
        await post(renter, *(letter(kind, LESSOR, RENTER, kind=kind) for kind in kinds))
        for kind in kinds:
            (message,) = await drain(lessor, queue_name(LESSOR, kind), 1)
            assert message.id == kind

    async def test_many_publishes_under_way_are_all_confirmed(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        names = [f"evt-{number}" for number in range(300)]
        await asyncio.gather(*(post(renter, letter(name, LESSOR, RENTER)) for name in names))
        messages = await drain(lessor, CONTROL_OF_LESSOR, 300)
        assert sorted(message.id for message in messages) == sorted(names)


class TestSettling:
    async def test_an_acknowledged_message_is_gone(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        await drain(lessor, CONTROL_OF_LESSOR, 1)
        delivery = await last_of(lessor, CONTROL_OF_LESSOR, letter("mark", LESSOR, LESSOR))
        assert delivery.message.id == "mark"
        assert not delivery.redelivered

    async def test_acknowledging_makes_room_in_the_window(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, *(letter(f"evt-{number}", LESSOR, RENTER) for number in range(10)))
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=2) as consumer:
            for number in range(10):
                delivery = await following(consumer)
                assert delivery.message.id == f"evt-{number}"
                await delivery.ack()

    async def test_a_consumer_holds_no_more_than_its_prefetch(self, wire: Wire) -> None:
        renter, lessor, other = await wire.connect(RENTER), await wire.connect(LESSOR), await wire.connect(LESSOR)
        await post(renter, *(letter(f"evt-{number}", LESSOR, RENTER) for number in range(5)))
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=2) as first:
            assert ids(await take(first, 2)) == ["evt-0", "evt-1"]
            async with other.consume(CONTROL_OF_LESSOR, prefetch=5) as second:
                assert ids(await take(second, 3)) == ["evt-2", "evt-3", "evt-4"]

    async def test_what_a_leaving_consumer_did_not_settle_comes_again(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            await following(consumer)
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            delivery = await following(consumer)
            assert delivery.message.id == "evt-1"
            assert delivery.redelivered
            assert delivery.delivery_count >= 1
            await delivery.ack()

    async def test_what_a_closed_connection_did_not_settle_comes_again(self, wire: Wire) -> None:
        renter, lessor, other = await wire.connect(RENTER), await wire.connect(LESSOR), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            await following(consumer)
            await lessor.close()
        async with other.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            delivery = await following(consumer)
            assert (delivery.message.id, delivery.redelivered) == ("evt-1", True)
            await delivery.ack()

    async def test_a_released_message_comes_again_and_is_counted(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            await (await following(consumer)).release()
            delivery = await following(consumer)
            assert (delivery.message.id, delivery.redelivered, delivery.delivery_count) == ("evt-1", True, 1)
            await delivery.ack()

    async def test_two_consumers_share_a_queue_and_nothing_comes_twice(self, wire: Wire) -> None:
        renter, lessor, other = await wire.connect(RENTER), await wire.connect(LESSOR), await wire.connect(LESSOR)
        seen: Counter[str] = Counter()
        done = asyncio.Event()

        async def work(broker: Broker) -> int:
            count = 0
            async with broker.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
                while not done.is_set():
                    getting, ending = asyncio.create_task(following(consumer)), asyncio.create_task(done.wait())
                    await asyncio.wait([getting, ending], return_when=asyncio.FIRST_COMPLETED)
                    ending.cancel()
                    if not getting.done():
                        getting.cancel()
                        break
                    delivery = await getting
                    await delivery.ack()
                    seen[delivery.message.id] += 1
                    count += 1
                    if len(seen) == 40:
                        done.set()
            return count

        workers = [asyncio.create_task(work(broker)) for broker in (lessor, other)]
        await post(renter, *(letter(f"evt-{number}", LESSOR, RENTER) for number in range(40)))
        shares = await asyncio.gather(*workers)
        assert seen == {f"evt-{number}": 1 for number in range(40)}
        assert min(shares) > 0


class TestSettingAside:
    async def test_a_rejected_message_goes_to_the_hub_with_its_reason(self, wire: Wire) -> None:
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

    async def test_what_comes_back_too_often_is_dead_lettered(self, wire: Wire) -> None:
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

    async def test_what_a_consumer_left_too_often_is_dead_lettered(self, wire: Wire) -> None:
        """As a message does that ends whoever receives it."""
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        for count in range(DELIVERIES_MAX + 1):
            async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
                assert (await following(consumer)).delivery_count == count
        (dead,) = await drain(await wire.connect(hub_address("B11")), dead_queue("B11"), 1)
        assert (dead.id, dead.headers[DEAD_REASON]) == ("evt-1", DELIVERY_LIMIT)

    async def test_dead_letters_may_come_back_to_their_hub_often(self, wire: Wire) -> None:
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
    async def test_a_retried_message_comes_back_to_its_queue_later_and_unchanged(self, wire: Wire, kind: str) -> None:
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

    async def test_headers_of_the_broker_layer_are_not_taken_from_senders(self, wire: Wire) -> None:
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

    async def test_nobody_can_put_a_message_into_the_retries_of_another(self, wire: Wire) -> None:
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


class TestRouting:
    @pytest.mark.parametrize(
        ("sender", "receiver"),
        [(RENTER, NEIGHBOUR), (RENTER, LESSOR), (LESSOR, RENTER), (LESSOR, PARTNER), (PARTNER, LESSOR)],
        ids=["one hub", "two hubs", "two hubs back", "three hubs", "three hubs back"],
    )
    async def test_a_message_finds_its_way_over_the_hubs(self, wire: Wire, sender: Address, receiver: Address) -> None:
        publisher, consumer = await wire.connect(sender), await wire.connect(receiver)
        sent = letter("evt-1", receiver, sender)
        await post(publisher, sent)
        assert await drain(consumer, queue_name(receiver, "control"), 1) == [sent]

    async def test_hubs_exchange_messages_with_participants_and_each_other(self, wire: Wire) -> None:
        one, other = hub_address("A11"), hub_address("B11")
        for sender, receiver in ((one, RENTER), (RENTER, one), (one, other)):
            await post(await wire.connect(sender), letter("evt-1", receiver, sender))
            assert await drain(await wire.connect(receiver), queue_name(receiver, "control"), 1)

    @pytest.mark.parametrize("name", ["A11.nobody", "B11.nobody", "C11.nobody", "X11.A12"])
    async def test_a_message_to_nobody_is_told_to_its_sender(self, plain_wire: Wire, name: str) -> None:
        renter = await plain_wire.connect(RENTER)
        with pytest.raises(Unroutable):
            await post(renter, letter("evt-1", Address(name), RENTER))
        await post(renter, letter("evt-2", NEIGHBOUR, RENTER))

    async def test_unroutable_messages_do_not_disturb_others_under_way(self, plain_wire: Wire) -> None:
        renter = await plain_wire.connect(RENTER)
        receivers = [NEIGHBOUR, Address("A11.nobody")] * 20
        messages = [letter(f"evt-{number}", to, RENTER) for number, to in enumerate(receivers)]
        results = await asyncio.gather(*(post(renter, message) for message in messages), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), Unroutable] * 20

    @pytest.mark.parametrize("hub", ["A11", "B11"])
    async def test_a_hub_keeps_what_nobody_of_its_subnet_receives(self, wire: Wire, hub: str) -> None:
        sent = letter("evt-1", Address(f"{hub}.nobody"), RENTER)
        await post(await wire.connect(RENTER), sent)
        assert await drain(await wire.connect(hub_address(hub)), unroutable_queue(hub), 1) == [sent]


class TestPermissions:
    async def test_nobody_publishes_as_another(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        for source in (NEIGHBOUR, PARTNER, hub_address("A11")):
            with pytest.raises(AccessRefused):
                await post(renter, letter("evt-forged", LESSOR, source))
        await post(renter, letter("evt-1", LESSOR, RENTER))
        assert [message.id for message in await drain(lessor, CONTROL_OF_LESSOR, 1)] == ["evt-1"]

    async def test_a_refused_publish_leaves_others_known_or_unknown_and_never_lost(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        good = [letter(f"evt-{number}", LESSOR, RENTER) for number in range(40)]
        forged = letter("evt-forged", LESSOR, PARTNER)
        results = await asyncio.gather(
            *(post(renter, m) for m in (*good[:20], forged, *good[20:])), return_exceptions=True
        )
        assert isinstance(results.pop(20), AccessRefused)
        assert {type(result) for result in results} <= {type(None), PublishUnknown}
        for message, result in zip(good, results, strict=True):
            if result is not None:
                await post_surely(renter, message)
        seen: set[str] = set()
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=20) as consumer:
            while len(seen) < 40:
                delivery = await following(consumer)
                await delivery.ack()
                seen.add(delivery.message.id)
        assert seen == {message.id for message in good}

    async def test_nobody_reads_the_queue_of_another(self, wire: Wire) -> None:
        renter = await wire.connect(RENTER)
        foreign = [CONTROL_OF_LESSOR, queue_name(NEIGHBOUR, "batch"), dead_queue("A11"), unroutable_queue("A11")]
        for queue in (*foreign, queue_name(hub_address("A11"), "control")):
            with pytest.raises(AccessRefused):
                await renter.consume(queue, prefetch=1).__aenter__()
        await post(renter, letter("evt-1", RENTER, RENTER))
        assert await drain(renter, queue_name(RENTER, "control"), 1)

    async def test_a_queue_that_is_not_there_is_named(self, wire: Wire) -> None:
        renter = await wire.connect(RENTER)
        with pytest.raises(NoSuchQueue, match="w7"):
            await renter.consume(queue_name(RENTER, "w7"), prefetch=1).__aenter__()

    async def test_of_queues_of_others_nobody_learns_whether_they_are_there(self, wire: Wire) -> None:
        renter = await wire.connect(RENTER)
        with pytest.raises(AccessRefused, match="w7"):
            await renter.consume(queue_name(NEIGHBOUR, "w7"), prefetch=1).__aenter__()

    @pytest.mark.parametrize("size", [limits.BODY_BYTES_MAX + 1])
    async def test_a_body_over_the_limit_is_not_sent(self, wire: Wire, size: int) -> None:
        renter = await wire.connect(RENTER)
        with pytest.raises(MessageTooLarge):
            await post(renter, letter("evt-1", LESSOR, RENTER, body=bytes(size)))
        await post(renter, letter("evt-2", LESSOR, RENTER))


class TestLanes:
    async def test_a_lane_has_one_consumer_at_a_time(self, wire: Wire) -> None:
        one, other = await wire.connect(LESSOR), await wire.connect(LESSOR)
        async with one.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True):
            for exclusive in (True, False):
                with pytest.raises(QueueBusy):
                    await other.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=exclusive).__aenter__()
            async with other.consume(queue_name(LESSOR, lane(2)), prefetch=1, exclusive=True):
                pass
        async with other.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True):
            pass

    async def test_a_lane_is_free_again_when_its_owners_connection_ends(self, wire: Wire) -> None:
        renter, one, other = await wire.connect(RENTER), await wire.connect(LESSOR), await wire.connect(LESSOR)
        async with one.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True) as owner:
            await post(renter, letter("evt-1", LESSOR, RENTER, kind=lane(1)))
            await following(owner)
            await one.close()
        async with other.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True) as consumer:
            delivery = await following(consumer)
            assert (delivery.message.id, delivery.redelivered) == ("evt-1", True)
            await delivery.ack()


class TestLosingTheConnection:
    async def test_unsettled_messages_come_again_and_the_late_ack_does_nothing(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER))
        async with AsyncExitStack() as stack:
            consumer = await stack.enter_async_context(lessor.consume(CONTROL_OF_LESSOR, prefetch=1))
            before = await following(consumer)
            await wire.cut(LESSOR)
            after = await resumed(stack, consumer, lessor)
            await settle_late(before)
            assert (after.message.id, after.redelivered) == ("evt-1", True)
            await after.ack()
        delivery = await last_of(lessor, CONTROL_OF_LESSOR, letter("mark", LESSOR, LESSOR))
        assert delivery.message.id == "mark"

    async def test_what_a_cut_kept_from_being_rejected_comes_again(self, wire: Wire) -> None:
        names = await cut_while_settling(wire, lambda delivery: delivery.reject("bad-signature"))
        lessor, hub = await wire.connect(LESSOR), await wire.connect(hub_address("B11"))
        async with (
            lessor.consume(CONTROL_OF_LESSOR, prefetch=9) as consumer,
            hub.consume(dead_queue("B11"), prefetch=9) as dead,
        ):
            rejecting = asyncio.create_task(reject_all(consumer))
            await acknowledge_until(dead, names)
            rejecting.cancel()

    async def test_what_a_cut_kept_from_being_retried_comes_again(self, wire: Wire) -> None:
        names = await cut_while_settling(wire, lambda delivery: delivery.retry(0.0))
        lessor = await wire.connect(LESSOR)
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=9) as consumer:
            await acknowledge_until(consumer, names)

    async def test_a_stream_survives_cuts_and_nothing_is_lost(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        names = {f"evt-{number}" for number in range(120)}
        seen: Counter[str] = Counter()
        halfway = asyncio.Event()

        async def receive() -> None:
            while set(seen) != names:
                try:
                    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=4) as consumer:
                        while set(seen) != names:
                            delivery = await following(consumer)
                            await settle_late(delivery)
                            seen[delivery.message.id] += 1
                            if len(seen) >= 30:
                                halfway.set()
                except BrokerUnreachable:
                    await asyncio.sleep(0)

        async with asyncio.timeout(3 * SECONDS_MAX):
            receiving = asyncio.create_task(receive())
            sending = asyncio.gather(*(post_surely(renter, letter(name, LESSOR, RENTER)) for name in sorted(names)))
            await halfway.wait()
            await wire.cut(LESSOR)
            await wire.cut(RENTER)
            await sending
            await receiving
        assert set(seen) == names

    async def test_publishes_under_way_become_unknown_and_later_ones_work(self, wire: Wire) -> None:
        line = await wire.line(RENTER)
        await post(line.broker, letter("first", LESSOR, RENTER, kind="batch"))
        names = [f"evt-{number}" for number in range(8)]
        letters = [letter(name, LESSOR, RENTER, kind="batch", body=bytes(65536)) for name in names]
        results = await severed(line, [post(line.broker, each) for each in letters])
        assert {type(result) for result in results} == {PublishUnknown}
        for each in letters:
            await post_surely(line.broker, each)
        lessor = await wire.connect(LESSOR)
        async with lessor.consume(queue_name(LESSOR, "batch"), prefetch=8) as consumer:
            await acknowledge_until(consumer, {"first", *names})

    async def test_a_lane_is_resumed_or_its_loss_is_told(self, wire: Wire) -> None:
        renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
        async with AsyncExitStack() as stack:
            lanes = lessor.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True)
            consumer = await stack.enter_async_context(lanes)
            await wire.cut(LESSOR)
            await post(renter, letter("evt-1", LESSOR, RENTER, kind=lane(1)))
            delivery = await resumed(stack, consumer, lessor, queue_name(LESSOR, lane(1)), exclusive=True)
            assert delivery.message.id == "evt-1"
            await delivery.ack()

    async def test_a_closed_broker_ends_its_consumers_and_publishes_nothing(self, wire: Wire) -> None:
        lessor = await wire.connect(LESSOR)
        async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
            waiting = asyncio.create_task(following(consumer))
            await lessor.close()
            with pytest.raises((StopAsyncIteration, BrokerUnreachable)):
                await waiting
        with pytest.raises(BrokerUnreachable):
            await post(lessor, letter("evt-1", LESSOR, LESSOR))
        with pytest.raises(BrokerUnreachable):
            await lessor.consume(CONTROL_OF_LESSOR, prefetch=1).__aenter__()


async def cut_while_settling(wire: Wire, settle: Callable[[Delivery], Awaitable[None]]) -> set[str]:
    """The ids of messages whose receiver loses its connection while it moves them away, and hears no more than that."""
    line = await wire.line(LESSOR)
    names = {f"evt-{number}" for number in range(20)}
    await post(line.broker, *(letter(name, LESSOR, LESSOR) for name in sorted(names)))
    async with line.broker.consume(CONTROL_OF_LESSOR, prefetch=len(names)) as consumer:
        results = await severed(line, [settle(delivery) for delivery in await take(consumer, len(names))])
    assert {type(result) for result in results} <= {PublishUnknown, BrokerUnreachable}
    await line.broker.close()
    return names


async def severed(line: Line, begun: Sequence[Awaitable[None]]) -> list[BaseException | None]:
    """What comes of these when the connection breaks after they were sent and before anything is confirmed."""
    with line.held():
        waiting = asyncio.gather(*begun, return_exceptions=True)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        line.sever()
        async with asyncio.timeout(SECONDS_MAX / 2):  # it is told of the loss, and does not wait for its own deadline
            return await waiting


async def reject_all(consumer: Consumer) -> None:
    async for delivery in consumer:
        await delivery.reject("bad-signature")


async def acknowledge_until(consumer: Consumer, names: set[str]) -> None:
    """Ends when every one of these was seen, some perhaps twice."""
    seen: set[str] = set()
    while seen != names:
        delivery = await following(consumer)
        await delivery.ack()
        seen.add(delivery.message.id)


async def settle_late(delivery: Delivery) -> None:
    """Acknowledge what may have been lost with its connection: at most the loss is told."""
    try:
        await delivery.ack()
    except BrokerUnreachable:
        return


async def resumed(
    stack: AsyncExitStack,
    consumer: Consumer,
    broker: Broker,
    queue: str = CONTROL_OF_LESSOR,
    *,
    exclusive: bool = False,
) -> Delivery:
    """The next delivery after a cut, whether this adapter resumes its consumers or tells of the loss."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                return await following(consumer)
            except BrokerUnreachable:
                consumer = await subscribed(stack, broker, queue, exclusive=exclusive)


async def subscribed(stack: AsyncExitStack, broker: Broker, queue: str, *, exclusive: bool) -> Consumer:
    while True:
        try:
            return await stack.enter_async_context(broker.consume(queue, prefetch=1, exclusive=exclusive))
        except (BrokerUnreachable, QueueBusy):
            await asyncio.sleep(0)
