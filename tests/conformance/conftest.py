"""One RabbitMQ per test session, and a network on every broker adapter per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from tests.support.rabbitmq import Server
from tests.support.wires import BridgedWire, RabbitMQWire, Wire, bridged_wire, embedded_wire, rabbitmq_wire

ADAPTERS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
BRIDGED = ["bridged", pytest.param("bridged-rabbitmq", marks=pytest.mark.rabbitmq)]
SECURED = pytest.param("bridged-rabbitmq-tls", marks=pytest.mark.rabbitmq)
"""Both ends of each bridge are shown certificates, and show theirs."""


@pytest.fixture(params=[*ADAPTERS, *BRIDGED])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Hubs keep what nobody receives; on one broker, or with bridges between theirs."""
    async with _keeping(request) as opened:
        yield opened


@pytest.fixture(params=ADAPTERS)
async def single_wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """The same on one broker: a bridge lets through what brokers of ours can carry."""
    async with _keeping(request) as opened:
        yield opened


@pytest.fixture(params=[*BRIDGED, SECURED])
async def bridged(request: pytest.FixtureRequest) -> AsyncIterator[BridgedWire]:
    """The same with bridges."""
    async with _bridged(request) as opened:
        yield opened


@pytest.fixture(params=BRIDGED)
async def bridged_plain(request: pytest.FixtureRequest) -> AsyncIterator[BridgedWire]:
    """The same, where senders are told what nobody receives."""
    async with _bridged(request, keep_unroutable=False) as opened:
        yield opened


def _keeping(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Wire]:
    if request.param == "embedded":
        return embedded_wire(keep_unroutable=True)
    if request.param == "rabbitmq":
        return rabbitmq_wire(request.getfixturevalue("rabbitmq"), keep_unroutable=True)
    return _bridged(request)


def _bridged(
    request: pytest.FixtureRequest, *, keep_unroutable: bool = True
) -> AbstractAsyncContextManager[BridgedWire]:
    if request.param == "bridged":
        return bridged_wire(keep_unroutable=keep_unroutable)
    server: Server = request.getfixturevalue("rabbitmq")
    if request.param == "bridged-rabbitmq":
        return bridged_wire(server, keep_unroutable=keep_unroutable)
    if server.tls is None:
        pytest.skip("the given server's certificates are its own: install RabbitMQ here to test TLS")
    secure = partial(server.tls.url, options=server.tls.client("bridge"))
    return bridged_wire(server, keep_unroutable=keep_unroutable, secure=secure)


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
