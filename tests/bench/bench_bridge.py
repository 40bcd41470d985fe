"""bridge.throughput.*: how fast a bridge carries what waits at one broker to another, against RabbitMQ's own shovel.

    bridge.throughput.1kib   20,000 bodies of 1 KiB
    bridge.throughput.1mib   400 bodies of 1 MiB

Both read the queue `out.A11.B11`, publish on `hub.B11` of another virtual host of one server, and acknowledge what is
confirmed. Ours is a `sublet bridge` as an operator starts it, the shovel runs inside the server. The queue is full
before either is started; the time of a round begins when a twentieth has arrived, so that no start counts.
Messages are as aio-pika writes them, with a header and an id: a bridge hands such on as they came.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel

from broker.names import hub_exchange, out_queue, queue_name, routing_key
from schemas.ids import Address
from tests.bench.harness import Result, interleave, more
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import SCRIPT, Server, private

NAME: Final = "bridge.throughput"
RENTER, LESSOR = Address("A11.A12"), Address("B11.B12")
OUT, IN = out_queue("A11", "B11"), queue_name(LESSOR, "batch")
KEY: Final = routing_key(LESSOR, RENTER, "batch")
SHOVEL: Final = "peer"
FILL_WINDOW: Final = 64
STARTED_SHARE: Final = 0.05
ROUND_SECONDS_MAX: Final = 300.0
POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Load:
    """What is carried in a round."""

    name: str
    messages: int
    body_bytes: int


LOADS: Final = (Load(f"{NAME}.1kib", 20_000, 1 << 10), Load(f"{NAME}.1mib", 400, 1 << 20))


@dataclass(frozen=True, slots=True)
class Track:
    """Two virtual hosts, and what carries from one to the other."""

    network: Deployment
    server: Server

    def url(self, hub: str) -> str:
        """An administrator's, at this hub's virtual host."""
        return f"{self.server.amqp_url.rstrip('/')}/{quote(self.host(hub), safe='')}"

    def host(self, hub: str) -> str:
        """Its virtual host."""
        return f"{self.network.vhost}-{hub}"

    @contextmanager
    def bridge(self) -> Iterator[None]:
        """Ours, while it lasts."""
        process = self.network.start("bridge", "A11.hub")
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    @contextmanager
    def shovel(self) -> Iterator[None]:
        """The peer, while it lasts."""
        path = f"parameters/shovel/{quote(self.host('A11'), safe='')}/{SHOVEL}"
        ends = {"src-uri": self.url("A11"), "src-queue": OUT, "dest-uri": self.url("B11")}
        value = ends | {"dest-exchange": hub_exchange("B11"), "ack-mode": "on-confirm"}
        self.server.call("PUT", path, {"value": value})
        try:
            yield
        finally:
            self.server.call("DELETE", path)

    def measure(self, load: Load, carrying: Callable[[], AbstractContextManager[None]]) -> float:
        """Messages a second of one round."""
        return asyncio.run(self.rate(load, carrying))

    async def rate(self, load: Load, carrying: Callable[[], AbstractContextManager[None]]) -> float:
        """Messages a second."""
        async with await aio_pika.connect(self.url("A11")) as here, await aio_pika.connect(self.url("B11")) as there:
            await fill(await here.channel(), load)
            channel = await there.channel()
            with carrying():
                await arrived(channel, round(load.messages * STARTED_SHARE))
                begin, first = time.perf_counter(), await waiting(channel)
                await arrived(channel, load.messages)
                seconds = time.perf_counter() - begin
            await (await channel.get_queue(IN, ensure=False)).purge()
        return (load.messages - first) / seconds


async def fill(channel: AbstractChannel, load: Load) -> None:
    """Put a round's messages where they wait for the link."""
    exchange, room = await channel.get_exchange(hub_exchange("A11"), ensure=False), asyncio.Semaphore(FILL_WINDOW)
    message = aio_pika.Message(bytes(load.body_bytes), delivery_mode=2, headers={"ce-id": "1"}, message_id="1")

    async def one() -> None:
        async with room:
            await exchange.publish(message, KEY)

    async with asyncio.TaskGroup() as group:
        for _ in range(load.messages):
            group.create_task(one())


async def arrived(channel: AbstractChannel, count: int) -> None:
    """Return when so many are there."""
    async with asyncio.timeout(ROUND_SECONDS_MAX):
        while await waiting(channel) < count:  # noqa: ASYNC110 - a queue tells nobody
            await asyncio.sleep(POLL_SECONDS)


async def waiting(channel: AbstractChannel) -> int:
    """How many are there."""
    queue = await channel.declare_queue(IN, passive=True)
    return queue.declaration_result.message_count or 0


def run(only: str) -> Iterator[Result]:
    """Measures the names that begin with `only`, on one server: an installed one, for it needs the shovel's plugin."""
    loads = [load for load in LOADS if load.name.startswith(only)]
    if loads and not SCRIPT.exists():
        print(f"{NAME} is left out: no RabbitMQ is installed at {SCRIPT}", file=sys.stderr)
        return
    if not loads:
        return
    with ExitStack() as stack:
        server = stack.enter_context(private(plugins=("rabbitmq_management", "rabbitmq_shovel")))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sublet-bench-")))
        own = dict.fromkeys(("A11", "B11"), server)
        track = Track(stack.enter_context(deployment(folder / "network", server, own=own)), server)
        for hub in own:
            path = f"permissions/{quote(track.host(hub), safe='')}/{urlsplit(server.amqp_url).username}"
            server.call("PUT", path, dict.fromkeys(("configure", "write", "read"), ".*"))
        for load in loads:
            ours = partial(track.measure, load, track.bridge)
            rates = interleave(ours, partial(track.measure, load, track.shovel))
            yield more(load.name, *rates, "RabbitMQ's shovel", "messages/s")
