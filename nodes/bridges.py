"""A hub's bridges to linked hubs on other brokers, as one process: all its links, this way only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from broker.bridge import Bridge
from broker.names import hub_exchange, link_account
from broker.port import Broker
from broker.topology import link_keys
from nodes.bootstrap import CONNECT_SECONDS_MAX
from nodes.config import NodeConfig, broker_name
from nodes.network import described
from schemas.errors import BadConfig
from schemas.ids import Address

log = structlog.get_logger(__name__)


async def run_bridges(config: NodeConfig, stop: asyncio.Event) -> None:
    """Carry what waits at this hub for its neighbours, until `stop` is set.

    Raises:
        BrokerUnreachable: no connection to one of the brokers within `CONNECT_SECONDS_MAX`.
        BadConfig: all its neighbours are on its own broker.
        NoSuchQueue, AccessRefused: a broker was loaded with another network description.
    """
    if not config.links:
        raise BadConfig(f"{config.address} has no neighbour on another broker: nothing to carry", field="links")
    async with AsyncExitStack() as stack:
        running = [asyncio.create_task(bridge.run()) for bridge in await _bridges(config, stack)]
        stopping = asyncio.create_task(stop.wait())
        done, left = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.wait([*running, stopping])
        for task in done:
            task.result()


async def _bridges(config: NodeConfig, stack: AsyncExitStack) -> Sequence[Bridge]:
    network, made = described(config.network), []
    near = await _connect(config.amqp_url, config.address, "", stack)
    for neighbour, url in sorted(config.links.items()):
        account = Address(link_account(config.hub, neighbour))
        far = await _connect(url, account, hub_exchange(neighbour), stack)
        made.append(Bridge(config.hub, neighbour, link_keys(network, config.hub, neighbour), near, far))
        log.info("bridge ready", hub=config.hub, neighbour=neighbour, broker=broker_name(url))
    return made


async def _connect(url: str, of: Address, exchange: str, stack: AsyncExitStack) -> Broker:
    from broker.rabbitmq import connect  # noqa: PLC0415 - commands without a broker start faster

    broker = await connect(url, of, timeout_seconds=CONNECT_SECONDS_MAX, exchange=exchange)
    stack.push_async_callback(broker.close)
    return broker
