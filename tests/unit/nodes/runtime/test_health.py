"""What a whole process says of itself: ready while it consumes and can write, and else why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.operations.telemetry import Telemetry
from nodes.runtime.storage import Storage
from tests.support.world import STRANGER, World, message, reasons, told, until
from tests.unit.nodes.runtime.test_storage import at_once, fill, world

__all__ = ["world"]

CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def telemetry() -> Telemetry:
    made = Telemetry()
    made.health.broker = lambda: ""
    return made


async def has(telemetry: Telemetry, *words: str) -> bool:
    """Whether each reason holds one of these, in order."""
    reasons = telemetry.health.reasons
    return len(reasons) == len(words) and all(word in reason for word, reason in zip(words, reasons, strict=True))


async def test_a_process_is_ready_from_its_first_to_its_last_delivery(world: World, telemetry: Telemetry) -> None:
    assert await has(telemetry, "has not started")
    running = await world.start(telemetry=telemetry)
    await until(lambda: has(telemetry))
    await running.end()
    assert await has(telemetry, "the control queue is not consumed")


async def test_a_full_disk_is_a_reason_as_long_as_it_is_full(world: World, telemetry: Telemetry) -> None:
    running = await world.start(storage=Storage(world.folder, at_once), telemetry=telemetry)
    await world.tell(message(told(0, "first")))
    await world.answered(1)
    free = await fill(running)
    await world.tell(*(message(told(number, "x" * 90)) for number in range(1, 41)))
    await until(lambda: has(telemetry, "paused: what must be kept cannot be written: database or disk is full"))
    await free()
    await world.answered(40)
    await until(lambda: has(telemetry))
    await running.end()


async def test_refusals_are_counted_by_their_code_and_events_by_their_type(world: World, telemetry: Telemetry) -> None:
    running = await world.start(telemetry=telemetry)
    await world.tell(message(told(0, "first")), message(told(1, "forged"), STRANGER))
    await world.answered(1)
    await world.buried(1)
    await running.end()
    value = telemetry.metrics.registry.get_sample_value
    assert value("sublet_refusals_total", {"code": "bad-signature"}) == 1
    assert value("sublet_events_total", {"direction": "received", "type": told(0, "").type}) == 2
    assert value("sublet_store_seconds_count", {"operation": "apply"}) >= 1  # type: ignore[operator]


async def test_an_answer_goes_on_in_the_trace_of_its_question(world: World) -> None:
    await world.start()
    await world.tell(message(replace(told(0, "traced"), traceparent=CONTEXT)), message(told(1, "untraced")))
    events = await world.answered(2)
    assert dict(zip(reasons(events), (each.traceparent for each in events), strict=True)) == {
        "traced": CONTEXT,
        "untraced": "",
    }
