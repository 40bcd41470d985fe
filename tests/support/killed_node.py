"""A node's process for the test that kills it: `python -m tests.support.killed_node FOLDER hang|publish`.

Its broker delivers one event and says on stdout what it is asked: `acked ID`, `publishing ID`. With `hang` a publish
never returns; with `publish` it is confirmed, and `idle` is said when the outbox is empty.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from broker.port import Consumer, Delivery, Message
from nodes.runtime.loop import Runtime
from nodes.store.blobs import BlobStore
from nodes.store.port import OUTBOX_LEASE_SECONDS
from nodes.store.sqlite import SqliteStore
from tests.support.toy_machine import ToyMachine
from tests.support.world import ME, NOW, PEER, empty, message, told, until


def _say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


class _Delivery:
    message: Message = message(told(1, "hello"))
    queue = ""
    redelivered = False
    delivery_count = 0

    def __init__(self) -> None:
        self.settled = asyncio.Event()

    async def ack(self) -> None:
        _say("acked", self.message.id)
        self.settled.set()

    async def reject(self, reason: str) -> None:
        raise AssertionError(reason)

    async def release(self) -> None:
        raise AssertionError("released")

    async def retry(self, after_seconds: float) -> None:
        raise AssertionError("retried")


class _Broker:
    connected = True

    def __init__(self, hang: bool) -> None:
        self._hang = hang
        self.delivery = _Delivery()

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        _say("publishing", message.id)
        if self._hang:
            await asyncio.Event().wait()

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Consumer:
        return _Consumer([self.delivery])

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
        """Nothing to lead."""

    async def close(self) -> None:
        """Nothing to close."""


class _Consumer:
    def __init__(self, deliveries: list[_Delivery]) -> None:
        self._deliveries = deliveries

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Delivery:
        if not self._deliveries:
            await asyncio.Event().wait()
        return self._deliveries.pop()


async def main(folder: Path, mode: str) -> None:
    """Run the node; the second life begins when the first one's lease has ended."""
    broker = _Broker(hang=mode == "hang")
    store = await SqliteStore.open(folder / "node.sqlite", ToyMachine.record_types)
    now = NOW if mode == "hang" else NOW + OUTBOX_LEASE_SECONDS + 1
    runtime = Runtime(
        machine=ToyMachine({PEER.address: PEER.public}),
        broker=broker,
        store=store,
        identity=ME,
        clock=lambda: now,
        activities={},
        blobs=BlobStore(folder / "blobs"),
        entropy=os.urandom,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(runtime.run(stop))
    await broker.delivery.settled.wait()
    await until(lambda: empty(store))
    _say("idle")
    stop.set()
    await running
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
