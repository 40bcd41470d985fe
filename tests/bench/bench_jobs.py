"""jobs.batch: what one batch costs the renter's machine and store at the end of a job of 100,000 batches, against its
begin.

The job is simulated: a real machine decides on a real store in a file, with journal, outbox and commits, in virtual
time; whatever it wants done is answered at once with a made-up outcome. Each batch is dispatched, sent, looked up as a
collector in another process does, and accepted. The job has 4,000 columns, so that its facts are large. A ratio near 1
is the promise.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.identity import Identity
from nodes.machine import Perform
from nodes.protections import CIPHERTEXT
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.outcomes import BatchSent, JobPrepared, ResultAccepted
from nodes.renter.protocol.records import Facts, Job, Progress, SchemeFacts
from nodes.runtime.decider import Decider, Given
from nodes.store.port import Input
from nodes.store.sqlite import SqliteStore
from schemas import limits
from schemas.contracts import Contract
from schemas.events import ContractsCompleted, ContractSigned, Event, JobSubmitted
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import Batch, Costs, FixedPoint, JobSpec
from schemas.manifest import cut
from schemas.orders import BuyOrder, SellOrder
from tests.bench.harness import Result, faster

NAME: Final = "jobs.batch"
BATCHES: Final = limits.BATCHES_PER_JOB_MAX - 10
ROWS_EACH: Final = 10
COLUMNS: Final = 4000
UNITS: Final = 4
WINDOW: Final = 1000
"""Batches per figure."""
START: Final = 1_800_000_000.0
ME: Final = address("A11", "A12")
LESSORS: Final = (address("B11", "B12"), address("B11", "B13"))
JOB: Final = derive_id("job", "wide")
COSTS: Final = Costs(encrypt_seconds=1.0, lessor_seconds=1.0, decrypt_seconds=1.0)


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    if NAME.startswith(only):
        seconds = asyncio.run(simulate(BATCHES))
        yield faster(NAME, seconds[-1], seconds[1], f"batches 1,000 to 2,000 of {BATCHES:,}")


async def simulate(batches: int) -> list[float]:
    """Core-seconds per batch, of every `WINDOW` batches in turn."""
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        path = Path(folder) / "node.sqlite"
        stores = [await SqliteStore.open(path, RenterMachine.record_types) for _ in range(2)]
        try:
            renter = Renter(stores[0], stores[1], batches)
            await renter.begin()
            return await renter.run()
        finally:
            for store in stores:
                await store.close()


class Renter:
    """The machine and its store, and an outside that agrees to everything."""

    def __init__(self, store: SqliteStore, reader: SqliteStore, batches: int) -> None:
        identity = Identity.from_seed(ME, b"\x07" * 32)
        config = RenterConfig(me=ME, key=identity.public, hub_keys=dict.fromkeys(("A11.hub", "B11.hub"), b"\0" * 32))
        self._decide = Decider(RenterMachine(config), ME, identity.sign, lambda *_: True)
        self._key = identity.public
        self._store, self._reader = store, reader
        self._batches = batches
        self._events = 0
        self._waiting: deque[tuple[int, Perform]] = deque()
        self.now = START

    async def begin(self) -> None:
        """Bring the job to where its batches go out."""
        digest = "0" * 64
        spec = JobSpec(
            id=JOB,
            data=digest,
            program=digest,
            protection=CIPHERTEXT.name,
            lessors=len(LESSORS),
            batch_rows=ROWS_EACH,
            local_share=0.0,
        )
        await self._give([("job.submitted", JobSubmitted(spec=spec), None)])
        await self._give([("job.prepared", JobPrepared(facts=facts(self._batches * ROWS_EACH)), None)])
        job = (await self._store.get(JOB, ["job"]))["job"]
        assert isinstance(job, Job)
        contracts = [contract(each, job.order, self._key, self.now) for each in LESSORS]
        await self._give([("contract.signed", ContractSigned(contract=each), None) for each in contracts])
        matched = ContractsCompleted(order=job.order, job=JOB, contracts=tuple(each.id for each in contracts))
        await self._give([("order.buy.matched", matched, None)])

    async def run(self) -> list[float]:
        """All batches."""
        seconds: list[float] = []
        begun, done = time.process_time(), 0
        while self._waiting:
            performs = [self._waiting.popleft() for _ in range(min(len(self._waiting), limits.EVENTS_PER_COMMIT_MAX))]
            dispatched = [(seq, msgspec.convert(each.params["batch"], Batch)) for seq, each in performs]
            await self._give([("batch.sent", sent(batch), seq) for seq, batch in dispatched])
            for _, batch in dispatched:
                await self._looked_up(batch)
            await self._give([("result.accepted", accepted(batch), None) for _, batch in dispatched])
            done += len(dispatched)
            if done >= WINDOW:
                seconds.append((time.process_time() - begun) / done)
                begun, done = time.process_time(), 0
        progress = (await self._store.get(JOB, ["progress"]))["progress"]
        assert isinstance(progress, Progress)
        assert (progress.phase, progress.batches_done) == ("assembling", self._batches)
        return seconds

    async def _looked_up(self, batch: Batch) -> None:
        """As `Collector` does for each result."""
        keys = ("progress", f"subtask/{batch.subtask}", f"batch/{batch.batch}")
        assert len(await self._reader.get(JOB, keys)) == len(keys)

    async def _give(self, events: list[tuple[str, Struct, int | None]]) -> None:
        inputs = [Input(*self._given(*event)) for event in events]
        outcomes = await self._store.apply(
            inputs, self._decide, owner="bench", lease_until=self.now + 60, performs_max=1000
        )
        for outcome in outcomes:
            assert outcome.status == "applied", (outcome.code, outcome.reason)
            published = [row.seq for row in outcome.claimed if not isinstance(row.effect, Perform)]
            if published:
                await self._store.done(published)
            self._waiting += [
                (row.seq, row.effect)
                for row in outcome.claimed
                if isinstance(row.effect, Perform) and row.effect.activity == "dispatch"
            ]

    def _given(self, event_type: str, data: Struct, completes: int | None) -> tuple[Any, ...]:
        self._events += 1
        self.now += 0.001
        event = Event(f"event-{self._events}", event_type, ME, ME, self.now, JOB, data)
        return event.id, JOB, Given(event, self.now, b"\0" * 32), None, completes


def sent(batch: Batch) -> BatchSent:
    """The broker confirmed it."""
    return BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=1000, encrypt_seconds=0.1)


def accepted(batch: Batch) -> ResultAccepted:
    """Its lessor computed it."""
    digest = derive_id("result", batch.batch)
    return ResultAccepted(batch=batch.batch, attempt=batch.attempt, owner=batch.subtask, digest=digest)


def facts(rows: int) -> Facts:
    """Of a wide job on ciphertext."""
    fixed = FixedPoint(column_exponents=(7,) * COLUMNS, input_bits=20, weight_bits=20)
    scheme = SchemeFacts(
        scheme="paillier",
        key_bits=3072,
        slots=47,
        ciphertext_bytes=768,
        fixed_point=fixed,
        error_bound=0.0,
        costs=COSTS,
    )
    return Facts(
        rows=rows,
        width_in=COLUMNS,
        width_out=1,
        sum_rows=False,
        program=cut(b"a program")[0],
        schemes=(scheme,),
    )


def contract(lessor: Address, order: str, key: bytes, now: float) -> Contract:
    """As the hubs would have made it; signatures are not looked at here."""
    buy = BuyOrder(
        id=order,
        renter=ME,
        job=JOB,
        units=2 * UNITS,
        price_micros_max=10,
        protection=CIPHERTEXT.name,
        lease_seconds=3600.0,
        match_by=now + 60,
    )
    sell = SellOrder(
        id=derive_id("sell", lessor),
        lessor=lessor,
        units=UNITS,
        price_micros=10,
        protections=(CIPHERTEXT.name,),
        expires_at=now + 60,
    )
    return Contract(
        id=derive_id("contract", lessor),
        buy=buy,
        sell=sell,
        renter_key=key,
        lessor_key=b"\0" * 32,
        renter_hub=hub_address("A11"),
        lessor_hub=hub_address("B11"),
        protection=CIPHERTEXT.name,
        units=UNITS,
        price_micros=10,
        starts_at=now,
        ends_at=now + 3600,
    )
