"""A hub's bridges to linked hubs on other brokers, as one process: all its links, this way only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial

import structlog

from broker.bridge import Bridge, Passage
from broker.names import hub_exchange, link_account
from broker.port import Broker, Message
from broker.topology import link_keys
from nodes.bootstrap import CONNECT_SECONDS_MAX, operating, telemetry_of
from nodes.config import NodeConfig, broker_name
from nodes.network import described
from nodes.operations.metrics import Metrics
from nodes.operations.telemetry import Telemetry
from schemas.codec import traceparent_of, with_traceparent
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
    telemetry = telemetry_of(config, "bridge")
    async with (
        operating(config, "bridge", config.operations.bridge_port, telemetry, stop),
        AsyncExitStack() as stack,
    ):
        bridges = await _bridges(config, stack, telemetry)
        telemetry.health.broker = telemetry.health.consuming = lambda: _cut_off(bridges, telemetry.metrics)
        running = [asyncio.create_task(bridge.run()) for bridge in bridges]
        stopping = asyncio.create_task(stop.wait())
        done, left = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.wait([*running, stopping])
        for task in done:
            task.result()


async def _bridges(config: NodeConfig, stack: AsyncExitStack, telemetry: Telemetry) -> Sequence[Bridge]:
    network, made = described(config.network), []
    near = await _connect(config.amqp_url, config.address, "", stack)
    for neighbour, url in sorted(config.links.items()):
        account = Address(link_account(config.hub, neighbour))
        far = await _connect(url, account, hub_exchange(neighbour), stack)
        watching, keys = partial(watched, telemetry, neighbour), link_keys(network, config.hub, neighbour)
        made.append(Bridge(config.hub, neighbour, keys, near, far, watching=watching))
        log.info("bridge ready", hub=config.hub, neighbour=neighbour, broker=broker_name(url))
    return made


@contextmanager
def watched(telemetry: Telemetry, neighbour: str, message: Message) -> Iterator[Passage]:
    """A span of the link puts itself between, where spans are exported; and what passes is counted."""
    subject, came = str(message.headers.get("ce-subject", "")), traceparent_of(message.headers)
    span = telemetry.tracing.begin(f"carry to {neighbour}", subject, came)
    if span.traceparent and span.traceparent != came:
        message = replace(message, headers=with_traceparent(message.headers, span.traceparent))
    passage = Passage(message)
    try:
        yield passage
    finally:
        span.end(passage.reason)
    telemetry.metrics.carried(neighbour, passage.reason or "carried", len(message.body))


def _cut_off(bridges: Sequence[Bridge], metrics: Metrics) -> str:
    """Which links are down."""
    down = []
    for bridge in bridges:
        up = bridge.near.connected and bridge.far.connected
        metrics.link(bridge.neighbour, up=up)
        if not up:
            down.append(f"{bridge.hub} to {bridge.neighbour}")
    return f"no connection for the link {', '.join(down)}" if down else ""


async def _connect(url: str, of: Address, exchange: str, stack: AsyncExitStack) -> Broker:
    from broker.rabbitmq import connect  # noqa: PLC0415 - commands without a broker start faster

    broker = await connect(url, of, timeout_seconds=CONNECT_SECONDS_MAX, exchange=exchange)
    stack.push_async_callback(broker.close)
    return broker
