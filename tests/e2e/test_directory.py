"""A hub joins a running network, is reached from far away, also when a link is cut, and gets another key (N3, N4).

Hubs as they run, each on a broker of its own, in one process; `tests/soak/directory.py` does it with processes on
RabbitMQ.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.names import dead_queue, queue_name
from broker.port import DEAD_REASON
from nodes.identity import Identity
from nodes.runtime.post import Post
from schemas.events import QuoteReleased
from schemas.ids import derive_id, hub_address
from tests.support.growing import NEW, Hubs, hubs_of, participant
from tests.support.letters import drain, letter, post

RELEASED = QuoteReleased(quote=derive_id("quote", 1), order=derive_id("order", 1))


@pytest.fixture
async def hubs(tmp_path: Path) -> AsyncIterator[Hubs]:
    async with hubs_of(tmp_path) as running:
        certificate = running.certify(NEW, running.identities[NEW].public, 1)
        await running.start(running.config(NEW, "C11", certificate=certificate))
        running.configure(running.config("C11", "A11", "B11", NEW))
        running.link("C11", NEW)
        yield running


async def reached(hubs: Hubs, source: str, destination: str) -> None:
    """A message of one's participant to the other's arrives."""
    to, by = participant(destination), participant(source)
    await post(hubs.servers[source].connect(by), letter("evt-1", to, by))
    assert [each.id for each in await drain(hubs.servers[destination].connect(to), queue_name(to, "control"), 1)]


async def test_it_is_known_and_reached_everywhere_though_nobody_else_changed_a_file(hubs: Hubs) -> None:
    for name, way in (("A11", (NEW, "C11")), ("B11", (NEW, "C11")), ("C11", (NEW,))):
        await hubs.until(name, NEW, lambda known, way=way: known.path == way)  # type: ignore[misc]
    await hubs.until(NEW, "A11", lambda known: known.path == ("A11", "C11"))
    for name in ("A11", "B11"):
        await reached(hubs, name, NEW)
        await reached(hubs, NEW, name)
    await hubs.cut("A11", "C11")
    await hubs.until("A11", NEW, lambda known: known.path == (NEW, "C11", "B11"))
    await hubs.until(NEW, "A11", lambda known: known.path == ("A11", "B11", "C11"))
    await hubs.nodes["A11"].runtime.idle()
    await reached(hubs, "A11", NEW)


async def test_its_lost_key_is_replaced_everywhere_and_what_the_old_one_signs_is_refused(hubs: Hubs) -> None:
    await hubs.until("A11", NEW, lambda known: bool(known.path))
    old, new = hubs.identities[NEW], Identity.generate(hub_address(NEW))
    await hubs.end(NEW)
    hubs.identities[NEW] = new
    certificate = hubs.certify(NEW, new.public, 2)
    await hubs.start(hubs.config(NEW, "C11", certificate=certificate), new)
    for name in ("A11", "B11", "C11"):
        await hubs.until(name, NEW, lambda known: known.certificate == certificate)
    wire = hubs.servers[NEW].connect(hub_address(NEW))
    for number, identity in enumerate((old, new)):
        sender = Post(identity, wire, time.time)
        event_id = derive_id("event", "released", number)
        await sender.send("quote.released", hub_address("A11"), RELEASED.order, RELEASED, event_id=event_id)
    (dead,) = await drain(hubs.servers["A11"].connect(hub_address("A11")), dead_queue("A11"), 1)
    assert (dead.id, dead.headers[DEAD_REASON]) == (derive_id("event", "released", 0), "bad-signature")
    await hubs.nodes["A11"].runtime.idle()
    assert hubs.servers["A11"].depth(dead_queue("A11")) == 0
