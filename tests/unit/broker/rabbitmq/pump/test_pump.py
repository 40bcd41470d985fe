"""A pump between two scripted brokers: it acknowledges what was confirmed, and hands out all that was not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pamqp import commands

from broker.errors import BrokerUnreachable, NoSuchQueue
from broker.rabbitmq.frames import improve
from broker.rabbitmq.pump import Pump, line, pump
from schemas.ids import Address
from tests.support.amqp import content, said
from tests.support.pumping import Pumping
from tests.support.scripted import Scripted

KEYS, KEY = r"B11\.\w+\.A11\.\w+\.\w+", "B11.B12.A11.A12.batch"
HUB, QUEUE = Address("A11.hub"), "out.A11.B11"
SECONDS_MAX = 20.0


@dataclass
class Stands:
    """A link that stands, to one of the brokers."""

    port: int
    of: Address = HUB
    where: str = "there"
    tls: None = None

    def url(self) -> str:
        return f"amqp://user:secret@127.0.0.1:{self.port}/%2F"

    def check_open(self) -> None:
        """It is."""

    async def connection(self) -> None:
        """It is there."""

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[None]:
        yield


@dataclass
class Between:
    """A pump, and the brokers at its ends."""

    near: Scripted
    far: Scripted
    pump: Pump
    carried: list[tuple[int, int]] = field(default_factory=list)

    async def publish(self) -> tuple[str, bytes]:
        """The next: its key and body."""
        method, header, body = [await self.far.heard.get() for _ in range(3)]
        assert isinstance(method, commands.Basic.Publish)
        assert (method.exchange, method.mandatory, header.body_size) == ("hub.B11", True, len(body.value))
        return str(method.routing_key), body.value

    async def settled(self) -> tuple[int, bool]:
        """The next acknowledgement."""
        said = await self.near.heard.get()
        assert isinstance(said, commands.Basic.Ack)
        return said.delivery_tag or 0, said.multiple

    async def handed_out(self) -> Any:
        return await anext(self.pump)


async def until(true: Callable[[], bool]) -> None:
    """The loop goes on until it is so: nobody tells."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.fixture
async def between(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Between]:
    improve()
    monkeypatch.setattr(pump, "TRY_SECONDS", 0.01)
    monkeypatch.setattr("broker.rabbitmq.consumer.RENEW_SECONDS", 0.01)
    async with asyncio.timeout(SECONDS_MAX), Scripted().running() as near, Scripted().running() as far:
        ends: Any = [
            SimpleNamespace(link=Stands(each.port), publisher=SimpleNamespace(address=HUB), exchange="hub.B11")
            for each in (near, far)
        ]
        carried: list[tuple[int, int]] = []
        one = Pump(ends[0], ends[1], QUEUE, KEYS, lambda messages, size: carried.append((messages, size)))
        yield Between(near, far, one, carried)


async def test_what_is_confirmed_is_acknowledged_and_counted(between: Between) -> None:
    async with between.pump:
        for number in range(4):
            between.near.deliver(KEY, bytes(number + 1))
        assert [await between.publish() for _ in range(4)] == [(KEY, bytes(number + 1)) for number in range(4)]
        assert between.near.heard.empty()
        between.far.say(commands.Basic.Ack(2), commands.Basic.Ack(4))
        assert [await between.settled() for _ in range(2)] == [(2, False), (4, False)]
        between.far.say(commands.Basic.Ack(3, True))
        assert await between.settled() == (3, True)
        assert (sum(each for each, _ in between.carried), sum(size for _, size in between.carried)) == (4, 10)


@pytest.mark.parametrize(
    "answer",
    [commands.Basic.Nack(1), commands.Basic.Return(312, "NO_ROUTE", "hub.B11", KEY)],
    ids=["refused", "returned"],
)
async def test_what_is_not_kept_over_there_is_handed_out(between: Between, answer: Any) -> None:
    async with between.pump:
        between.near.deliver(KEY, b"one", headers={"ce-id": "1"}, message_id="m")
        await between.publish()
        if isinstance(answer, commands.Basic.Return):
            between.far.write(said(answer) + content(b"one"))
            between.far.say(commands.Basic.Ack(1))
        else:
            between.far.say(answer)
        given = await between.handed_out()
        message = given.message
        assert (message.key, message.body, message.headers, message.id) == (KEY, b"one", {"ce-id": "1"}, "m")
        assert between.near.heard.empty()
        assert not between.carried
        await given.ack()
        assert await between.settled() == (1, False)


@pytest.mark.parametrize(
    ("key", "more"),
    [("A11.A12.A11.A12.batch", {}), (KEY, {"user_id": "A12"}), (KEY, {"redelivered": True})],
    ids=["another link's", "not plain", "delivered before"],
)
async def test_what_may_not_go_as_it_is_is_handed_out_and_its_neighbours_go(
    between: Between, key: str, more: dict[str, Any]
) -> None:
    async with between.pump:
        between.near.deliver(KEY, b"before")
        between.near.deliver(key, b"odd", **more)
        between.near.deliver(KEY, b"behind")
        assert [await between.publish() for _ in range(2)] == [(KEY, b"before"), (KEY, b"behind")]
        given = await between.handed_out()
        assert (given.message.key, given.message.body, given.redelivered) == (key, b"odd", "redelivered" in more)
        between.far.say(commands.Basic.Ack(2, True))
        assert [await between.settled() for _ in range(2)] == [(1, False), (3, False)]
        await given.release()
        back = await between.near.heard.get()
        assert isinstance(back, commands.Basic.Reject)
        assert (back.delivery_tag, back.requeue) == (2, True)


