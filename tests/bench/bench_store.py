"""store.*: whether what happens once per batch costs the same in a job of 100,000 batches as in one of 100.

    store.get     three records of a job, by a process that does not keep the job in memory
    store.apply   an event that looks at the contracts of its job and changes one batch, with its commit

A ratio near 1 is the promise of these.

    store.postgres   events per second of many jobs, asked 64 at a time, against the same on SQLite; both on this disk
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct

from nodes.machine import Publish
from nodes.records import as_record_set
from nodes.store.port import Decision, Input, Store, View
from nodes.store.postgres.store import PostgresStore
from nodes.store.sqlite import SqliteStore
from tests.bench.harness import ROUNDS_MIN, Result, faster, more
from tests.support import postgres

NAMES: Final = ("store.get", "store.apply")
MANY, FEW, CONTRACTS, CALLS = 100_000, 100, 3, 200
JOBS, EVENTS, AT_ONCE = 100, 2_048, 64


class Record(Struct, frozen=True):
    """A batch or a contract."""

    number: int
    owner: str = "subtask-0000000000000000"


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = {"batch": Record, "contract": Record}


class Job:
    """A job of so many batches in a store of its own, and how long calls to it take, in seconds each."""

    def __init__(self, batches: int, writer: SqliteStore, reader: SqliteStore) -> None:
        self._batches, self._writer, self._reader = batches, writer, reader
        self._numbers = count()

    async def get(self) -> float:
        """See the module's text."""
        begun = time.perf_counter()
        for _ in range(CALLS):
            number = next(self._numbers) % self._batches
            await self._reader.get("job", (f"batch/{number}", "batch/7", "contract/1"))
        return (time.perf_counter() - begun) / CALLS

    async def apply(self) -> float:
        """See the module's text."""
        begun = time.perf_counter()
        for _ in range(CALLS):
            event = Input(f"event-{next(self._numbers)}", "job")
            await self._writer.apply([event], self._decide, owner="bench", lease_until=0.0, performs_max=0)
        return (time.perf_counter() - begun) / CALLS

    def _decide(self, _: Input, view: View) -> Decision:
        assert len(as_record_set(view.records).under("contract")) == CONTRACTS
        number = next(self._numbers)
        return Decision(0.0, put={f"batch/{number % self._batches}": Record(-number)}, entry=b"entry")


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for name in NAMES:
        if name.startswith(only):
            many, few = asyncio.run(_measure(name))
            yield faster(name, many, few, f"{FEW:,} records instead of {MANY:,}")
    if "store.postgres".startswith(only):
        ours, peer = asyncio.run(_databases())
        yield more("store.postgres", ours, peer, "SQLite", "events/s")


async def _databases() -> tuple[float, float]:
    with TemporaryDirectory(prefix="sublet-bench-") as folder, postgres.private(durable=True) as server:
        async with server.schema() as url:
            sqlite = await SqliteStore.open(Path(folder) / "node.sqlite", RECORD_TYPES)
            stores: tuple[Store, Store] = (await PostgresStore.open(url, "A11.hub", RECORD_TYPES), sqlite)
            numbers = count()
            for each in stores:
                await _rate(each, numbers)
            rounds = [[await _rate(each, numbers) for each in stores] for _ in range(ROUNDS_MIN)]
            for each in stores:
                await each.close()
    return median(each[0] for each in rounds), median(each[1] for each in rounds)


async def _rate(store: Store, numbers: Iterator[int]) -> float:
    """Events per second."""

    def decide(item: Input, view: View) -> Decision:
        told = Publish(type="order.buy.placed", to="A11.hub", subject=item.aggregate, data={"x": 1.5})
        return Decision(0.0, put={"batch/1": Record(next(numbers))}, effects=(told,), entry=b"entry")

    async def one() -> None:
        event = Input(f"event-{next(numbers)}", f"job-{next(numbers) % JOBS}")
        (outcome,) = await store.apply([event], decide, owner="bench", lease_until=0.0, performs_max=0)
        await store.done([row.seq for row in outcome.claimed])

    begun = time.perf_counter()
    for _ in range(EVENTS // AT_ONCE):
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return EVENTS / (time.perf_counter() - begun)


async def _measure(name: str) -> tuple[float, float]:
    async with _job(MANY) as many, _job(FEW) as few:
        calls = (many.get, few.get) if name == "store.get" else (many.apply, few.apply)
        await _round(calls)
        rounds = [await _round(calls) for _ in range(ROUNDS_MIN)]
    return median(each[0] for each in rounds), median(each[1] for each in rounds)


async def _round(calls: Sequence[Callable[[], Awaitable[float]]]) -> list[float]:
    return [await call() for call in calls]


@asynccontextmanager
async def _job(batches: int) -> AsyncIterator[Job]:
    keys = [f"batch/{number}" for number in range(batches)] + [f"contract/{number}" for number in range(CONTRACTS)]
    filled = Decision(0.0, put={key: Record(number) for number, key in enumerate(keys)})
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        path = Path(folder) / "node.sqlite"
        store = await SqliteStore.open(path, RECORD_TYPES)
        await store.apply([Input("fill", "job")], lambda *_: filled, owner="bench", lease_until=0.0, performs_max=0)
        await store.close()  # from the log into the file, which a large job reaches by itself
        stores = [await SqliteStore.open(path, RECORD_TYPES) for _ in range(2)]
        yield Job(batches, *stores)
        for store in stores:
            await store.close()
