"""A hub, wired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import structlog

from broker.errors import NoSuchQueue
from broker.network import next_hops
from broker.port import Broker
from nodes import receipts
from nodes.bootstrap.stored import StoredNode, door_of, drop, runtime_of
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.hub.announcing import LEAD
from nodes.hub.directory import HubConfig
from nodes.hub.known import Keys, record_key
from nodes.hub.machine import AGGREGATE, HubMachine
from nodes.hub.records import HubsConfigured
from nodes.identity import Identity, verify
from nodes.network import described
from nodes.operations.telemetry import Telemetry
from nodes.runtime.heartbeats import Heartbeats
from nodes.runtime.links import Links
from nodes.runtime.loop import Runtime
from nodes.runtime.outbox import Activity
from nodes.runtime.post import Post
from nodes.runtime.storage import Storage
from nodes.runtime.undelivered import Undelivered
from nodes.store.blobs import BlobStore
from nodes.store.errors import StoreFailed
from nodes.store.opening import Place
from nodes.ways import Ways
from schemas.ids import Address, hub_address, hub_of
from schemas.limits import DAY_SECONDS

CONFIGURE_SECONDS: Final = 1.0
"""Pause before a hub's machine is told of its configuration again."""

log = structlog.get_logger(__name__)


async def serve_hub(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A hub's process."""
    node = await hub_node(hub_config(config), config.data_dir, identity, broker, config.store_url, telemetry=telemetry)
    await node.following(config, identity, lambda changed, _: hub_config(changed)).run(stop)


async def hub_node(
    config: HubConfig,
    data_dir: Path,
    identity: Identity,
    broker: Broker,
    store_url: str | None = None,
    *,
    telemetry: Telemetry | None = None,
) -> StoredNode:
    """A hub's process; without a URL its store is a file in `data_dir`."""
    telemetry = telemetry or Telemetry()
    machine = HubMachine(config, verify)
    store = await Place(data_dir, store_url).open(identity.address, machine.record_types)
    storage = Storage(data_dir)
    blobs = BlobStore(data_dir / "blobs")
    ways = Ways(broker, store, lambda: machine.config)
    activities: dict[str, Activity] = {receipts.DROP: partial(drop, store), LEAD: ways.lead}
    runtime = runtime_of(machine, identity, broker, store, activities, blobs, storage, telemetry, endless=(AGGREGATE,))
    door, post = door_of(machine, identity, storage, telemetry), Post(identity, broker, time.time, telemetry)
    links = Links(config.far)

    async def key_of(hub: str) -> bytes | None:
        key = record_key(hub_of(Address(hub)))
        return Keys(machine.config, await store.get(AGGREGATE, [key]), time.time()).get(hub)

    beats = Heartbeats(broker, door, post, key_of, links, runtime.submit, AGGREGATE, time.monotonic)
    hubs = _Hubs(machine, runtime, links)
    beside = (Undelivered(broker, door, post).run, hubs.follow, partial(hubs.once_far, beats.run))
    telemetry.health.links = links.standing
    return StoredNode(runtime, store, beside, machine, hubs.changed)


def hub_config(config: NodeConfig) -> HubConfig:
    """The hub's directory."""
    participants = config.subnet.keys if config.subnet is not None else {}
    network = config.network
    linked = tuple(map(hub_address, network.linked_to(hub_of(config.address))))
    ways = next_hops(described(network), config.hub) if config.links else {}
    bridged: dict[str, Address] = {hub_address(to): hub_address(via) for to, via in ways.items() if via in config.links}
    return HubConfig(
        me=config.address,
        hub_keys=network.hub_keys,
        participants=participants,
        linked=linked,
        bridged=bridged,
        far=frozenset(map(hub_address, config.links)),
        fixed=frozenset(route.to for route in network.routes if route.hub == config.hub),
        certificate=config.certificate,
        leaf=network.is_leaf(config.hub),
        keep_receipts_seconds=config.keep_receipts_days * DAY_SECONDS,
    )


@dataclass(slots=True)
class _Hubs:
    """Tells a hub's machine that its process started, and that its files changed: it announces itself, its broker and
    heartbeats follow.
    """

    machine: HubMachine
    runtime: Runtime
    links: Links
    news: asyncio.Event = field(default_factory=asyncio.Event)
    far: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """The machine has another configuration."""
        self.news.set()

    async def follow(self) -> NoReturn:
        """Until it is cancelled."""
        while True:
            self.news.clear()
            self.links.follow(self.machine.config.far, time.monotonic())
            if self.links.neighbours:
                self.far.set()
            try:
                await self.runtime.submit("hubs.configured", HubsConfigured(), AGGREGATE)
            except StoreFailed as error:
                log.warning("not announced", node=self.machine.config.me, reason=str(error))
                await asyncio.sleep(CONFIGURE_SECONDS)
            else:
                await self.news.wait()

    async def once_far(self, run: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run it as soon as there is a neighbour on another broker, and this one has what that needs."""
        await self.far.wait()
        while True:
            try:
                await run()
            except* NoSuchQueue as missing:
                reason = f"{missing.exceptions[0]}: import this hub's definitions there"
                log.warning("no heartbeats yet", node=self.machine.config.me, reason=reason)
            await asyncio.sleep(CONFIGURE_SECONDS)
