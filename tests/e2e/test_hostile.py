"""Messages that strangers bring, at every consumer of a real network: the process lives, its neighbours are served."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aio_pika
import numpy as np
import pytest
from aio_pika.abc import AbstractChannel

import nodes.demo
from broker.names import dead_queue, hub_exchange, queue_name, routing_key
from nodes.config import read_config
from schemas import codec
from schemas.events import Event, JobCancelled
from schemas.ids import Address, address, hub_of
from tests.support.deployment import POLL_SECONDS, Deployment, deployment
from tests.support.rabbitmq import Server

pytestmark = pytest.mark.rabbitmq

RENTER, LESSOR = address("A11", "A12"), address("B11", "B12")
HUB_A, HUB_B = address("A11", "hub"), address("B11", "hub")
DEMO = Path(nodes.demo.__file__).parent
SECONDS_MAX: Final = 60
MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Hostile:
    """A message that no sender of ours would make; `ce` are attributes instead of those of an event in good order."""

    body: bytes = b"{}"
    ce: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)


MESSAGES: Final = {
    "dated at the beginning of the calendar": Hostile(ce={"ce-time": "0001-01-01T00:00:00+14:00"}),
    "dated at its end": Hostile(ce={"ce-time": "9999-12-31T23:59:59-14:00"}),
    "9 MiB": Hostile(body=bytes(9 * MIB)),
    "70 KiB of headers": Hostile(headers={"ce-x": "x" * 70 * 1024}),
    "the smallest integer": Hostile(headers={"n": -(2**63)}),
    "tables, floats, bytes and times": Hostile(
        headers={
            "t": {"a": [1.5, {"b": bytearray(b"\xff")}]},
            "f": 0.1,
            "b": bytearray(b"\x00\xff"),
            "d": datetime.now(UTC),
            "none": None,
        }
    ),
    "no attributes": Hostile(ce=dict.fromkeys(("ce-type", "ce-time", "ce-id", "ce-source"))),
}
CONSUMERS: Final = (
    (HUB_A, RENTER, "control", "order.buy.placed"),
    (HUB_B, LESSOR, "control", "order.sell.placed"),
    (RENTER, LESSOR, "control", "subtask.requested"),
    (RENTER, LESSOR, "result", "batch.completed"),
    (LESSOR, RENTER, "control", "subtask.announced"),
    (LESSOR, RENTER, "batch", "batch.dispatched"),
    (LESSOR, RENTER, "w1", "program.published"),
)
"""(whose queue, who sends, kind, an event type that belongs there)."""


@dataclass(frozen=True, slots=True)
class Market:
    """One network for all tests of this module, and its processes by address."""

    network: Deployment
    started: Mapping[str, list[subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, rabbitmq: Server) -> Iterator[Market]:
    with deployment(tmp_path_factory.mktemp("hostile") / "network", rabbitmq) as network:
        yield Market(network, network.start_all())


@asynccontextmanager
async def channel_of(network: Deployment, who: Address) -> AsyncIterator[AbstractChannel]:
    """A bare channel with a node's credentials: no adapter of ours in between."""
    async with await aio_pika.connect(read_config(network.config(who), {}).amqp_url) as connection:
        yield await connection.channel(publisher_confirms=True)


async def send(channel: AbstractChannel, route: tuple[Address, Address, str, str], sent: Hostile) -> None:
    to, source, kind, event_type = route
    attributes: dict[str, Any] = {
        "ce-specversion": "1.0",
        "ce-id": "hostile",
        "ce-type": event_type,
        "ce-source": source,
        "ce-to": to,
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-subject": "hostile",
        "ce-signature": "00" * 64,
    }
    headers = {name: value for name, value in {**attributes, **sent.ce}.items() if value is not None}
    raw = aio_pika.Message(sent.body, headers=headers | dict(sent.headers), message_id="hostile")
    exchange = await channel.get_exchange(hub_exchange(hub_of(source)), ensure=False)
    await exchange.publish(raw, routing_key(to, source, kind))


async def dead_letters(network: Deployment, hub: str, count: int) -> list[str]:
    """The reasons of so many of a hub's dead letters."""
    async with channel_of(network, address(hub, "hub")) as channel, asyncio.timeout(SECONDS_MAX):
        queue = await channel.get_queue(dead_queue(hub), ensure=False)
        reasons: list[str] = []
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                reasons.append(str(message.headers["x-sublet-reason"]))
                if len(reasons) == count:
                    break
        return reasons


def check_alive(started: Mapping[str, list[subprocess.Popen[bytes]]], network: Deployment) -> None:
    ended = [name for name, processes in started.items() for each in processes if each.poll() is not None]
    assert not ended, f"{ended} ended\n{network.logs()}"


def check_serves(network: Deployment) -> None:
    """A job of honest people completes."""
    data, program = DEMO / "breast_cancer.csv", DEMO / "breast_cancer_linear.onnx"
    report = network.job("submit", str(data), "--program", str(program), "--protection", "homomorphic", "--wait")
    assert report["state"] == "completed", report


