"""The peer of transport.*: raw aio-pika, both sides in one process of its own, where nothing of ours is set or changed.

    python -m tests.bench.raw_amqp

reads a JSON line `Task` from standard input, then answers every further line with a round's messages per second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
import msgspec
from aio_pika.abc import AbstractIncomingMessage
from msgspec import Struct

from broker.names import hub_exchange, queue_name, routing_key
from schemas.ids import Address, hub_of

SECONDS_MAX: Final = 60.0


class Load(Struct, frozen=True):
    """So many messages to and fro, at most `window` under way."""

    messages: int
    window: int
    prefetch: int
    kind: str
    answer_kind: str


class Parcel(Struct, frozen=True):
    """Headers of a message and the length of its body, which is random."""

    headers: dict[str, str]
    body_bytes: int


class Task(Struct, frozen=True):
    """What to measure, and with which accounts: `urls` are secret."""

    urls: dict[str, str]
    sender: Address
    receiver: Address
    load: Load
    there: Parcel
    back: Parcel


@dataclass(frozen=True)
class Peer:
    """The running peer."""

    process: subprocess.Popen[bytes]

    def round(self) -> float:
        """Messages per second, to and fro."""
        return float(self._ask(b""))

    def _ask(self, line: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@contextlib.contextmanager
def peer(task: Task) -> Iterator[Peer]:
    """A peer that waits for its first round."""
    command = [sys.executable, "-m", "tests.bench.raw_amqp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        try:
            yield Peer(process)
        finally:
            process.stdin.close()


class Settled:
    """How many messages of a round are acknowledged at both ends: one that is not comes again in the next round."""

    def __init__(self, load: Load) -> None:
        self._left = 2 * load.messages
        self._all = asyncio.Event()

    def one(self) -> None:
        """Another is, at either end."""
        self._left -= 1
        if self._left == 0:
            self._all.set()

    async def wait(self) -> None:
        """Until all are."""
        await self._all.wait()


async def send_all(
    load: Load, slots: asyncio.Semaphore, settled: Settled, send: Callable[[int], Coroutine[Any, Any, None]]
) -> float:
    """Keeps the window full until the last answer is in; messages per second."""
    started = time.perf_counter()
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        for number in range(load.messages):
            await slots.acquire()
            group.create_task(send(number))
        await settled.wait()
    return load.messages / (time.perf_counter() - started)


@dataclass(frozen=True)
class _End:
    """One side: an account's connection with a channel to publish and one to consume."""

    exchange: Any
    queue: Any

    @classmethod
    async def open(cls, stack: AsyncExitStack, task: Task, of: Address, kind: str) -> _End:
        connection = await stack.enter_async_context(await aio_pika.connect_robust(task.urls[of]))
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        consuming = await connection.channel(publisher_confirms=False)
        await consuming.set_qos(prefetch_count=task.load.prefetch)
        exchange = await publishing.get_exchange(hub_exchange(hub_of(of)), ensure=False)
        return cls(exchange, await consuming.get_queue(queue_name(of, kind), ensure=False))

    async def send(self, key: str, headers: Mapping[str, str], body: bytes, name: str) -> None:
        message = aio_pika.Message(
            body,
            headers=dict(headers),
            message_id=name,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self.exchange.publish(message, key, mandatory=True, timeout=SECONDS_MAX)


async def _round(task: Task) -> float:
    load = task.load
    there, back = os.urandom(task.there.body_bytes), os.urandom(task.back.body_bytes)
    there_key = routing_key(task.receiver, task.sender, load.kind)
    back_key = routing_key(task.sender, task.receiver, load.answer_kind)
    async with AsyncExitStack() as stack:
        sender = await _End.open(stack, task, task.sender, load.answer_kind)
        receiver = await _End.open(stack, task, task.receiver, load.kind)
        slots, settled = asyncio.Semaphore(load.window), Settled(load)

        async def serve(message: AbstractIncomingMessage) -> None:
            await receiver.send(back_key, task.back.headers, back, str(message.message_id))
            await message.ack()
            settled.one()

        async def collect(message: AbstractIncomingMessage) -> None:
            await message.ack()
            slots.release()
            settled.one()

        await receiver.queue.consume(serve)
        await sender.queue.consume(collect)
        return await send_all(
            load, slots, settled, lambda number: sender.send(there_key, task.there.headers, there, str(number))
        )


def main() -> None:
    """Until standard input ends."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    with asyncio.Runner() as runner:
        while sys.stdin.buffer.readline():
            print(runner.run(_round(task)), flush=True)


if __name__ == "__main__":
    main()
