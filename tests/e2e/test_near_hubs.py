"""Hubs that share a broker of RabbitMQ's, and others that join behind one of them: on it, and on another (N3, N4).

    one:  A11 ── B11 ── D11 (joins)          two:  C11 ── E11 (joins, on a third)
                  └──── bridge ─────────────────── C11

Hubs as they run. Nobody's file but its neighbour's names a hub that joins, and no broker's definitions a way to it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from broker.bridge import Bridge
from broker.definitions import definitions, password_hash
from broker.names import hub_exchange, hub_pattern, link_account, queue_name
from broker.network import Hub, Link, Network, Participant
from broker.port import Broker
from broker.rabbitmq import connect
from broker.topology import Topology, link_keys, topology
from nodes.bootstrap.hub import hub_node
from nodes.bootstrap.stored import StoredNode
from nodes.hub.directory import HubConfig
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub
from nodes.identity import Identity
from schemas.ids import Address, address, hub_address
from tests.support.letters import drain, letter, post
from tests.support.rabbitmq import Server, Site, laid_out, site

pytestmark = pytest.mark.rabbitmq

BROKERS: Final = {"A11": "one", "B11": "one", "C11": "two", "D11": "one", "E11": "three"}
LINKS: Final = (("A11", "B11"), ("B11", "C11"), ("B11", "D11"), ("C11", "E11"))
FOUNDERS: Final = ("A11", "B11", "C11")
SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.02
SALT: Final = b"salt"


def participant(hub: str) -> Address:
    return address(hub, "P")


def described(hubs: Collection[str]) -> Network:
    made = [
        Hub(name=name, broker=BROKERS[name], participants=(Participant(name="P", role="renter", lanes=0),))
        for name in sorted(hubs)
    ]
    return Network(hubs=tuple(made), links=tuple(Link(hubs=pair) for pair in LINKS if set(pair) <= set(hubs)))


def of_neighbours(layout: Topology) -> Topology:
    """What operators load when one joins: links, and of ways those that neighbours are at the end of."""
    ways = {(hub_exchange(one), hub_pattern(two)) for one, two in itertools.permutations(BROKERS, 2)}
    ways -= {(hub_exchange(one), hub_pattern(two)) for link in LINKS for one, two in (link, link[::-1])}
    bindings = tuple(each for each in layout.bindings if (each.source, each.pattern) not in ways)
    return structs.replace(layout, bindings=bindings)


@dataclass
class Shared:
    """The hubs and their brokers."""

    folder: Path
    server: Server
    stack: AsyncExitStack
    sites: dict[str, Site] = field(default_factory=dict)
    nodes: dict[str, StoredNode] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identities = {name: Identity.generate(hub_address(name)) for name in BROKERS}
        for broker in ("one", "two"):
            self.sites[broker] = self.stack.enter_context(site(self.server, described(FOUNDERS), broker))

    async def connect(self, hub: str, of: Address, exchange: str = "") -> Broker:
        broker = await connect(self.sites[BROKERS[hub]].url(of), of, exchange=exchange)
        self.stack.push_async_callback(broker.close)
        return broker

    def load(self, hubs: Sequence[str], joined: str) -> None:
        """The broker of a hub that joins, and its neighbour's, are told of it."""
        neighbour = next(one for one, other in LINKS if other == joined)
        for broker in {BROKERS[joined], BROKERS[neighbour]}:
            layout = of_neighbours(topology(described(hubs), broker))
            if broker not in self.sites:
                self.sites[broker] = self.stack.enter_context(laid_out(self.server, layout))
                continue
            here = self.sites[broker]
            hashes = {row.user: password_hash(here.password, SALT) for row in layout.permissions}
            self.server.call("POST", "definitions", definitions(layout, hashes, vhost=here.vhost))

    def config(self, hub: str, hubs: Collection[str]) -> HubConfig:
        """As the file of a hub says that knows of these."""
        linked = {other for pair in LINKS if hub in pair and set(pair) <= set(hubs) for other in pair} - {hub}
        known: dict[str, bytes] = {hub_address(each): self.identities[each].public for each in BROKERS}
        far = frozenset(hub_address(each) for each in linked if BROKERS[each] != BROKERS[hub])
        return HubConfig(hub_address(hub), known, {}, tuple(map(hub_address, sorted(linked))), far=far)

    async def start(self, hub: str, hubs: Collection[str]) -> None:
        """Its process."""
        config = self.config(hub, hubs)
        broker = await self.connect(hub, config.me)
        node = await hub_node(config, self.folder / hub, self.identities[hub], broker)
        stop = asyncio.Event()
        running = asyncio.create_task(node.run(stop))

        async def end() -> None:
            stop.set()
            await running

        self.nodes[hub] = node
        self.stack.push_async_callback(end)

    def configure(self, hub: str, hubs: Collection[str]) -> None:
        """Its file is another."""
        self.nodes[hub].machine.config = self.config(hub, hubs)
        self.nodes[hub].changed()

    async def bridge(self, one: str, two: str) -> None:
        """Both ways."""
        for hub, other in ((one, two), (two, one)):
            near = await self.connect(hub, hub_address(hub))
            far = await self.connect(other, Address(link_account(hub, other)), hub_exchange(other))
            running = asyncio.create_task(Bridge(hub, other, link_keys(hub, other), near, far).run())

            async def end(running: asyncio.Task[None] = running) -> None:
                running.cancel()
                await asyncio.wait([running])

            self.stack.push_async_callback(end)

    async def until(self, hub: str, of: str, *path: str) -> None:
        """A hub knows of this way, and its broker follows it."""
        key = f"known/{of}"
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                record = (await self.nodes[hub].store.get(AGGREGATE, [key])).get(key)
                if isinstance(record, KnownHub) and record.path == path:
                    break
                await asyncio.sleep(LOOK_SECONDS)  # hubs tell nobody but their neighbours
        await self.nodes[hub].runtime.idle()

    def led(self, hub: str, to: str) -> set[str]:
        """Where a hub's broker leads what goes to another."""
        path = f"exchanges/{self.sites[BROKERS[hub]].vhost}/{hub_exchange(hub)}/bindings/source"
        return {row["destination"] for row in self.server.call("GET", path) if row["routing_key"] == hub_pattern(to)}

    async def require_reached(self, *hubs: str) -> None:
        """All by all."""
        ends = {hub: await self.connect(hub, participant(hub)) for hub in hubs}
        for one, two in itertools.permutations(hubs, 2):
            await post(ends[one], letter(f"{one}-{two}", participant(two), participant(one)))
        for two in hubs:
            got = await drain(ends[two], queue_name(participant(two), "control"), len(hubs) - 1)
            assert {each.id for each in got} == {f"{one}-{two}" for one in hubs if one != two}


