"""The networks on which every broker adapter must do the same, and each adapter behind one face."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from broker.embedded import EmbeddedServer
from broker.port import Broker
from broker.rabbitmq import connect
from broker.topology import Hub, Link, Network, Participant
from schemas.ids import Address
from tests.support.rabbitmq import Server, site

RENTER: Final = Address("A11.A12")
NEIGHBOUR: Final = Address("A11.A13")
"""A lessor at the renter's hub."""
LESSOR: Final = Address("B11.B12")
PARTNER: Final = Address("C11.C12")
"""B11 and C11 are not linked: what goes between them passes A11."""

DELIVERIES_MAX: Final = 3
"""How often a message of these networks may come back."""
CONNECT_SECONDS_MAX: Final = 20.0


def network(*, keep_unroutable: bool) -> Network:
    """Three hubs."""
    return Network(
        hubs=(
            Hub(
                name="A11",
                participants=(
                    Participant(name="A12", role="renter", lanes=0),
                    Participant(name="A13", role="lessor", lanes=0),
                ),
            ),
            Hub(name="B11", participants=(Participant(name="B12", role="lessor", lanes=2),)),
            Hub(name="C11", participants=(Participant(name="C12", role="partner", lanes=0),)),
        ),
        links=(Link(hubs=("A11", "B11")), Link(hubs=("A11", "C11"))),
        keep_unroutable=keep_unroutable,
        delivery_limit=DELIVERIES_MAX,
    )


class Wire(Protocol):
    """One broker with one of these networks."""

    async def connect(self, of: Address) -> Broker:
        """A new connection; closed with the wire."""
        ...

    async def cut(self, of: Address) -> None:
        """Break every connection of this address."""
        ...

    def under_way(self) -> AbstractAsyncContextManager[None]:
        """While it lasts, publishes are under way for some time."""
        ...


class EmbeddedWire:
    """The broker inside the process."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server

    async def connect(self, of: Address) -> Broker:
        return self.server.connect(of)

    async def cut(self, of: Address) -> None:
        self.server.cut(of)

    @contextlib.asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        with self.server.confirms_held():
            yield


class RabbitMQWire:
    """A virtual host of a RabbitMQ."""

    def __init__(self, server: Server, layout: Network, stack: contextlib.AsyncExitStack) -> None:
        self._site = stack.enter_context(site(server, layout))
        self._stack = stack

    def url(self, of: Address) -> str:
        """With the credentials of this address."""
        return self._site.url(of)

    async def connect(self, of: Address, url: str = "") -> Broker:
        broker = await connect(url or self.url(of), of, timeout_seconds=CONNECT_SECONDS_MAX)
        self._stack.push_async_callback(broker.close)
        return broker

    async def cut(self, of: Address) -> None:
        await self._site.cut(of)

    def under_way(self) -> AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


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
