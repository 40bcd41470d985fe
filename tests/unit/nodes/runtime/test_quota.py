"""A participant that sends faster than it may waits; others do not, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from broker.names import sender_of
from nodes.machine import Refused
from nodes.runtime import loop, quota
from nodes.runtime.quota import Flooded, Quota
from schemas import limits as network_limits
from schemas.ids import Address, hub_address
from tests.support.world import ME, PEER, STRANGER, World, message, reasons, told

SECONDS_MAX = 10


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_sends_too_fast_waits_longer_the_more_it_sends_and_nobody_else_does() -> None:
    clock = Clock()
    limits = Quota(ME.address, clock)
    assert not any(limits.pause_seconds(STRANGER.address) for _ in range(quota.EVENTS_AT_ONCE_MAX))
    pauses = [limits.pause_seconds(STRANGER.address) for _ in range(quota.EVENTS_WAITING_MAX)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.25, quota.EVENTS_WAITING_MAX / quota.EVENTS_PER_SECOND_MAX)
    refusals = []
    for _ in range(quota.EVENTS_ASIDE_MAX + 2):
        with pytest.raises(Refused) as refused:
            limits.pause_seconds(STRANGER.address)
        refusals.append(refused.value)
    assert {each.code for each in refusals} == {"too-many-events"}
    assert [isinstance(each, Flooded) for each in refusals].count(True) == 2
    assert limits.pause_seconds(PEER.address) == 0
    clock.now += 1.0
    assert [limits.pause_seconds(STRANGER.address) for _ in range(150)].count(0) == quota.EVENTS_PER_SECOND_MAX


def test_after_a_rest_a_sender_may_send_as_if_it_never_had() -> None:
    clock = Clock()
    limits = Quota(ME.address, clock)
    for _ in range(quota.EVENTS_AT_ONCE_MAX + quota.EVENTS_WAITING_MAX):
        limits.pause_seconds(STRANGER.address)
    clock.now += quota.REST_SECONDS + 1
    assert not any(limits.pause_seconds(STRANGER.address) for _ in range(quota.EVENTS_AT_ONCE_MAX))
    assert limits.pause_seconds(STRANGER.address) == 0.25


@pytest.mark.parametrize("source", [ME.address, hub_address("A11"), hub_address("B11")])
def test_hubs_and_the_node_itself_are_not_counted(source: Address) -> None:
    limits = Quota(ME.address, Clock())
    assert not any(limits.pause_seconds(source) for _ in range(2 * quota.EVENTS_AT_ONCE_MAX))


def test_a_key_that_cannot_be_read_is_left_to_the_door() -> None:
    assert Quota(ME.address, Clock()).pause_seconds(sender_of("no key")) == 0


async def test_a_flood_is_let_go_and_costs_who_comes_after_it_no_publish(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the broker confirms nothing, each event that is moved anywhere keeps a place of the prefetch."""
    for name in ("EVENTS_AT_ONCE_MAX", "EVENTS_WAITING_MAX", "EVENTS_ASIDE_MAX"):
        monkeypatch.setattr(quota, name, 4)
    flood = 2 * network_limits.CONTROL_PREFETCH
    junk = [message(told(n, "quiet", source=STRANGER), STRANGER, sender=STRANGER) for n in range(10, 10 + flood)]
    await world.tell(*junk, sender=STRANGER)
    await world.tell(message(told(1, "hello")))
    with world.server.confirms_held():
        running = await world.start()
        async with asyncio.timeout(SECONDS_MAX):
            assert reasons(await world.answered(1)) == ["hello"]
    assert await world.buried(4) == [(each.id, "too-many-events") for each in junk[8:12]]
    await running.runtime.idle()
    assert world.server.depth("q.A11.dead") == 0
    await running.end()


async def test_a_flood_is_told_to_operators_in_one_line_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVENTS_AT_ONCE_MAX", "EVENTS_WAITING_MAX", "EVENTS_ASIDE_MAX"):
        monkeypatch.setattr(quota, name, 4)
    monkeypatch.setattr(loop, "BEAT_SECONDS", 0.01)  # its turns are in real time
    with capture_logs() as lines:

        def said() -> list[Any]:
            return [line for line in lines if line["event"] == "dropped"]

        running = await world.start()
        junk = [message(told(n, "quiet", source=STRANGER), STRANGER, sender=STRANGER) for n in range(10, 60)]
        await world.tell(*junk, sender=STRANGER)
        while world.server.depth("q.A11.A12.control"):  # noqa: ASYNC110 - a broker is asked
            await asyncio.sleep(0.01)
        assert len(said()) <= 1, "what the first turn found"
        world.clock.now += loop.FORGET_SECONDS
        async with asyncio.timeout(SECONDS_MAX):
            while sum(line["count"] for line in said()) < len(junk) - 3 * 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await running.end()
    assert {(line["source"], line["code"], line["log_level"]) for line in said()} == {
        (STRANGER.address, "too-many-events", "warning")
    }
    assert sum(line["count"] for line in said()) == len(junk) - 3 * 4, "not those let in, made to wait, or set aside"
    assert len(said()) <= 2


async def test_what_came_too_fast_is_served_behind_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "EVENTS_AT_ONCE_MAX", 4)
    monkeypatch.setattr(quota, "EVENTS_PER_SECOND_MAX", 20.0)
    junk = [message(told(n, "quiet", source=STRANGER), STRANGER, sender=STRANGER) for n in range(10, 22)]
    await world.tell(*junk, sender=STRANGER)
    await world.tell(message(told(1, "hello")))
    running = await world.start()
    assert reasons(await world.answered(1)) == ["hello"]
    waiting = world.server.depth("q.A11.wait250") + world.server.depth("q.A11.wait1000")
    assert waiting == len(junk) - 4
    await running.end()
