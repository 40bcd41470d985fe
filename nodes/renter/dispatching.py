"""Activities `dispatch` and `compute-local`: a batch's rows read, encoded, encrypted and sent, or computed here.

A batch is (job, subtask, row range, attempt), so any worker of the renter can make it again. Encryption runs off the
event loop on all cores while earlier batches travel and compute.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from broker.port import Broker, Message
from broker.topology import routing_key
from nodes import bulk
from nodes.enclave import chunks, session
from nodes.enclave.chunks import DATA, BatchContext
from nodes.enclave.session import SealSpec
from nodes.programs import plain
from nodes.renter.auditing import ciphertext_batch
from nodes.renter.parts import write_part
from nodes.renter.records import BatchSent, BatchUnsendable, Facts, ResultAccepted
from nodes.renter.workbench import JobAtHand, Services, Workbench
from schemas import limits
from schemas.errors import BadInput
from schemas.events import Event, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch

EPOCH: Final = 0
"""Jobs of one round have one epoch."""


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends batches through the renter's own broker connection."""

    services: Services
    workbench: Workbench
    broker: Broker

    async def dispatch(self, params: dict[str, Any]) -> list[tuple[str, Struct]]:
        """Encrypt and publish one batch; the broker's confirm ends it."""
        batch = msgspec.convert(params["batch"], Batch)
        lessor, protection = Address(str(params["lessor"])), str(params["protection"])
        start = self.services.stopwatch()
        try:
            job, facts = await self.workbench.running(batch.job)
            body = await self._body(job, facts, batch, protection)
        except BadInput as error:
            failed = BatchUnsendable(batch=batch.batch, attempt=batch.attempt, code="bad-data", reason=str(error))
            return [("batch.unsendable", failed)]
        seconds = self.services.stopwatch() - start
        await self._publish(batch, lessor, body)
        sent = BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=len(body), encrypt_seconds=seconds)
        return [("batch.sent", sent)]

    async def compute_local(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """The renter's own part of the job, in plaintext, where the data already is (S1)."""
        number, first, rows = (int(params[name]) for name in ("batch", "first_row", "rows"))
        job, _ = await self.workbench.running(job_id)
        start = self.services.stopwatch()
        try:
            digest = await asyncio.to_thread(self._compute, job, number, first, rows)
        except BadInput as error:
            failed = BatchUnsendable(batch=number, attempt=1, code="bad-data", reason=str(error))
            return [("batch.unsendable", failed)]
        seconds = self.services.stopwatch() - start
        done = ResultAccepted(batch=number, attempt=1, owner="local", digest=digest, compute_seconds=seconds)
        return [("result.accepted", done)]

    def _compute(self, job: JobAtHand, number: int, first: int, rows: int) -> str:
        result = plain.evaluate(job.program, job.table.read(first, rows))
        return write_part(job.folder, number, result)

    async def _body(self, job: JobAtHand, facts: Facts, batch: Batch, protection: str) -> bytes:
        if protection == "homomorphic":
            ciphertexts = await ciphertext_batch(self.workbench, job, facts, batch)
            return await asyncio.to_thread(ciphertexts.encrypt, self.services.cores)
        secret = await self.workbench.subtask_secret(job, batch.subtask)
        seal = await self.seal_spec(job, facts, protection)
        return await asyncio.to_thread(_symmetric, job, batch, secret, seal)

    async def seal_spec(self, job: JobAtHand, facts: Facts, protection: str) -> SealSpec | None:
        """How results are sealed (T1), or None."""
        if protection != "sealed-result":
            return None
        key = await self.workbench.homomorphic_key(job)
        return SealSpec(key.public.to_bytes(), facts.result_bits)

    async def _publish(self, batch: Batch, lessor: Address, body: bytes) -> None:
        me = self.services.identity.address
        event = Event(
            id=derive_id("batch", batch.job, batch.subtask, batch.batch, batch.attempt),
            type="batch.dispatched",
            source=me,
            to=lessor,
            time=self.services.clock(),
            subject=batch.job,
            body=body,
            attributes=batch_attributes(batch),
        )
        headers, raw = await bulk.encode(event, self.services.identity)
        message = Message(key=routing_key(lessor, me, "batch"), body=raw, headers=headers, id=event.id)
        await self.broker.publish(message, timeout_seconds=limits.PUBLISH_SECONDS_MAX)


def batch_context(batch: Batch, program: bytes, seal: SealSpec | None) -> BatchContext:
    """What binds a batch's ciphertext to its place: it opens nowhere else."""
    return BatchContext(
        job=batch.job,
        subtask=batch.subtask,
        batch=batch.batch,
        attempt=batch.attempt,
        direction=DATA,
        epoch=EPOCH,
        schema=session.schema_digest(program, seal),
        first_row=batch.first_row,
        rows=batch.rows,
    )


def _symmetric(job: JobAtHand, batch: Batch, secret: bytes, seal: SealSpec | None) -> bytes:
    rows = np.ascontiguousarray(job.table.read(batch.first_row, batch.rows), "<f8").tobytes()
    key = session.data_key(secret, batch.contract, batch.job, DATA, EPOCH)
    return chunks.encrypt(key, batch_context(batch, job.program.canonical, seal).digest(), rows)
