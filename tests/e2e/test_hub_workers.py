"""A rush on two hubs of two processes each, which share a store on PostgreSQL: nothing is sold twice, none forgotten.

Here processes are tasks, each with connections of its own; `make soak` does so on RabbitMQ, with a thousand orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal, Self

import pytest

from broker.embedded import EmbeddedServer
from broker.network import Hub, Link, Network, Participant
from broker.port import Broker
from nodes.bootstrap.hub import hub_node
from nodes.bootstrap.stored import StoredNode
from nodes.hub.directory import HubConfig
from nodes.identity import Identity
from nodes.runtime import commits, loop
from nodes.store.port import OUTBOX_LEASE_SECONDS
from nodes.store.postgres import store
from schemas.ids import Address, address, hub_address, hub_of, name_of
from tests.support.postgres import Server, rows
from tests.support.rush import Rush

HUBS: Final = ("A11", "B11")
RENTERS: Final = tuple(address("A11", f"R{number}") for number in range(4))
LESSORS: Final = tuple(address(hub, f"L{number}") for hub in HUBS for number in range(2))
WORKERS: Final = 2
ORDERS: Final = 90
UNITS_EACH: Final = 16
"""Of each lessor: 64 in all, where 180 are asked for."""
MATCH_SECONDS: Final = 4.0
WAIT_SECONDS_MAX: Final = 60
LEASE_SECONDS: Final = 1.5


class Hubs:
    """Two hubs on one broker, and whatever processes of theirs run."""

    def __init__(self, folder: Path, stores: dict[str, str]) -> None:
        names = (*(hub_address(hub) for hub in HUBS), *RENTERS, *LESSORS)
        self.identities = {name: Identity.generate(name) for name in names}
        self.keys: dict[str, bytes] = {hub_address(hub): self.identities[hub_address(hub)].public for hub in HUBS}
        self.server = EmbeddedServer(Network(hubs=tuple(_hub(each) for each in HUBS), links=(Link(hubs=HUBS),)))
        self._folder, self._stores = folder, stores
        self._running: dict[asyncio.Task[None], tuple[StoredNode, asyncio.Event]] = {}

    async def connect(self, of: Address) -> Broker:
        """A connection of one of them."""
        return self.server.connect(of)

    async def start(self, hub: str) -> asyncio.Task[None]:
        """One more process."""
        me = hub_address(hub)
        own: dict[str, bytes] = {
            name: key.public for name, key in self.identities.items() if name.startswith(f"{hub}.") and name != me
        }
        config = HubConfig(me=me, hub_keys=self.keys, participants=own)
        broker = self.server.connect(me)
        node = await hub_node(config, self._folder / me, self.identities[me], broker, self._stores[hub])
        stop = asyncio.Event()
        task = asyncio.create_task(node.run(stop))
        self._running[task] = node, stop
        return task

    async def kill(self, task: asyncio.Task[None], monkeypatch: pytest.MonkeyPatch) -> str:
        """It gives nothing back. What it was called in its store."""
        node = self._running.pop(task)[0]

        async def nothing(*_: object) -> None:
            pass

        monkeypatch.setattr(node.store, "release", nothing)
        monkeypatch.setattr(node.store, "done", nothing)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return node.runtime._owner

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """End them all; raises what one of them raised."""
        for _node, stop in self._running.values():
            stop.set()
        await asyncio.gather(*self._running)
        await self.server.close()


def _hub(name: str) -> Hub:
    of_roles: dict[Literal["renter", "lessor"], tuple[Address, ...]] = {"renter": RENTERS, "lessor": LESSORS}
    participants = tuple(
        Participant(name=name_of(each), role=role, lanes=0 if role == "renter" else 1)
        for role, members in of_roles.items()
        for each in members
        if hub_of(each) == name
    )
    return Hub(name=name, participants=participants)


@pytest.fixture
async def stores(postgres: Server) -> AsyncIterator[dict[str, str]]:
    async with AsyncExitStack() as stack:
        yield {hub: await stack.enter_async_context(postgres.schema()) for hub in HUBS}


async def waiting(url: str, owner: str | None = None) -> int:
    """Effects that are to be carried out: of one owner, or of all."""
    ((count,),) = await rows(url, "SELECT count(*) FROM outbox WHERE $1::text IS NULL OR owner = $1", owner)
    return int(count)


async def test_no_unit_is_sold_twice_and_every_order_is_answered_though_one_of_two_processes_is_killed(
    stores: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (commits, loop):
        monkeypatch.setattr(module, "OUTBOX_LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(store, "LOOK_SECONDS", LEASE_SECONDS / 3)
    async with Hubs(tmp_path, stores) as hubs, asyncio.timeout(WAIT_SECONDS_MAX):
        rush = Rush(hubs.connect, hubs.identities, hubs.keys, RENTERS, LESSORS)
        await rushed(hubs, rush, stores["A11"], monkeypatch)
    ended = rush.require_fair()
    assert 0 < ended["units"] <= UNITS_EACH * len(LESSORS)  # all of them, on a machine that is not too busy
    assert ended["no-match"] == ORDERS - ended["matched"]


async def rushed(hubs: Hubs, rush: Rush, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All orders answered and all effects carried out."""
    tasks = {hub: [await hubs.start(hub) for _ in range(WORKERS)] for hub in HUBS}
    async with rush.listening():
        await rush.offer(UNITS_EACH)
        placing = asyncio.create_task(rush.order(ORDERS, MATCH_SECONDS))
        await rush.answered(3)
        killed = await hubs.kill(tasks["A11"][0], monkeypatch)
        assert await waiting(url, killed), "it held nothing that others could take over"
        await placing
        await rush.answered(ORDERS)
        while await waiting(url):  # noqa: ASYNC110 - a store is asked
            await asyncio.sleep(0.05)


def test_a_killed_process_is_replaced_within_half_a_minute() -> None:
    assert OUTBOX_LEASE_SECONDS + store.LOOK_SECONDS <= 30
