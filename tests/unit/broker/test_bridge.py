"""A bridge between stand-ins for two brokers: how long it tries, and what it then does."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from broker.bridge import FULL, FULL_SECONDS_MAX, NOT_OF_THIS_LINK, NOWHERE, TOO_LARGE, Bridge, Room
from broker.errors import AccessRefused, MessageTooLarge, PublishUnknown, QueueFull, Unroutable
from broker.port import Message
from schemas.errors import BrokerUnreachable

KEY = "B11.B12.A11.A12.batch"


@dataclass(eq=False)
class Given:
    """A delivery, and how it was settled."""

    message: Message
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    how: str = ""
    fails: BaseException | None = None

    async def ack(self) -> None:
        self._settle("ack")

    async def release(self) -> None:
        self._settle("release")

    async def reject(self, reason: str) -> None:
        if self.fails is not None:
            raise self.fails
        self._settle(reason)

    def _settle(self, how: str) -> None:
        self.how = how
        self.settled.set()


@dataclass(eq=False)
class Near:
    """The hub's own broker: these deliveries, then nothing."""

    deliveries: deque[Given]

    def consume(self, queue: str, **_: object) -> Self:
        assert queue == "out.A11.B11"
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to end."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Given:
        if not self.deliveries:
            await asyncio.Event().wait()
        return self.deliveries.popleft()


@dataclass(eq=False)
class Far:
    """The neighbour's: raises what is laid out for a message, then takes it."""

    raises: dict[str, list[Exception]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    for_ever: bool = False

    async def publish(self, message: Message, **_: object) -> None:
        errors = self.raises.get(message.id, [])
        if errors:
            raise errors[0] if self.for_ever else errors.pop(0)
        self.taken.append(message.id)


def given(name: str, key: str = KEY, **more: Any) -> Given:
    return Given(Message(key, b"body", {}, name), **more)


async def carried(far: Far, *deliveries: Given, leaf: bool = False) -> float:
    """Run a bridge until all are settled; the seconds that it slept."""
    slept = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds
        await asyncio.sleep(0)

    near: Any = Near(deque(deliveries))
    target: Any = far
    bridge = Bridge("A11", "B11", r"B11\.\w+\.A11\.\w+\.\w+", near, target, sleep, leaf=leaf)
    running = asyncio.create_task(bridge.run())
    await asyncio.gather(*(each.settled.wait() for each in deliveries))
    running.cancel()
    await asyncio.wait([running])
    return slept


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MessageTooLarge("large"), TOO_LARGE),
        (TypeError("half a surrogate"), TOO_LARGE),
        (Unroutable("nobody"), NOWHERE),
        (AccessRefused("no"), NOT_OF_THIS_LINK),
    ],
)
async def test_what_cannot_pass_is_set_aside_with_its_reason(error: Exception, reason: str) -> None:
    far, bad, good = Far({"bad": [error]}), given("bad"), given("good")
    assert await carried(far, bad, good) == 0.0
    assert (bad.how, good.how, far.taken) == (reason, "ack", ["good"])


async def test_a_key_of_another_link_is_never_published() -> None:
    far, bad = Far(), given("bad", key="A11.A12.A11.A12.batch")
    await carried(far, bad)
    assert (bad.how, far.taken) == (NOT_OF_THIS_LINK, [])


async def test_a_leaf_keeps_what_is_for_its_own_subnet_and_sends_on_the_rest() -> None:
    far, own, other = Far(), given("own", key="A11.nobody.A11.A12.batch"), given("other", key="A1.A12.A11.A12.batch")
    await carried(far, own, other, leaf=True)
    assert (own.how, other.how, far.taken) == ("ack", NOT_OF_THIS_LINK, [])


@pytest.mark.parametrize(
    ("key", "passes"),
    [
        ("B11.hub.A11.hub.heartbeat", True),
        ("C11.hub.A11.hub.heartbeat", False),  # of the link to C11, which goes round over here
        ("B11.hub.C11.hub.heartbeat", False),  # of C11's link to there, likewise
        ("B11.B12.A11.A12.heartbeat", False),
    ],
)
async def test_no_heartbeat_of_another_link_passes_and_none_is_set_aside(key: str, passes: bool) -> None:
    far, beat = Far(), given("beat", key=key)
    await carried(far, beat)
    assert (beat.how, far.taken) == ("ack", ["beat"] if passes else [])


async def test_a_pump_stands_in_for_the_queue_and_each_run_has_its_own() -> None:
    pumps: list[Any] = [Near(deque([given("one")])), Near(deque([given("two")]))]
    handed_out, far = [pump.deliveries[0] for pump in pumps], Far()
    bridge: Any = Bridge("A11", "B11", r"B11\.\w+\.A11\.\w+\.\w+", None, far, pump=lambda: pumps.pop(0))  # type: ignore[arg-type]
    for each in handed_out:
        running = asyncio.create_task(bridge.run())
        await each.settled.wait()
        running.cancel()
        await asyncio.wait([running])
    assert (far.taken, [each.how for each in handed_out]) == (["one", "two"], ["ack", "ack"])


async def test_a_link_that_is_down_is_tried_until_it_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Exception] = [BrokerUnreachable("gone"), PublishUnknown("no confirm")]
    far, waits = Far({"waits": lost * 500}), given("waits")
    slept = await carried(far, waits)
    assert (waits.how, far.taken) == ("ack", ["waits"])
    assert slept > 60 * FULL_SECONDS_MAX


async def test_a_full_queue_delays_its_own_messages_only_and_not_for_ever() -> None:
    far, full, good = Far({"full": [QueueFull("full")]}, for_ever=True), given("full"), given("good")
    slept = await carried(far, full, good)
    assert (full.how, good.how, far.taken) == (FULL, "ack", ["good"])
    assert slept <= FULL_SECONDS_MAX


async def test_what_cannot_be_set_aside_comes_again() -> None:
    bad = given("bad", key="elsewhere", fails=BrokerUnreachable("gone"))
    await carried(Far(), bad)
    assert bad.how == "release"


async def test_bodies_under_way_are_bounded_and_one_larger_than_the_bound_goes_alone() -> None:
    room = Room(10)
    await room.take(8)
    second = asyncio.create_task(room.take(100))
    await asyncio.sleep(0)
    assert not second.done()
    room.give(8)
    await second
    third = asyncio.create_task(room.take(1))
    await asyncio.sleep(0)
    assert not third.done()
    room.give(100)
    await third
