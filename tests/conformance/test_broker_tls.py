"""TLS to a real RabbitMQ: both sides show certificates; a broker that cannot prove who it is gets no credentials."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import pytest

from broker.errors import BrokerUnreachable, BrokerUntrusted, PublishUnknown
from broker.names import queue_name, routing_key
from broker.port import Message
from broker.rabbitmq import connect
from schemas.errors import BadConfig
from tests.support.certificates import Authority
from tests.support.rabbitmq import Server, Tls
from tests.support.wires import LESSOR, RENTER, RabbitMQWire

pytestmark = pytest.mark.rabbitmq

SECONDS_MAX: Final = 20.0
IMPATIENT_SECONDS: Final = 0.5


@pytest.fixture
def tls(rabbitmq: Server) -> Tls:
    """Of the tests' own server: whoever gives another cannot be asked for a certificate that its authority signed."""
    if rabbitmq.tls is None:
        pytest.skip("the given server's certificates are its own: install RabbitMQ here to test TLS")
    return rabbitmq.tls


@pytest.fixture
def mine(tls: Tls) -> dict[str, str]:
    """The options of a client whom the server's authority knows."""
    return tls.client()


async def test_messages_travel_and_a_cut_connection_comes_back(
    rabbitmq_network: RabbitMQWire, tls: Tls, mine: dict[str, str]
) -> None:
    renter, lessor = [
        await rabbitmq_network.connect(each, tls.url(rabbitmq_network.url(each), mine)) for each in (RENTER, LESSOR)
    ]
    first, second = (Message(routing_key(LESSOR, RENTER, "control"), b"x" * 100_000, {}, name) for name in "12")
    async with lessor.consume(queue_name(LESSOR, "control"), prefetch=1) as consumer, asyncio.timeout(SECONDS_MAX):
        await renter.publish(first, timeout_seconds=SECONDS_MAX)
        delivery = await anext(consumer)
        assert delivery.message == first
        await delivery.ack()
        await rabbitmq_network.cut(RENTER)
        with contextlib.suppress(PublishUnknown):  # it was under way on the connection that was cut
            await renter.publish(second, timeout_seconds=SECONDS_MAX)
        await renter.publish(second, timeout_seconds=SECONDS_MAX)
        delivery = await anext(consumer)
        assert delivery.message == second
        await delivery.ack()


async def test_a_broker_of_another_authority_is_refused_at_once_and_told_nothing(
    rabbitmq_network: RabbitMQWire, tls: Tls, mine: dict[str, str], tmp_path: Path
) -> None:
    another = mine | {"cafile": str(Authority.create(tmp_path, "another").file)}
    url = tls.url(rabbitmq_network.url(RENTER), another)
    with pytest.raises(BrokerUntrusted, match=f"127.0.0.1:{tls.port}") as caught:
        await connect(url, RENTER)
    assert "cafile" in str(caught.value)
    assert url.partition("@")[0].rpartition(":")[2] not in str(caught.value)


async def test_a_broker_without_cafile_is_held_against_the_systems_authorities(
    rabbitmq_network: RabbitMQWire, tls: Tls, mine: dict[str, str]
) -> None:
    del mine["cafile"]
    with pytest.raises(BrokerUntrusted):
        await connect(tls.url(rabbitmq_network.url(RENTER), mine), RENTER)


async def test_a_certificate_for_another_host_is_refused(tls: Tls, mine: dict[str, str]) -> None:
    """The server here is a stand-in: it has a certificate of the right authority, for another host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*tls.authority.issue("elsewhere", "127.0.0.2"))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUntrusted, match=r"not valid for '127\.0\.0\.1'"):
            await connect(f"amqps://A11.A12:secret@127.0.0.1:{port}/x?{urlencode(mine)}", RENTER)


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
async def test_a_client_that_the_broker_does_not_know_gets_no_connection(
    rabbitmq_network: RabbitMQWire, tls: Tls, mine: dict[str, str], tmp_path: Path, shown: str
) -> None:
    options = {"cafile": mine["cafile"]}
    if shown != "nothing":
        certificate, key = Authority.create(tmp_path, "another").issue("stranger")
        options |= {"certfile": str(certificate), "keyfile": str(key)}
    url = tls.url(rabbitmq_network.url(RENTER), options)
    with pytest.raises(BrokerUnreachable, match=f"at 127.0.0.1:{tls.port} over TLS.*certfile"):
        await connect(url, RENTER, timeout_seconds=IMPATIENT_SECONDS)


async def test_a_port_that_does_not_speak_tls_is_told_from_one_where_nobody_is(
    rabbitmq: Server, rabbitmq_network: RabbitMQWire, tls: Tls, mine: dict[str, str]
) -> None:
    port = urlsplit(rabbitmq.amqp_url).port
    assert port is not None
    url = Tls(port, tls.authority).url(rabbitmq_network.url(RENTER), mine)
    with pytest.raises(BrokerUnreachable, match=f"at 127.0.0.1:{port} over TLS.*WRONG_VERSION.*speak TLS"):
        await connect(url, RENTER, timeout_seconds=IMPATIENT_SECONDS)


@pytest.mark.parametrize("option", ["cafile", "certfile", "keyfile"])
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_files_that_cannot_be_used_are_named(
    mine: dict[str, str], tmp_path: Path, option: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadConfig, match=f"{option} {file}"):
        await connect(f"amqps://A11.A12:secret@127.0.0.1:1/x?{urlencode(mine | {option: str(file)})}", RENTER)


async def test_checks_cannot_be_turned_off(mine: dict[str, str]) -> None:
    with pytest.raises(BadConfig, match="no_verify_ssl"):
        await connect(f"amqps://A11.A12:secret@127.0.0.1:1/x?{urlencode(mine | {'no_verify_ssl': '1'})}", RENTER)