@pytest.fixture
async def shared(tmp_path: Path, rabbitmq: Server) -> AsyncIterator[Shared]:
    async with AsyncExitStack() as stack:
        made = await asyncio.to_thread(Shared, tmp_path, rabbitmq, stack)
        await made.bridge("B11", "C11")
        for hub in FOUNDERS:
            await made.start(hub, FOUNDERS)
        yield made


@pytest.mark.timeout(120)
async def test_hubs_that_join_behind_a_neighbour_on_ones_own_broker_are_reached_and_reach(shared: Shared) -> None:
    hubs = [*FOUNDERS]
    for joined, neighbour in (("D11", "B11"), ("E11", "C11")):
        hubs.append(joined)
        await asyncio.to_thread(shared.load, hubs, joined)
        if BROKERS[joined] != BROKERS[neighbour]:
            await shared.bridge(joined, neighbour)
        await shared.start(joined, (joined, neighbour))
        shared.configure(neighbour, [*FOUNDERS, joined])
        await shared.until("A11", joined, *([joined, "B11"] if joined == "D11" else [joined, "C11", "B11"]))
        await shared.until(joined, "A11", *(["A11", "B11"] if joined == "D11" else ["A11", "B11", "C11"]))
    await shared.until("D11", "E11", "E11", "C11", "B11")
    await shared.until("E11", "D11", "D11", "B11", "C11")
    await shared.until("C11", "D11", "D11", "B11")
    await shared.until("B11", "E11", "E11", "C11")
    await shared.require_reached(*hubs)
    shared.configure("B11", FOUNDERS)
    await shared.until("B11", "D11")
    await shared.until("A11", "D11")
    assert await asyncio.to_thread(shared.led, "B11", "D11") == set(), "it left: nothing waits for it"
    assert await asyncio.to_thread(shared.led, "B11", "E11") == {"out.B11.C11"}
    assert await asyncio.to_thread(shared.led, "A11", "E11") == {"out.A11.B11"}
    await shared.require_reached("A11", "B11", "C11", "E11")