def ready(network: Deployment) -> None:
    """Return when every queue of the network has its consumer."""
    deadline = time.monotonic() + SECONDS_MAX
    wanted = {queue_name(to, kind) for to, _, kind, _ in CONSUMERS}
    while True:
        found = network.server.call("GET", f"consumers/{network.vhost}")
        if wanted <= {each["queue"]["name"] for each in found}:
            return
        assert time.monotonic() < deadline, network.logs()
        time.sleep(POLL_SECONDS)  # the server tells nobody when a consumer comes


@pytest.mark.timeout(240)
def test_no_message_ends_its_receiver_or_delays_its_neighbours(market: Market) -> None:
    network, started = market.network, market.started
    ready(network)
    for hub in ("A11", "B11"):
        network.server.call("DELETE", f"queues/{network.vhost}/{dead_queue(hub)}/contents")

    async def attack() -> dict[str, list[str]]:
        async with channel_of(network, RENTER) as renter, channel_of(network, LESSOR) as lessor:
            for route in CONSUMERS:
                for hostile in MESSAGES.values():
                    await send(renter if route[1] == RENTER else lessor, route, hostile)
        each = len(MESSAGES)
        at = {hub: each * sum(hub_of(to) == hub for to, _, _, _ in CONSUMERS) for hub in ("A11", "B11")}
        return {hub: await dead_letters(network, hub, count) for hub, count in at.items()}

    reasons = asyncio.run(attack())
    assert {*reasons["A11"], *reasons["B11"]} <= {
        "too-old",
        "from-the-future",
        "too-large",
        "bad-attribute",
        "bad-json",
        "bad-data",
        "missing-attribute",
        "unknown-sender",
    }
    check_alive(started, network)
    check_serves(network)
    check_alive(started, network)


@pytest.mark.timeout(240)
def test_a_connection_lost_while_rejecting_ends_nobody(market: Market) -> None:
    network, started = market.network, market.started
    ready(network)
    wrong = MESSAGES["no attributes"]

    async def attack() -> None:
        async with channel_of(network, RENTER) as renter, channel_of(network, LESSOR) as lessor:
            for _ in range(5):
                for _ in range(60):
                    await send(renter, (LESSOR, RENTER, "control", "subtask.announced"), wrong)
                    await send(renter, (LESSOR, RENTER, "batch", "batch.dispatched"), wrong)
                    await send(lessor, (RENTER, LESSOR, "result", "batch.completed"), wrong)
                await asyncio.to_thread(cut, network, started)

    asyncio.run(attack())
    ready(network)
    check_alive(started, network)
    check_serves(network)
    check_alive(started, network)


def cut(network: Deployment, started: Mapping[str, list[subprocess.Popen[bytes]]]) -> None:
    """Close the connections of the network's nodes, as a failing broker does."""
    for each in network.server.call("GET", f"vhosts/{network.vhost}/connections"):
        if str(each.get("client_properties", {}).get("connection_name", "")) in started:
            network.server.call("DELETE", f"connections/{each['name'].replace(' ', '%20').replace('>', '%3E')}")


async def cancel(network: Deployment, job: str) -> None:
    """What `sublet job cancel` does, at once."""
    event = Event("cancel", "job.cancelled", RENTER, RENTER, time.time(), job, JobCancelled(job=job))
    encoded, body = codec.encode(event, read_config(network.config(RENTER), {}).identity().sign)
    headers: dict[str, Any] = dict(encoded)
    content_type = headers.pop("content-type")
    async with channel_of(network, RENTER) as channel:
        exchange = await channel.get_exchange(hub_exchange("A11"), ensure=False)
        raw = aio_pika.Message(body, headers=headers, content_type=content_type, message_id=event.id)
        await exchange.publish(raw, routing_key(RENTER, RENTER, "control"))


@pytest.mark.timeout(240)
def test_a_job_cancelled_while_its_table_loads_ends_and_the_renter_lives(market: Market, tmp_path: Path) -> None:
    """A renter that was killed loads the table again for results that wait, and is told meanwhile that it is over."""
    rows = np.random.default_rng(1).normal(size=(400_000, 6)).round(4)
    table, weights = tmp_path / "data.csv", tmp_path / "weights.csv"
    with table.open("w") as file:
        np.savetxt(file, rows, fmt="%.4f", delimiter=",", header="a,b,c,d,e,f", comments="")
    weights.write_text("name,weight\n" + "".join(f"{name},1\n" for name in "abcdef") + "bias,0\n")
    network, renters = market.network, market.started[RENTER]
    wishes = ("--linear", str(weights), "--protection", "homomorphic", "--batch-rows", "470")
    job = network.job("submit", str(table), *wishes, "--local-share", "0")["job"]
    network.until_parts(job, 1)
    killed = renters.pop()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    renters.append(network.start("renter", RENTER))
    ready(network)
    asyncio.run(cancel(network, job))
    report = network.until(job, lambda report: report["state"] in ("failed", "completed"))
    assert (report["state"], report["code"]) == ("failed", "cancelled")
    check_serves(network)
    check_alive(market.started, network)
