"""A process with a store: a hub's, a renter's or a partner's. What their wiring has in common."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from broker.port import Broker
from nodes.bootstrap.tasks import together
from nodes.config import NodeConfig
from nodes.identity import Identity
from nodes.machine import Machine
from nodes.operations.telemetry import Telemetry
from nodes.renewal import follow_files
from nodes.runtime.door import Door
from nodes.runtime.loop import Runtime
from nodes.runtime.outbox import Activity
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.port import Store


@dataclass(slots=True)
class StoredNode:
    """A hub or renter process: the runtime, its store, and whatever runs beside it."""

    runtime: Runtime
    store: Store
    beside: tuple[Callable[[], Any], ...] = ()
    machine: Any = None
    """What it decides with."""
    changed: Callable[[], None] = lambda: None
    """Called when that has another configuration."""

    def following(
        self, config: NodeConfig, identity: Identity, configured: Callable[[NodeConfig, Identity], Any]
    ) -> StoredNode:
        """The same, which takes up another key or network description when their files change."""

        def taken_up(changed: NodeConfig) -> None:
            self.machine.config = configured(changed, identity)
            self.changed()

        self.beside = (*self.beside, lambda: follow_files(config, identity, taken_up))
        return self

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        try:
            await together(stop, self.runtime.run(stop), *(each() for each in self.beside))
        finally:
            await self.store.close()


def runtime_of(  # noqa: PLR0917 - wires what it is given
    machine: Machine,
    identity: Identity,
    broker: Broker,
    store: Store,
    activities: Mapping[str, Activity],
    blobs: BlobStore,
    storage: Storage,
    telemetry: Telemetry,
    hearing_since: Callable[[], float] = lambda: 0.0,
    endless: Sequence[str] = (),
) -> Runtime:
    return Runtime(
        machine=machine,
        broker=broker,
        store=store,
        identity=identity,
        clock=time.time,
        activities=activities,
        blobs=blobs,
        entropy=os.urandom,
        storage=storage,
        hearing_since=hearing_since,
        endless=endless,
        telemetry=telemetry,
    )


def door_of(machine: Machine, identity: Identity, storage: Storage, telemetry: Telemetry) -> Door:
    """For what is consumed beside the loop."""
    return Door(identity.address, machine.name, time.time, storage=storage, telemetry=telemetry)


async def drop(store: Store, _: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
    """Activity `drop-receipts`: a day's are old enough."""
    await store.erase(aggregate)
    return ()
