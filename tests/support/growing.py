"""Hubs with a broker and a key each, in one process as they run: real shells and bridges, one hub joining the others.

A11, B11 and C11 are linked with each other and found the network; D11 joins later, linked with C11 alone. Nothing of
A11's and B11's files and brokers names D11. L11 is a leaf at A11, where a test starts it: its broker knows A11 alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from broker.bridge import Bridge
from broker.embedded import EmbeddedServer
from broker.names import link_account
from broker.network import Hub, Link, Network, Participant
from broker.topology import link_keys
from nodes.bootstrap.hub import hub_node
from nodes.bootstrap.stored import StoredNode
from nodes.hub.directory import HubConfig
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub
from nodes.hub_keys import HubKeys
from nodes.identity import Identity
from nodes.runtime.links import LinkChanged
from schemas.certifying import certificate_bytes
from schemas.hubs import FounderSignature, Founding, HubCertificate
from schemas.ids import Address, address, hub_address

FOUNDERS: Final = ("A11", "B11", "C11")
NEW: Final = "D11"
LEAF: Final = "L11"
LINKS: Final = (("A11", "B11"), ("A11", "C11"), ("B11", "C11"))
SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.01


@dataclass
class Hubs:
    """All of them; `nodes` are those that run."""

    folder: Path
    identities: dict[str, Identity] = field(default_factory=dict)
    nodes: dict[str, StoredNode] = field(default_factory=dict)
    files: dict[str, HubConfig] = field(default_factory=dict)
    """Of hubs that joined, as a test wrote them last."""
    servers: dict[str, EmbeddedServer] = field(default_factory=dict)
    _tasks: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = field(default_factory=dict)
    _bridges: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate((*FOUNDERS, NEW, LEAF)):
            self.identities[name] = Identity.from_seed(hub_address(name), bytes([number + 1]) * 32)
            self.servers[name] = EmbeddedServer(_layout(name), name)
        self.founding = Founding(founders=tuple(self.identities[name].public for name in FOUNDERS), needed=2)

    def certify(self, hub: str, key: bytes, version: int) -> HubCertificate:
        """By two founders."""
        bare = HubCertificate(hub, key, version, time.time() + 3600)
        signed = certificate_bytes(bare, self.founding)
        by = (FounderSignature(place, self.identities[FOUNDERS[place]].sign(signed)) for place in (0, 2))
        return HubCertificate(hub, key, version, bare.valid_until, tuple(by))

    def config(
        self,
        hub: str,
        *linked: str,
        certificate: HubCertificate | None = None,
        members: Mapping[str, bytes] = MappingProxyType({}),
    ) -> HubConfig:
        """A hub's, as its files say."""
        known: dict[str, bytes] = {hub_address(name): self.identities[name].public for name in {*FOUNDERS, hub}}
        ends = tuple(map(hub_address, linked))
        return HubConfig(
            me=hub_address(hub),
            hub_keys=HubKeys(known, self.founding),
            participants=members,
            linked=ends,
            far=frozenset(ends),
            certificate=certificate,
            leaf=hub == LEAF,
        )

    async def start(self, config: HubConfig, identity: Identity | None = None) -> None:
        """A hub's process."""
        name = config.me.partition(".")[0]
        identity = identity or self.identities[name]
        node = await hub_node(config, self.folder / name, identity, self.servers[name].connect(config.me))
        stop = asyncio.Event()
        self.nodes[name] = node
        self._tasks[name] = (stop, asyncio.create_task(node.run(stop)))

    async def end(self, name: str) -> None:
        """It ends."""
        stop, task = self._tasks.pop(name)
        stop.set()
        await task

    def configure(self, config: HubConfig) -> None:
        """Other files, taken up while it runs."""
        node = self.nodes[config.me.partition(".")[0]]
        node.machine.config = config
        node.changed()

    def link(self, one: str, two: str) -> None:
        """Bridges, both ways."""
        for hub, neighbour in ((one, two), (two, one)):
            near = self.servers[hub].connect(hub_address(hub))
            far = self.servers[neighbour].connect(Address(link_account(hub, neighbour)))
            bridge = Bridge(hub, neighbour, link_keys(hub, neighbour), near, far, leaf=hub == LEAF)
            self._bridges[hub, neighbour] = asyncio.create_task(bridge.run())

    async def cut(self, one: str, two: str) -> None:
        """No bridge carries, and both hubs have found that out."""
        for way in ((one, two), (two, one)):
            bridge = self._bridges.pop(way)
            bridge.cancel()
            await asyncio.wait([bridge])
            changed = LinkChanged(neighbour=hub_address(way[1]), why="nothing comes")
            await self.nodes[way[0]].runtime.submit("link.changed", changed, AGGREGATE)

    async def known(self, hub: str, of: str) -> KnownHub | None:
        """What one hub knows of another."""
        key = f"known/{of}"
        record = (await self.nodes[hub].store.get(AGGREGATE, [key])).get(key)
        return record if isinstance(record, KnownHub) else None

    async def until(self, hub: str, of: str, seen: Callable[[KnownHub], bool]) -> KnownHub:
        """The same, once it is so."""
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                record = await self.known(hub, of)
                if record is not None and seen(record):
                    return record
                await asyncio.sleep(LOOK_SECONDS)  # hubs tell nobody but their neighbours

    async def close(self) -> None:
        """End everything."""
        for name in list(self._tasks):
            await self.end(name)
        for bridge in self._bridges.values():
            bridge.cancel()
        if self._bridges:
            await asyncio.wait(self._bridges.values())
        for server in self.servers.values():
            await server.close()


def _layout(of: str) -> Network:
    """As a hub's operator described it to its broker."""
    names: tuple[str, ...] = FOUNDERS
    links: tuple[tuple[str, str], ...] = LINKS
    if of in {"C11", NEW}:
        names, links = (*names, NEW), (*links, ("C11", NEW))
    if of == "A11":
        names, links = (*names, LEAF), (*links, ("A11", LEAF))
    if of == LEAF:
        names, links = ("A11", LEAF), (("A11", LEAF),)
    hubs = tuple(
        Hub(
            name=name,
            broker=name,
            leaf=name == LEAF,
            participants=(Participant(name=f"{name[0]}12", role="renter", lanes=0),),
        )
        for name in names
    )
    return Network(hubs=hubs, links=tuple(Link(hubs=each) for each in links))


def participant(hub: str) -> Address:
    """The only one of a hub."""
    return address(hub, f"{hub[0]}12")


@asynccontextmanager
async def hubs_of(folder: Path) -> AsyncIterator[Hubs]:
    """The founders, running and linked."""
    hubs = Hubs(folder)
    try:
        for name in FOUNDERS:
            linked = [other for pair in LINKS for other in pair if name in pair and other != name]
            await hubs.start(hubs.config(name, *linked))
        for pair in LINKS:
            hubs.link(*pair)
        yield hubs
    finally:
        await hubs.close()
