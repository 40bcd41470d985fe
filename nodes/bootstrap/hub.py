"""A hub, wired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from broker.network import next_hops
from broker.port import Broker
from nodes import receipts
from nodes.bootstrap.stored import StoredNode, door_of, drop, runtime_of
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.hub.directory import HubConfig
from nodes.hub.machine import AGGREGATE, HubMachine
from nodes.identity import Identity
from nodes.network import described
from nodes.operations.telemetry import Telemetry
from nodes.runtime.heartbeats import Heartbeats
from nodes.runtime.links import Links
from nodes.runtime.post import Post
from nodes.runtime.storage import Storage
from nodes.runtime.undelivered import Undelivered
from nodes.store.blobs import BlobStore
from nodes.store.opening import Place
from schemas.ids import Address, hub_address, hub_of


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
    machine = HubMachine(config)
    store = await Place(data_dir, store_url).open(identity.address, machine.record_types)
    storage = Storage(data_dir)
    blobs = BlobStore(data_dir / "blobs")
    activities = {receipts.DROP: partial(drop, store)}
    runtime = runtime_of(machine, identity, broker, store, activities, blobs, storage, telemetry, endless=(AGGREGATE,))
    door, post = door_of(machine, identity, storage, telemetry), Post(identity, broker, time.time, telemetry)
    links = Links(set(config.bridged.values()))

    def key_of(hub: str) -> bytes | None:
        return machine.config.hub_keys.get(hub)

    beside: tuple[Callable[[], Any], ...] = (Undelivered(broker, door, post).run,)
    if links.neighbours:
        beats = Heartbeats(broker, door, post, key_of, links, runtime.submit, AGGREGATE, time.monotonic)
        beside = (*beside, beats.run)
    telemetry.health.links = links.standing
    return StoredNode(runtime, store, beside, machine)


def hub_config(config: NodeConfig) -> HubConfig:
    """The hub's directory."""
    participants = config.subnet.keys if config.subnet is not None else {}
    network = config.network
    linked = tuple(map(hub_address, network.linked_to(hub_of(config.address))))
    ways = next_hops(described(network), config.hub).items() if config.links else ()
    bridged: dict[str, Address] = {hub_address(to): hub_address(via) for to, via in ways if via in config.links}
    return HubConfig(
        me=config.address, hub_keys=network.hub_keys, participants=participants, linked=linked, bridged=bridged
    )
