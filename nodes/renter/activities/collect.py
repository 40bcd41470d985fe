"""Collects results: opened by the job's protection, written to their part files, told to the machine.

Results are bulk data, so they do not pass through the store; it learns that a batch was accepted, by digest.
A result is acknowledged after that commit: a worker killed before it gets the result again, finds the part file already
there, and the machine sees an equal duplicate.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct

from broker.names import queue_name
from broker.port import Broker, Delivery, Message
from nodes.joint.aligner import Aligner
from nodes.joint.exchange import CHUNKS
from nodes.joint.sides import Incoming
from nodes.machine import Refused
from nodes.renter.activities.answers import Answered, Answers
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.errors import OWN_FAULTS, JobGone
from nodes.renter.files import incidents
from nodes.renter.files.parts import write_part
from nodes.renter.protocol.outcomes import JobSpoiled, ResultAccepted, ResultHeld, ResultRefused, own_fault
from nodes.renter.protocol.records import BatchRecord, Progress, Subtask
from nodes.renter.protocol.states import ENDED
from nodes.runtime.consuming import consume_for_ever
from nodes.runtime.door import Door
from nodes.runtime.hearing import ECHOES_PER_WAIT, Hearing
from schemas import codec
from schemas.errors import SubletError, VerificationFailed
from schemas.events import Event
from schemas.jobs import Batch

log = structlog.get_logger(__name__)

RESULT_PREFETCH: Final = 8
"""Results decrypted or waiting for it at a time."""


class Submit(Protocol):
    """`Runtime.submit`: inject an internal event; returns after it is committed."""

    async def __call__(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sent:
    """What the store knows of the batch that a result is of."""

    batch: Batch
    ended: bool
    """Whether its job did, or decrypts nothing more."""
    heard_at: float
    """When its lessor was last heard of, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Collector:
    """The consumer of the renter's result queue."""

    services: Services
    workbench: Workbench
    broker: Broker
    door: Door
    submit: Submit
    answers: Answers
    aligner: Aligner
    hearing: Hearing

    async def run(self) -> None:
        """Consume until cancelled; results are worked on concurrently, each bounded by the prefetch."""
        queue = queue_name(self.services.identity.address, "result")
        await consume_for_ever(self.broker, queue, RESULT_PREFETCH, self._serve)

    async def _serve(self, delivery: Delivery) -> None:
        if self.hearing.is_echo(delivery.message):
            self.hearing.heard()
            await self.door.acknowledge(delivery)
            return

        async def accept(event: Event, known: _Sent | Answered | Incoming) -> None:
            if isinstance(known, _Sent):
                await self._accept(delivery.message, event, known)
            elif (outcome := await self._of_partner(event, known)) is not None:
                await self.submit(*outcome, known.job, event_id=f"arrived/{event.id}")

        await self.door.serve(delivery, self._sender, accept)

    async def _sender(self, event: Event) -> tuple[bytes, _Sent | Answered | Incoming]:
        """The sender's key, once it is sure that this was asked of it; raises Refused or Later."""
        if event.type in CHUNKS:
            return await self.aligner.sender(event)
        return await (self.answers.sender(event) if event.type == "round.answered" else self._lessor(event))

    async def _of_partner(self, event: Event, known: Answered | Incoming) -> tuple[str, Struct] | None:
        if isinstance(known, Answered):
            return await self.answers.accept(event, known)
        try:
            return await self.aligner.accept(event, known)
        except JobGone:
            return None
        except OWN_FAULTS as error:
            return "job.spoiled", own_fault(error)

    async def _lessor(self, event: Event) -> tuple[bytes, _Sent]:
        """The lessor's key, once it is sure that the batch was sent so under this contract; raises Refused."""
        batch = codec.batch_of(event)
        progress, subtask, sent = await self._records(batch)
        if not isinstance(progress, Progress) or not isinstance(subtask, Subtask):
            raise Refused("unknown-subtask", f"no subtask {batch.subtask} here")
        if not isinstance(sent, BatchRecord) or subtask.contract != batch.contract:
            raise Refused("unknown-batch", f"batch {batch.batch} was not sent under this contract")
        if (sent.first_row, sent.rows) != (batch.first_row, batch.rows) or batch.attempt > sent.attempt:
            raise Refused("wrong-batch", f"batch {batch.batch} does not have these rows")
        if event.source != subtask.lessor:
            raise Refused("not-the-lessor", f"{event.source} does not serve {subtask.id}")
        contract = await self.workbench.contract(batch.job, batch.contract)
        heard_at = max(subtask.heard_at, subtask.started_at)
        over = progress.phase in ENDED or progress.here is not None
        return contract.lessor_key, _Sent(batch, over, heard_at)

    async def _records(self, batch: Batch) -> list[Any]:
        keys = ("progress", f"subtask/{batch.subtask}", f"batch/{batch.batch}")
        records = await self.services.store.get(batch.job, keys)
        return [records.get(key) for key in keys]

    async def _accept(self, message: Message, event: Event, sent: _Sent) -> None:
        if sent.ended:
            return
        batch, folder = sent.batch, self.services.folder(sent.batch.job)
        outcome: ResultAccepted | ResultRefused | JobSpoiled
        try:
            async with self._noticed(sent):
                running = await self.workbench.running(batch.job)
                opened = await running.protection.open(batch, bytes(event.body))
            outcome = ResultAccepted(
                batch=batch.batch,
                attempt=batch.attempt,
                owner=batch.subtask,
                digest=await asyncio.to_thread(write_part, folder, batch.batch, opened.rows),
                decrypt_seconds=opened.core_seconds,
                compute_seconds=claimed_seconds(event),
                bytes_back=len(event.body),
            )
            await self.workbench.require_live(batch.job)
        except JobGone:
            return
        except OWN_FAULTS as error:
            outcome = own_fault(error)
        except VerificationFailed as error:
            outcome = ResultRefused(
                batch=batch.batch,
                attempt=batch.attempt,
                owner=batch.subtask,
                code=error.code,
                reason=str(error),
                evidence=await asyncio.to_thread(incidents.keep, folder, message.headers, message.body),
            )
        await self.submit(_EVENT_OF[type(outcome)], outcome, batch.job, event_id=f"result/{event.id}")

    @contextlib.asynccontextmanager
    async def _noticed(self, sent: _Sent) -> AsyncIterator[None]:
        """While a result waits here for its turn, its lessor counts as heard of."""
        noticing = asyncio.create_task(self._notice(sent))
        try:
            yield
        finally:
            noticing.cancel()
            await asyncio.wait([noticing])

    async def _notice(self, sent: _Sent) -> None:
        """Early where little is left of the lessor's time; else a result that is soon decrypted costs no event."""
        hearing, batch = self.hearing, sent.batch
        if self.services.clock() - sent.heard_at < hearing.every_seconds * ECHOES_PER_WAIT / 2:
            await hearing.pause(hearing.every_seconds)
        while True:
            if hearing.is_news(batch.subtask):
                try:
                    await self.submit("result.held", ResultHeld(owner=batch.subtask), batch.job, event_id="")
                except SubletError as error:
                    log.info("a result that waits was not noted", job=batch.job, reason=str(error))
            await hearing.pause(hearing.every_seconds)


_EVENT_OF: Final = {
    ResultAccepted: "result.accepted",
    ResultRefused: "result.refused",
    JobSpoiled: "job.spoiled",
}


def claimed_seconds(event: Event) -> float:
    """Core-seconds that a lessor says a batch took; 0 where it says nothing that can be added up."""
    try:
        seconds = float(event.attributes.get("computeseconds", "0"))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < math.inf else 0.0
