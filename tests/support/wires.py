"""The networks on which every broker adapter must do the same, and each adapter behind one face."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

import aio_pika

from broker.bridge import Bridge
from broker.embedded import EmbeddedServer
from broker.names import dead_queue, hub_exchange, link_account, out_queue
from broker.network import Hub, Link, Network, Participant
from broker.port import Broker, Message
from broker.rabbitmq import connect
from broker.rabbitmq.broker import RabbitBroker
from broker.rabbitmq.pump import Pump
from broker.topology import Topology, link_keys, unread_keys
from schemas.ids import Address, hub_address, hub_of
from tests.support.rabbitmq import Server, site
from tests.support.relay import Relay

RENTER: Final = Address("A11.A12")
NEIGHBOUR: Final = Address("A11.A13")
"""A lessor at the renter's hub."""
LESSOR: Final = Address("B11.B12")
PARTNER: Final = Address("C11.C12")
"""B11 and C11 are not linked: what goes between them passes A11."""

DELIVERIES_MAX: Final = 3
"""How often a message of these networks may come back."""
CONNECT_SECONDS_MAX: Final = 20.0


def network(*, keep_unroutable: bool, brokers: tuple[str, str, str] = ("main", "main", "main")) -> Network:
    """Three hubs, on these brokers; the third is a leaf where it may be."""
    first, second, third = brokers
    leaf = keep_unroutable and third != first
    return Network(
        hubs=(
            Hub(
                name="A11",
                broker=first,
                participants=(
                    Participant(name="A12", role="renter", lanes=0),
                    Participant(name="A13", role="lessor", lanes=0),
                ),
            ),
            Hub(name="B11", broker=second, participants=(Participant(name="B12", role="lessor", lanes=2),)),
            Hub(name="C11", broker=third, leaf=leaf, participants=(Participant(name="C12", role="partner", lanes=0),)),
        ),
        links=(Link(hubs=("A11", "B11")), Link(hubs=("A11", "C11"))),
        keep_unroutable=keep_unroutable,
        delivery_limit=DELIVERIES_MAX,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that can be severed at once, while what the broker says does not arrive."""

    broker: Broker
    held: Callable[[], AbstractContextManager[None]]
    """While it lasts nothing is confirmed."""
    sever: Callable[[], None]


class Wire(Protocol):
    """One broker with one of these networks."""

    async def connect(self, of: Address) -> Broker:
        """A new connection; closed with the wire."""
        ...

    async def line(self, of: Address) -> Line:
        """The same, to be severed by the test."""
        ...

    async def push(self, of: Address, message: Message) -> None:
        """Publish as a client of other make may, with the account of `of`: past what our port checks."""
        ...

    async def cut(self, of: Address) -> None:
        """Break every connection of this address."""
        ...


class EmbeddedWire:
    """The broker inside the process."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server

    async def connect(self, of: Address, url: str = "", exchange: str = "") -> Broker:
        return self.server.connect(of)

    async def line(self, of: Address) -> Line:
        broker = self.server.connect(of)
        return Line(broker, self.server.confirms_held, broker.break_off)

    async def push(self, of: Address, message: Message) -> None:
        self.server.push(of, message)

    async def cut(self, of: Address) -> None:
        self.server.cut(of)


class RabbitMQWire:
    """A virtual host of a RabbitMQ."""

    def __init__(
        self,
        server: Server,
        layout: Network,
        stack: contextlib.AsyncExitStack,
        broker: str = "main",
        secure: Callable[[str], str] = str,
    ) -> None:
        """`secure` makes the URLs with which nodes and bridges connect."""
        self._site = stack.enter_context(site(server, layout, broker))
        self._stack, self._secure = stack, secure

    def url(self, of: Address) -> str:
        """With the credentials of this address."""
        return self._site.url(of)

    async def connect(self, of: Address, url: str = "", exchange: str = "") -> Broker:
        address = url or self._secure(self.url(of))
        broker = await connect(address, of, timeout_seconds=CONNECT_SECONDS_MAX, exchange=exchange)
        self._stack.push_async_callback(broker.close)
        return broker

    async def line(self, of: Address) -> Line:
        parts = urlsplit(self.url(of))
        assert parts.hostname is not None
        relay = await self._stack.enter_async_context(Relay(parts.hostname, parts.port or 5672).running())
        account = parts.netloc.rpartition("@")[0]
        url = parts._replace(netloc=f"{account}@127.0.0.1:{relay.port}").geturl()
        return Line(await self.connect(of, url), relay.held, relay.sever)

    async def push(self, of: Address, message: Message) -> None:
        sent = aio_pika.Message(message.body, headers=dict(message.headers), message_id=message.id)
        connection = await aio_pika.connect(self.url(of))
        async with connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(hub_exchange(hub_of(of)), ensure=False)
            await exchange.publish(sent, message.key, timeout=CONNECT_SECONDS_MAX)

    async def cut(self, of: Address) -> None:
        await self._site.cut(of)

    @contextlib.contextmanager
    def refused(self, of: Address) -> Iterator[None]:
        """While it lasts the server lets this address in no more; connections that stand are left."""
        with self._site.refused(of):
            yield

    def deprecated(self) -> list[str]:
        """What the server is asked for and will not always do; nothing on releases that do not tell."""
        return self._site.deprecated()

    def become(self, made: Topology, rest: set[tuple[str, str]]) -> None:
        """As its operator does when the hub's files say something else (`nodes/admission/applying.py`)."""
        self._site.become(made, rest)

    def unbind_dead_letters(self, hub: str) -> None:
        """As a broker that was loaded with another network description: nobody receives what is rejected."""
        self._site.unbind(hub_exchange(hub), dead_queue(hub))


@contextlib.asynccontextmanager
async def embedded_wire(*, keep_unroutable: bool) -> AsyncIterator[EmbeddedWire]:
    """A fresh one."""
    server = EmbeddedServer(network(keep_unroutable=keep_unroutable))
    try:
        yield EmbeddedWire(server)
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def rabbitmq_wire(server: Server, *, keep_unroutable: bool) -> AsyncIterator[RabbitMQWire]:
    """A fresh one."""
    async with contextlib.AsyncExitStack() as stack:
        layout = network(keep_unroutable=keep_unroutable)
        yield await asyncio.to_thread(RabbitMQWire, server, layout, stack)


class BridgedWire:
    """A broker for each hub, and bridges both ways between those that are linked."""

    def __init__(self, layout: Network, sites: Mapping[str, EmbeddedWire | RabbitMQWire]) -> None:
        self.layout = layout
        self.sites = sites
        """By hub."""
        self.bridges: dict[tuple[str, str], asyncio.Task[None]] = {}
        """Those that run, by hub and neighbour."""
        self._count = 0
        self._counted = asyncio.Event()

    async def connect(self, of: Address) -> Broker:
        return await self.sites[hub_of(of)].connect(of)

    async def line(self, of: Address) -> Line:
        return await self.sites[hub_of(of)].line(of)

    async def push(self, of: Address, message: Message) -> None:
        await self.sites[hub_of(of)].push(of, message)

    async def cut(self, of: Address) -> None:
        await self.sites[hub_of(of)].cut(of)

    async def start(self, hub: str, neighbour: str) -> None:
        """Run the bridge of one way of a link, or one more that takes its place when it ends."""
        bridge = await self.bridge(hub, neighbour)
        self.bridges[hub, neighbour] = asyncio.create_task(bridge.run())

    async def end(self, hub: str, neighbour: str) -> None:
        """End the one that was started last."""
        running = self.bridges.pop((hub, neighbour))
        running.cancel()
        await asyncio.wait([running])

    async def bridge(self, hub: str, neighbour: str) -> Bridge:
        """One way of a link."""
        account = Address(link_account(hub, neighbour))
        near = await self.sites[hub].connect(hub_address(hub))
        far = await self.sites[neighbour].connect(account, exchange=hub_exchange(neighbour))
        keys = link_keys(hub, neighbour)
        pump = None
        if isinstance(near, RabbitBroker) and isinstance(far, RabbitBroker):
            pump = partial(Pump, near, far, out_queue(hub, neighbour), unread_keys(hub, neighbour), self._pumped)
        leaf = any(each.leaf for each in self.layout.hubs if each.name == hub)
        return Bridge(hub, neighbour, keys, near, far, leaf=leaf, pump=pump)

    async def until_pumped(self, messages: int) -> None:
        """Return when pumps have carried so many by themselves."""
        while self._count < messages:
            self._counted.clear()
            await self._counted.wait()

    def _pumped(self, messages: int, _: int) -> None:
        self._count += messages
        self._counted.set()


BROKERS: Final = ("one", "two", "three")


@contextlib.asynccontextmanager
async def bridged_wire(
    server: Server | None = None, *, keep_unroutable: bool = True, secure: Callable[[str], str] = str
) -> AsyncIterator[BridgedWire]:
    """Of embedded brokers, or of virtual hosts of a RabbitMQ."""
    layout = network(keep_unroutable=keep_unroutable, brokers=BROKERS)
    async with contextlib.AsyncExitStack() as stack:
        sites: dict[str, EmbeddedWire | RabbitMQWire] = {}
        for hub in layout.hubs:
            if server is None:
                embedded = EmbeddedServer(layout, hub.broker)
                stack.push_async_callback(embedded.close)
                sites[hub.name] = EmbeddedWire(embedded)
            else:
                sites[hub.name] = await asyncio.to_thread(RabbitMQWire, server, layout, stack, hub.broker, secure)
        wire = BridgedWire(layout, sites)
        for link in layout.links:
            for way in (link.hubs, link.hubs[::-1]):
                await wire.start(*way)
        try:
            yield wire
        finally:
            for way in list(wire.bridges):
                await wire.end(*way)
