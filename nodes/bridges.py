"""A hub's bridges to linked hubs on other brokers, as one process: all its links, this way only.

Each link stands by itself: a neighbour whose broker is away, or does not accept this hub's account, holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from broker.bridge import Bridge, Passage
from broker.errors import AccessRefused, NoSuchQueue
from broker.names import hub_exchange, link_account, out_queue
from broker.port import Message
from broker.topology import link_keys, unread_keys
from nodes.bootstrap.connecting import CONNECT_SECONDS_MAX
from nodes.bootstrap.operating import operating, telemetry_of
from nodes.config import NodeConfig, broker_name
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import NoSpans
from nodes.renewal import follow_files
from schemas.codec import traceparent_of, with_traceparent
from schemas.errors import BadConfig, BrokerUnreachable
from schemas.ids import Address

if TYPE_CHECKING:
    from broker.rabbitmq.broker import RabbitBroker

RETRY_SECONDS: Final = 5.0
"""Pause before a neighbour's broker that could not be entered is tried again."""

log = structlog.get_logger(__name__)


async def run_bridges(config: NodeConfig, stop: asyncio.Event) -> None:
    """Carry what waits at this hub for its neighbours, until `stop` is set.

    Raises:
        BrokerUnreachable: no connection to the hub's own broker within `CONNECT_SECONDS_MAX`.
        BadConfig: all its neighbours are on its own broker.
    """
    if not config.links:
        raise BadConfig(f"{config.address} has no neighbour on another broker: nothing to carry", field="links")
    telemetry, bridges = telemetry_of(config, "bridge"), dict[str, Bridge]()
    async with (
        operating(config, "bridge", config.operations.bridge_port, telemetry, stop),
        AsyncExitStack() as stack,
    ):
        near = await _connect(config.amqp_url, config.address, "")
        stack.push_async_callback(near.close)
        health = telemetry.health
        health.links = lambda: _standing(config, bridges)
        health.broker = health.consuming = lambda: _cut_off(config, health.links())
        working = asyncio.create_task(_carry_all(config, near, telemetry, bridges))
        stopping = asyncio.create_task(stop.wait())
        done, left = await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.wait([working, stopping])
        for task in done:
            task.result()


async def _carry_all(
    config: NodeConfig, near: RabbitBroker, telemetry: Telemetry, bridges: dict[str, Bridge]
) -> NoReturn:
    """Every link, also those that the hub's files name later."""
    running: dict[str, asyncio.Task[None]] = {}
    changes: asyncio.Queue[NodeConfig] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(follow_files(config, None, changes.put_nowait))
        while True:
            for neighbour in sorted(config.links.keys() - running.keys()):
                carrying = _carry(config, near, neighbour, telemetry, bridges)
                running[neighbour] = group.create_task(carrying)
            for neighbour in running.keys() - config.links.keys():
                running.pop(neighbour).cancel()
            for bridge in bridges.values():
                bridge.leaf = config.network.is_leaf(config.hub)
            config = await changes.get()


async def _carry(
    config: NodeConfig, near: RabbitBroker, neighbour: str, telemetry: Telemetry, bridges: dict[str, Bridge]
) -> None:
    """One link, until it is cancelled."""
    from broker.rabbitmq.pump import Pump  # noqa: PLC0415 - as `_connect`

    url = config.links[neighbour]
    far = await _reach(url, config.hub, neighbour)
    try:
        watching, keys = partial(watched, telemetry, neighbour), link_keys(config.hub, neighbour)
        pump = None
        if isinstance(telemetry.tracing.spans, NoSpans):  # the link's own span is written into every message, anew
            queue, pumped = out_queue(config.hub, neighbour), partial(_pumped, telemetry, neighbour)
            pump = partial(Pump, near, far, queue, unread_keys(config.hub, neighbour), pumped)
        leaf = config.network.is_leaf(config.hub)
        bridge = Bridge(config.hub, neighbour, keys, near, far, watching=watching, leaf=leaf, pump=pump)
        bridges[neighbour] = bridge
        log.info("bridge ready", hub=config.hub, neighbour=neighbour, broker=broker_name(url))
        await _run(bridge)
    finally:
        await far.close()


def _pumped(telemetry: Telemetry, neighbour: str, messages: int, body_bytes: int) -> None:
    telemetry.metrics.carried(neighbour, "carried", body_bytes, messages)


async def _run(bridge: Bridge) -> NoReturn:
    """A link that is new waits until the hub's own broker has its queue."""
    while True:
        try:
            await bridge.run()
        except NoSuchQueue as error:
            reason = f"{error}: import the hub's definitions there"
            log.warning("no bridge yet", hub=bridge.hub, neighbour=bridge.neighbour, reason=reason)
        await asyncio.sleep(RETRY_SECONDS)


async def _reach(url: str, hub: str, neighbour: str) -> RabbitBroker:
    """The link's account on the neighbour's broker, however long that takes."""
    while True:
        try:
            return await _connect(url, Address(link_account(hub, neighbour)), hub_exchange(neighbour))
        except (BrokerUnreachable, AccessRefused) as error:
            log.warning("no bridge yet", hub=hub, neighbour=neighbour, broker=broker_name(url), reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)


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


def _standing(config: NodeConfig, bridges: Mapping[str, Bridge]) -> Mapping[str, bool]:
    """Whether each link's bridge reaches both its brokers."""
    found = {neighbour: bridges.get(neighbour) for neighbour in sorted({*config.links, *bridges})}
    return {name: each is not None and each.near.connected and each.far.connected for name, each in found.items()}


def _cut_off(config: NodeConfig, links: Mapping[str, bool]) -> str:
    """Which links are down."""
    down = ", ".join(f"{config.hub} to {neighbour}" for neighbour, up in links.items() if not up)
    return f"no connection for the link {down}" if down else ""


async def _connect(url: str, of: Address, exchange: str) -> RabbitBroker:
    from broker.rabbitmq import connect  # noqa: PLC0415 - commands without a broker start faster

    return await connect(url, of, timeout_seconds=CONNECT_SECONDS_MAX, exchange=exchange)
