"""A process hears from its first echo on, until echoes stay away; whoever is not heard meanwhile was not silent."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import EmbeddedServer
from broker.errors import PublishUnknown, QueueFull
from broker.names import queue_name, routing_key
from broker.network import Hub, Network, Participant
from broker.port import Message
from nodes.runtime.hearing import ECHOES_PER_WAIT, MISSED_MAX, Hearing
from schemas.errors import BrokerUnreachable
from schemas.ids import Address
from tests.support.world import Clock, World, message, tally, told, until

ME = Address("A11.A12")
WAIT = 60.0
EVERY = WAIT / ECHOES_PER_WAIT


@dataclass
class Rig:
    """A hearing on a clock that is moved by hand."""

    clock: Clock
    hearing: Hearing

    @classmethod
    def make(cls, broker: Any = None) -> Rig:
        clock = Clock()

        async def pause(seconds: float) -> None:
            clock.now += seconds
            await asyncio.sleep(0)

        return cls(clock, Hearing(broker, ME, "result", wait_seconds=WAIT, clock=clock, pause=pause))


def test_nothing_is_heard_before_the_first_echo() -> None:
    rig = Rig.make()
    assert rig.hearing.since == rig.clock.now
    rig.clock.now += 1000
    assert rig.hearing.since == rig.clock.now


def test_hearing_goes_on_while_echoes_come() -> None:
    rig = Rig.make()
    began = rig.clock.now
    for _ in range(100):
        rig.hearing.heard()
        rig.clock.now += EVERY * (MISSED_MAX + 1)
    assert rig.hearing.since == began


def test_hearing_begins_anew_after_a_gap() -> None:
    rig = Rig.make()
    rig.hearing.heard()
    rig.clock.now += EVERY * (MISSED_MAX + 1) + 0.1
    assert rig.hearing.since == rig.clock.now
    again = rig.clock.now = rig.clock.now + 5
    rig.hearing.heard()
    rig.clock.now += 3
    assert rig.hearing.since == again


def test_who_is_heard_all_the_time_is_noted_a_few_times_per_wait() -> None:
    rig, news = Rig.make(), []
    for _ in range(ECHOES_PER_WAIT):
        news.append((rig.hearing.is_news("one"), rig.hearing.is_news("two")))
        rig.clock.now += EVERY
    assert sum(one for one, _ in news) == sum(two for _, two in news) == ECHOES_PER_WAIT // MISSED_MAX


@pytest.mark.parametrize(
    ("key", "own"),
    [
        (routing_key(ME, ME, "result"), True),
        (routing_key(ME, Address("B11.B12"), "result"), False),
        ("no key at all", False),
    ],
)
def test_only_what_this_node_sent_is_an_echo(key: str, own: bool) -> None:
    assert Rig.make().hearing.is_echo(Message(key, b"", {}, "1")) is own


@pytest.mark.parametrize("error", [BrokerUnreachable("gone"), PublishUnknown("?"), QueueFull("full")])
async def test_echoes_are_sent_again_whatever_became_of_the_last(error: Exception) -> None:
    class Failing:
        sent = 0

        async def publish(self, message: Message, *, timeout_seconds: float) -> None:
            self.sent += 1
            raise error

    broker = Failing()
    running = asyncio.create_task(Rig.make(broker).hearing.run())
    while broker.sent < 3:  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])


async def test_an_echo_comes_back_through_the_nodes_own_queue() -> None:
    server = EmbeddedServer(Network(hubs=(Hub(name="A11", participants=(Participant(name="A12", role="renter"),)),)))
    broker = server.connect(ME)
    rig = Rig.make(broker)
    running = asyncio.create_task(rig.hearing.run())
    async with broker.consume(queue_name(ME, "result"), prefetch=1) as consumer:
        delivery = await anext(consumer)
        assert rig.hearing.is_echo(delivery.message)
        await delivery.ack()
    running.cancel()
    await asyncio.wait([running])
    await server.close()


async def test_a_timer_says_since_when_its_process_hears(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        world = await World.open(stack, tmp_path)
        running = await world.start(hearing_since=lambda: 123.5)
        await world.tell(message(told(1, f"timer {world.clock.now}")))

        async def fired() -> bool:
            return "timer.fired" in (await tally(running.store)).seen

        await until(fired)
        entries = b"".join(await running.store.journal("job"))
        assert b'"hearing_since":123.5' in entries
