"""What every broker must do (`broker.port`), run against each adapter on the same networks.

The fixtures `wire` and `plain_wire` (conftest.py) bring each adapter. What is set aside is in `test_broker_aside.py`,
cut connections in `test_broker_cuts.py`, and what no client of ours sends in `test_broker_hostile.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from broker.errors import AccessRefused, MessageTooLarge, NoSuchQueue, PublishUnknown, QueueBusy, Unroutable
from broker.names import dead_queue, lane, queue_name, routing_key, unroutable_queue
from broker.port import Broker, Headers, Message
from schemas import limits
from schemas.ids import Address, hub_address
from tests.support.letters import CONTROL_OF_LESSOR, drain, following, ids, last_of, letter, post, post_surely, take
from tests.support.wires import LESSOR, NEIGHBOUR, PARTNER, RENTER, Wire


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
