"""What a user asks at a renter's desk reaches the renter's own queue, signed by the renter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from broker.embedded import EmbeddedServer
from broker.names import queue_name
from broker.network import Hub, Network, Participant
from broker.port import Broker
from nodes import desk
from nodes.config import NodeConfig
from nodes.identity import Identity, verify
from nodes.network import NetworkFile
from schemas import codec
from schemas.ids import Address, derive_id

ME, JOB = Address("A11.A12"), derive_id("job", 1)


class Renter(NodeConfig):
    """Whose key is no file."""

    def identity(self) -> Identity:
        return Identity.from_seed(ME, bytes(32))


@pytest.mark.parametrize(("ask", "event_type"), [(desk.cancel, "job.cancelled"), (desk.delete, "job.deleted")])
async def test_a_job_is_taken_back_or_removed_by_the_renters_workers(
    ask: Callable[[NodeConfig, str], Awaitable[None]],
    event_type: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = EmbeddedServer(Network(hubs=(Hub(name="A11", participants=(Participant(name="A12", role="renter"),)),)))

    async def connect(config: NodeConfig, *, timeout_seconds: float) -> Broker:
        return server.connect(config.address)

    monkeypatch.setattr(desk, "connect", connect)
    config = Renter("renter", ME, "amqp://", tmp_path, tmp_path, NetworkFile(brokers={}, hubs={}))
    await ask(config, JOB)
    async with server.connect(ME).consume(queue_name(ME, "control"), prefetch=1) as deliveries:
        delivery = await anext(deliveries)
        received = codec.decode(delivery.message.headers, delivery.message.body)
        await delivery.ack()
    assert (received.event.type, received.event.subject, received.event.data.job) == (event_type, JOB, JOB)  # type: ignore[union-attr]
    assert verify(config.identity().public, received.signed, received.signature)
    await server.close()
