"""One RabbitMQ per test session, and a network on every broker adapter per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.rabbitmq import NoServer, Server, running
from tests.support.wires import RabbitMQWire, Wire, embedded_wire, rabbitmq_wire

ADAPTERS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Server]:
    """The given RabbitMQ, or a private one; skips where there is none (which fails in continuous integration)."""
    try:
        context = running()
        server = context.__enter__()
    except NoServer as missing:
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(params=ADAPTERS)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Hubs keep what nobody receives."""
    if request.param == "embedded":
        async with embedded_wire(keep_unroutable=True) as embedded:
            yield embedded
    else:
        async with rabbitmq_wire(request.getfixturevalue("rabbitmq"), keep_unroutable=True) as rabbitmq:
            yield rabbitmq


@pytest.fixture(params=ADAPTERS)
async def plain_wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Senders are told what nobody receives."""
    if request.param == "embedded":
        async with embedded_wire(keep_unroutable=False) as embedded:
            yield embedded
    else:
        async with rabbitmq_wire(request.getfixturevalue("rabbitmq"), keep_unroutable=False) as rabbitmq:
            yield rabbitmq


@pytest.fixture
async def rabbitmq_network(rabbitmq: Server) -> AsyncIterator[RabbitMQWire]:
    """For what only RabbitMQ has."""
    async with rabbitmq_wire(rabbitmq, keep_unroutable=True) as wire:
        yield wire
