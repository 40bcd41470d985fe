"""One role as a process on RabbitMQ."""

from __future__ import annotations

import asyncio
import os

from nodes.allocator import keep_memory
from nodes.bootstrap.connecting import connect, unconnected
from nodes.bootstrap.operating import operating, telemetry_of
from nodes.bootstrap.tasks import unless
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.page.beside import page_beside
from nodes.roles import ROLES


async def run_node(config: NodeConfig, stop: asyncio.Event) -> None:
    """One role as a process on RabbitMQ, until `stop` is set; also while it waits for its broker.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
        BadConfig: what is configured cannot be run.
    """
    keep_memory()
    identity, telemetry = config.identity(), telemetry_of(config, config.role)
    async with operating(config, config.role, config.operations.port, telemetry, stop), page_beside(config):
        broker = await unless(stop, connect(config))
        if broker is None:
            return
        telemetry.health.broker = lambda: "" if broker.connected else unconnected(config)
        crew, row = Crew(hands(config)), ROLES[config.role]
        try:
            await row.load(row.server)(config, identity, broker, crew, stop, telemetry)
        finally:
            await crew.close()
            await broker.close()


def hands(config: NodeConfig) -> int:
    """Processes that compute on ciphertexts: as configured, or one per core."""
    settings = config.lessor or config.renter or config.partner
    return (settings.cores if settings is not None else None) or cores()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
