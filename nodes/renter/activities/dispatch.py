"""Activities `dispatch` and `compute-local`: a batch closed by the job's protection and sent, or computed here.

A batch is (job, subtask, row range, attempt), so any worker of the renter can make it again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct, structs

from broker.errors import QueueFull
from nodes.programs import runtime
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Running, Workbench
from nodes.renter.errors import OWN_FAULTS
from nodes.renter.files.parts import write_part
from nodes.renter.protections.port import timed
from nodes.renter.protocol.outcomes import BatchSent, BatchUnsent, ResultAccepted, own_fault
from nodes.renter.protocol.records import LOCAL
from nodes.runtime.post import Post
from schemas.events import batch_attributes
from schemas.ids import derive_id
from schemas.jobs import Batch


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends batches through the renter's own broker connection."""

    services: Services
    workbench: Workbench
    post: Post

    async def dispatch(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """Encrypt and publish one batch; the broker's confirm ends it."""
        batch, lessor = msgspec.convert(params["batch"], Batch), str(params["lessor"])
        try:
            running = await self.workbench.running(batch.job)
            closed = await running.by_batch.close(batch)
        except OWN_FAULTS as error:
            return [("job.spoiled", own_fault(error))]
        event_id = derive_id("batch", batch.job, batch.subtask, batch.batch, batch.attempt)
        attributes = batch_attributes(batch)
        try:
            await self.post.send(
                "batch.dispatched", lessor, batch.job, event_id=event_id, body=closed.body, attributes=attributes
            )
        except QueueFull:
            return [("batch.unsent", BatchUnsent(batch=batch.batch, attempt=batch.attempt))]
        sent = BatchSent(
            batch=batch.batch,
            attempt=batch.attempt,
            bytes_sent=len(closed.body),
            encrypt_seconds=closed.core_seconds,
        )
        return [("batch.sent", sent)]

    async def compute_local(self, params: dict[str, Any], job_id: str) -> list[tuple[str, Struct]]:
        """The renter's own part of the job, in plaintext, where the data already is (S1)."""
        number, first, rows = (int(params[name]) for name in ("batch", "first_row", "rows"))
        running, clock = await self.workbench.running(job_id), self.services.core_clock
        try:
            digest, seconds = await asyncio.to_thread(timed, clock, _compute, running, number, first, rows)
        except OWN_FAULTS as error:
            fault = own_fault(error)
            reason = f"in rows {first + 1} to {first + rows}: {fault.reason}"
            return [("job.spoiled", structs.replace(fault, reason=reason))]
        await self.workbench.require_live(job_id)
        done = ResultAccepted(batch=number, attempt=1, owner=LOCAL, digest=digest, compute_seconds=seconds)
        return [("result.accepted", done)]


def _compute(running: Running, number: int, first: int, rows: int) -> str:
    result = runtime.evaluate(running.program, running.job.table.read(first, rows))
    return write_part(running.job.folder, number, result)
