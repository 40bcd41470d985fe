"""One RabbitMQ per test session, and a network on every broker adapter per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.rabbitmq import Server
from tests.support.wires import RabbitMQWire, Wire, embedded_wire, rabbitmq_wire

ADAPTERS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


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


@pytest.fixture
async def rabbitmq_plain(rabbitmq: Server) -> AsyncIterator[RabbitMQWire]:
    """The same, where senders are told what nobody receives."""
    async with rabbitmq_wire(rabbitmq, keep_unroutable=False) as wire:
        yield wire
