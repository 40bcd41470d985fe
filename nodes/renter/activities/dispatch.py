"""Activities `dispatch` and `compute-local`: a batch's rows read, encoded, encrypted and sent, or computed here.

A batch is (job, subtask, row range, attempt), so any worker of the renter can make it again. Homomorphic encryption
runs in the renter's crew, one batch per core, while earlier batches travel and compute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from broker.port import Broker, Message
from broker.topology import routing_key
from nodes.enclave.agreement.chunks import BatchContext
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.programs import plain
from nodes.renter.activities.workbench import JobAtHand, Running, Services, Workbench
from nodes.renter.files.parts import write_part
from nodes.renter.protections import enclave
from nodes.renter.protections.ciphertext import encrypt
from nodes.renter.protocol.records import BatchSent, BatchUnsendable, ResultAccepted
from nodes.runtime import bulk
from schemas import limits
from schemas.errors import BadData, BadInput
from schemas.events import Event, batch_attributes
from schemas.ids import Address, derive_id
from schemas.jobs import Batch

T = TypeVar("T")
P = ParamSpec("P")


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
        try:
            body, seconds = await self._body(await self.workbench.running(batch.job), batch, protection)
        except BadInput as error:
            failed = BatchUnsendable(batch=batch.batch, attempt=batch.attempt, code="bad-data", reason=str(error))
            return [("batch.unsendable", failed)]
        await self._publish(batch, lessor, body)
        sent = BatchSent(batch=batch.batch, attempt=batch.attempt, bytes_sent=len(body), encrypt_seconds=seconds)
        return [("batch.sent", sent)]

    async def compute_local(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """The renter's own part of the job, in plaintext, where the data already is (S1)."""
        number, first, rows = (int(params[name]) for name in ("batch", "first_row", "rows"))
        job = (await self.workbench.running(job_id)).job
        try:
            digest, seconds = await asyncio.to_thread(self.timed, self._compute, job, number, first, rows)
        except BadInput as error:
            failed = BatchUnsendable(batch=number, attempt=1, code="bad-data", reason=str(error))
            return [("batch.unsendable", failed)]
        done = ResultAccepted(batch=number, attempt=1, owner="local", digest=digest, compute_seconds=seconds)
        return [("result.accepted", done)]

    def _compute(self, job: JobAtHand, number: int, first: int, rows: int) -> str:
        result = plain.evaluate(job.program, job.table.read(first, rows))
        return write_part(job.folder, number, result)

    def timed(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
        """The work's result, and the core-seconds it took in this thread."""
        start = self.services.core_clock()
        return work(*args, **kwargs), self.services.core_clock() - start

    async def _body(self, running: Running, batch: Batch, protection: str) -> tuple[bytes, float]:
        """The batch as it travels, and the core-seconds it took."""
        job = running.job
        if protection == "homomorphic":
            worked = await self.services.crew.call(encrypt, await self.workbench.plan(running), batch)
            made = worked.result
            if made.refused:
                raise BadData(made.refused)
            job.expected[batch.batch, batch.attempt] = made.expected
            return made.body, worked.core_seconds
        secret = await self.workbench.subtask_secret(job, batch.subtask)
        seal = await self.seal_spec(running, protection)
        context = enclave.batch_context(batch, job.program.canonical, seal)
        return await asyncio.to_thread(self.timed, _symmetric, job, batch, secret, context)

    async def seal_spec(self, running: Running, protection: str) -> SealSpec | None:
        """How results are sealed (T1), or None."""
        if protection != "sealed-result":
            return None
        key = await self.workbench.homomorphic_key(running.job, running.assessment.scheme)
        return SealSpec(key.public.to_bytes(), running.facts.result_bits)

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
        headers, raw = await bulk.encode(event, self.services.identity.sign)
        message = Message(key=routing_key(lessor, me, "batch"), body=raw, headers=headers, id=event.id)
        await self.broker.publish(message, timeout_seconds=limits.PUBLISH_SECONDS_MAX)


def _symmetric(job: JobAtHand, batch: Batch, secret: bytes, context: BatchContext) -> bytes:
    return enclave.encrypt(secret, batch, context, job.table.read(batch.first_row, batch.rows))
