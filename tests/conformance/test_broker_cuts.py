"""What every broker must do where connections break (`broker.port`): nothing is lost, and what is unknown is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import pytest

from broker.errors import BrokerUnreachable, PublishUnknown, QueueBusy
from broker.names import dead_queue, lane, queue_name
from broker.port import Broker, Consumer, Delivery
from broker.rabbitmq import link
from schemas.ids import hub_address
from tests.support.letters import CONTROL_OF_LESSOR, SECONDS_MAX, following, last_of, letter, post, post_surely, take
from tests.support.wires import LESSOR, RENTER, Line, Wire

TURNS: Final = 50
"""Of the event loop, until what was begun is on its way."""


async def test_unsettled_messages_come_again_and_the_late_ack_does_nothing(wire: Wire) -> None:
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


async def test_what_a_cut_kept_from_being_rejected_comes_again(wire: Wire) -> None:
    names = await cut_while_settling(wire, lambda delivery: delivery.reject("bad-signature"))
    lessor, hub = await wire.connect(LESSOR), await wire.connect(hub_address("B11"))
    async with (
        lessor.consume(CONTROL_OF_LESSOR, prefetch=9) as consumer,
        hub.consume(dead_queue("B11"), prefetch=9) as dead,
    ):
        rejecting = asyncio.create_task(reject_all(consumer))
        await acknowledge_until(dead, names)
        rejecting.cancel()


async def test_what_a_cut_kept_from_being_retried_comes_again(wire: Wire) -> None:
    names = await cut_while_settling(wire, lambda delivery: delivery.retry(0.0))
    lessor = await wire.connect(LESSOR)
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=9) as consumer:
        await acknowledge_until(consumer, names)


async def test_a_stream_survives_cuts_and_nothing_is_lost(wire: Wire) -> None:
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


async def test_publishes_under_way_become_unknown_and_later_ones_work(wire: Wire) -> None:
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


async def test_a_lane_is_resumed_or_its_loss_is_told(wire: Wire) -> None:
    renter, lessor = await wire.connect(RENTER), await wire.connect(LESSOR)
    async with AsyncExitStack() as stack:
        lanes = lessor.consume(queue_name(LESSOR, lane(1)), prefetch=1, exclusive=True)
        consumer = await stack.enter_async_context(lanes)
        await wire.cut(LESSOR)
        await post(renter, letter("evt-1", LESSOR, RENTER, kind=lane(1)))
        delivery = await resumed(stack, consumer, lessor, queue_name(LESSOR, lane(1)), exclusive=True)
        assert delivery.message.id == "evt-1"
        await delivery.ack()


async def test_a_closed_broker_ends_its_consumers_and_publishes_nothing(wire: Wire) -> None:
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


async def test_closing_waits_for_no_broker_that_stands_still(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CLOSE_SECONDS_MAX", 0.1)
    line = await wire.line(LESSOR)
    await post(line.broker, letter("evt-1", LESSOR, LESSOR))
    async with line.broker.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
        unsettled = await following(consumer)
        with line.held():
            async with asyncio.timeout(SECONDS_MAX / 2):
                await line.broker.close()
            line.sever()
    first = await last_of(await wire.connect(LESSOR), CONTROL_OF_LESSOR, letter("mark", LESSOR, LESSOR))
    assert first.message.id == unsettled.message.id == "evt-1"


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


async def test_a_connection_says_whether_it_is_there(wire: Wire) -> None:
    lessor = await wire.connect(LESSOR)
    assert lessor.connected
    await wire.cut(LESSOR)
    async with asyncio.timeout(SECONDS_MAX), AsyncExitStack() as stack:
        await subscribed(stack, lessor, CONTROL_OF_LESSOR, exclusive=False)
        assert lessor.connected
    await lessor.close()
    assert not lessor.connected