def test_a_broker_that_confirms_before_it_is_asked_is_told_so() -> None:
    bench = Pumping()
    bench.pump._outward = None  # as between the last answer and the first publish
    bench.far.data_received(said(commands.Basic.Ack(1)))
    assert bench.far.why == "the broker sent confirms before anything was published"
    assert bench.far_wire.closed


ENDS = {
    "its channel is closed": lambda far: far.say(commands.Channel.Close(403, "ACCESS_REFUSED", 60, 40)),
    "it is closed": lambda far: far.say(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), channel=0),
    "it breaks": lambda far: far.drop(),
    "the broker speaks no AMQP": lambda far: far.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "the broker confirms what was not": lambda far: far.say(commands.Basic.Ack(77)),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_what_is_under_way_when_the_connection_is_lost_is_handed_out_and_it_is_made_again(
    between: Between, end: Any
) -> None:
    async with between.pump:
        for body in (b"1", b"2", b"3"):
            between.near.deliver(KEY, body)
            await between.publish()
        between.far.say(commands.Basic.Ack(1))
        await between.settled()
        end(between.far)
        given = [await between.handed_out() for _ in range(2)]
        assert [each.message.body for each in given] == [b"2", b"3"]
        await until(lambda: between.far.connections == 2 and between.pump._outward is not None)
        between.near.deliver(KEY, b"4")
        assert await between.publish() == (KEY, b"4")
        between.far.say(commands.Basic.Ack(1))
        assert await between.settled() == (4, False)
        for each in given:
            await each.ack()
        assert [await between.settled() for _ in range(2)] == [(2, False), (3, False)]


async def test_what_came_before_the_hubs_broker_was_lost_is_settled_and_handed_out_no_more(between: Between) -> None:
    async with between.pump:
        between.near.deliver(KEY, b"kept")
        between.near.deliver(KEY, b"odd", user_id="A12")
        between.near.deliver(KEY, b"refused")
        given = await between.handed_out()
        assert [await between.publish() for _ in range(2)] == [(KEY, b"kept"), (KEY, b"refused")]
        between.near.drop()
        await until(lambda: between.near.connections == 2 and between.near.stands.is_set())
        for body in (b"kept", b"odd", b"refused"):
            between.near.deliver(KEY, body, redelivered=True)
        between.near.deliver(KEY, b"new")
        assert await between.publish() == (KEY, b"new")
        await given.ack()
        between.far.say(commands.Basic.Ack(1), commands.Basic.Nack(2), commands.Basic.Ack(3))
        assert await between.settled() == (4, False), "none of the lost connection's"
        again = [await between.handed_out() for _ in range(3)]
        assert [each.message.body for each in again] == [b"kept", b"odd", b"refused"]
        assert between.pump._arrivals.empty()


async def test_while_the_neighbours_broker_takes_nothing_the_hubs_is_not_read(between: Between) -> None:
    async with between.pump:
        between.near.deliver(KEY, b"1")
        await between.publish()
        between.far.say(commands.Connection.Blocked("memory"), channel=0)
        near = between.pump._near_line
        assert near is not None
        await until(lambda: near._paused)
        between.near.deliver(KEY, b"2")
        between.far.say(commands.Basic.Ack(1))
        await between.settled()
        assert between.far.heard.empty()
        between.far.say(commands.Connection.Unblocked(), channel=0)
        assert await between.publish() == (KEY, b"2")


async def test_bodies_under_way_are_bounded(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "BYTES_UNDER_WAY_MAX", 1000)
    async with between.pump:
        between.near.deliver(KEY, bytes(2000))
        await between.publish()
        near = between.pump._near_line
        assert near is not None
        assert near._paused
        between.near.deliver(KEY, b"2")
        between.far.say(commands.Basic.Ack(1))
        await between.settled()
        assert await between.publish() == (KEY, b"2")


async def test_heartbeats_are_sent_and_a_silent_broker_is_given_up(between: Between) -> None:
    between.far.heartbeat_seconds = 1
    async with between.pump:
        far = between.pump._far_line
        assert far is not None
        for _ in range(2 * line.SILENT_BEATS_MAX + 2):
            far._beat()
        assert far.is_closed
        assert far.why == "nothing was heard of the broker"
        await until(lambda: between.far.connections == 2)
    assert between.far.beats > 0


@pytest.mark.parametrize("code", [403, 404])
async def test_a_queue_that_is_not_there_is_told(between: Between, code: int) -> None:
    between.near.refuses[commands.Basic.Consume] = commands.Channel.Close(code, "NO", 60, 20)
    with pytest.raises(NoSuchQueue, match=QUEUE):
        async with between.pump:
            pass


async def test_a_broker_that_refuses_the_account_is_told_from_one_without_the_queue(between: Between) -> None:
    between.near.refuses[commands.Connection.StartOk] = commands.Connection.Close(403, "ACCESS_REFUSED", 0, 0)
    with pytest.raises(BrokerUnreachable, match="403 ACCESS_REFUSED"):
        async with between.pump:
            pass


async def test_without_the_neighbours_broker_all_is_handed_out(between: Between) -> None:
    between.far.refuses[commands.Confirm.Select] = commands.Channel.Close(540, "NOT_IMPLEMENTED", 85, 10)
    async with between.pump:
        between.near.deliver(KEY, b"1")
        assert (await between.handed_out()).message.body == b"1"
