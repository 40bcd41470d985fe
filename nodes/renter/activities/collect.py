"""Collects results: authenticate, decrypt, check, write the part file, tell the machine, acknowledge.

Results are bulk data, so they do not pass through the store; it learns that a batch was accepted, by digest.
A result is acknowledged after that commit: a worker killed before it gets the result again, finds the part file already
there, and the machine sees an equal duplicate.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from broker.port import Broker, Delivery
from broker.topology import parse_key, queue_name
from nodes.crew.crew import Worked
from nodes.crew.errors import HandLost
from nodes.identity import verify
from nodes.renter.activities.dispatch import Dispatcher
from nodes.renter.activities.workbench import Running
from nodes.renter.files import incidents
from nodes.renter.files.parts import write_part
from nodes.renter.protections import enclave
from nodes.renter.protections.ciphertext import OWN_DATA, Opened, decrypt, open_sealed
from nodes.renter.protocol.records import (
    BatchRecord,
    BatchUnsendable,
    ContractRecord,
    Facts,
    Job,
    ResultAccepted,
    ResultRefused,
    Subtask,
)
from nodes.runtime import bulk
from nodes.runtime.consuming import consume_for_ever
from nodes.store.errors import RecordUnreadable
from schemas import codec
from schemas.contracts import Contract
from schemas.errors import BadData, SubletError, VerificationFailed
from schemas.events import Event
from schemas.jobs import Batch

RESULT_PREFETCH: Final = 8
"""Results decrypted or waiting for it at a time."""

log = structlog.get_logger(__name__)


class Submit(Protocol):
    """`Runtime.submit`: inject an internal event; returns after it is committed."""

    async def __call__(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store says about the subtask of a result."""

    contract: Contract
    facts: Facts
    job: Job


@dataclass(frozen=True, slots=True)
class Collector:
    """The consumer of the renter's result queue."""

    dispatcher: Dispatcher
    broker: Broker
    submit: Submit

    async def run(self) -> None:
        """Consume until cancelled; results are worked on concurrently, each bounded by the prefetch."""
        me = self.dispatcher.services.identity.address
        await consume_for_ever(self.broker, queue_name(me, "result"), RESULT_PREFETCH, self._settle)

    async def _settle(self, delivery: Delivery) -> None:
        """Every delivery ends acknowledged, dead-lettered with its reason, or back in the queue."""
        try:
            await self._accept(delivery)
        except (VerificationFailed, RecordUnreadable) as error:
            log.warning("result refused", code=error.code, reason=str(error), key=delivery.message.key)
            await delivery.reject(error.code)
        except SubletError as error:
            log.warning("result not settled yet", error=str(error), key=delivery.message.key)
            await delivery.release()
        else:
            await delivery.ack()

    async def _accept(self, delivery: Delivery) -> None:
        received = await bulk.decode(delivery.message.headers, delivery.message.body)
        event = received.event
        batch = codec.batch_of(event)
        known = await self._lookup(batch)
        self._authenticate(delivery, event, known.contract)
        if not verify(known.contract.lessor_key, received.signed, received.signature):
            raise VerificationFailed(f"{event.source} did not sign {event.id}", code="bad-signature")
        if known.job.phase in ("completed", "failed"):
            return
        outcome_id, message = f"result/{event.id}", delivery.message
        folder = self.dispatcher.services.folder(batch.job)
        try:
            running = await self.dispatcher.workbench.running(batch.job)
            result, seconds = await self._open(running, batch, known.contract, bytes(event.body))
            digest = await asyncio.to_thread(write_part, running.job.folder, batch.batch, result)
        except BadData as error:
            failed = BatchUnsendable(batch=batch.batch, attempt=batch.attempt, code=OWN_DATA, reason=str(error))
            await self.submit("batch.unsendable", failed, batch.job, event_id=outcome_id)
            return
        except VerificationFailed as error:
            refused = ResultRefused(
                batch=batch.batch,
                attempt=batch.attempt,
                owner=batch.subtask,
                code=error.code,
                reason=str(error),
                evidence=await asyncio.to_thread(incidents.keep, folder, message.headers, message.body),
            )
            await self.submit("result.refused", refused, batch.job, event_id=outcome_id)
            return
        accepted = ResultAccepted(
            batch=batch.batch,
            attempt=batch.attempt,
            owner=batch.subtask,
            digest=digest,
            decrypt_seconds=seconds,
            compute_seconds=claimed_seconds(event),
            bytes_back=len(event.body),
        )
        await self.submit("result.accepted", accepted, batch.job, event_id=outcome_id)

    def _authenticate(self, delivery: Delivery, event: Event, contract: Contract) -> None:
        me = self.dispatcher.services.identity.address
        key = parse_key(delivery.message.key)
        if key.dst != me or event.to != me:
            raise VerificationFailed(f"{event.id} is for {event.to}, not {me}", code="wrong-receiver")
        if key.src != event.source or event.source != contract.lessor:
            raise VerificationFailed(f"{event.id} comes from {key.src}, not the lessor", code="wrong-sender")
        if event.type != "batch.completed":
            raise VerificationFailed(f"{event.type} does not belong among results", code="wrong-queue")

    async def _lookup(self, batch: Batch) -> _Known:
        """The contract, and that the batch has the rows it was sent with."""
        records = await self.dispatcher.services.store.read(batch.job)
        job, subtask = records.get("job"), records.get(f"subtask/{batch.subtask}")
        sent = records.get(f"batch/{batch.batch}")
        contract = records.get(f"contract/{batch.contract}")
        if not isinstance(job, Job) or not isinstance(subtask, Subtask) or not isinstance(contract, ContractRecord):
            raise VerificationFailed(f"no subtask {batch.subtask} under this contract here", code="unknown-subtask")
        if not isinstance(sent, BatchRecord) or subtask.contract != batch.contract or job.facts is None:
            raise VerificationFailed(f"batch {batch.batch} was not sent under this contract", code="unknown-batch")
        if (sent.first_row, sent.rows) != (batch.first_row, batch.rows) or batch.attempt > sent.attempt:
            raise VerificationFailed(f"batch {batch.batch} does not have these rows", code="wrong-batch")
        return _Known(contract.contract, job.facts, job)

    async def _open(
        self, running: Running, batch: Batch, contract: Contract, body: bytes
    ) -> tuple[NDArray[np.float64], float]:
        """The result in plaintext, [rows or 1, K], and the core-seconds it took; raises VerificationFailed."""
        dispatcher, job, facts = self.dispatcher, running.job, running.facts
        workbench, crew = dispatcher.workbench, dispatcher.services.crew
        rows = 1 if facts.sum_rows else batch.rows
        if contract.protection == "homomorphic":
            expected = job.expected.pop((batch.batch, batch.attempt), None)
            plan = await workbench.plan(running)
            worked = await survived(lambda: crew.call(decrypt, plan, batch, body, expected))
            return _matrix(_opened(worked.result), rows, facts.width_out), worked.core_seconds
        secret = await workbench.subtask_secret(job, batch.subtask)
        seal = await dispatcher.seal_spec(running, contract.protection)
        context = enclave.batch_context(batch, job.program.canonical, seal)
        plain, seconds = await asyncio.to_thread(dispatcher.timed, enclave.decrypt, secret, batch, context, body)
        if seal is None:
            return _matrix(plain, rows, facts.width_out), seconds
        kit = await workbench.sealing_key(running)
        worked = await survived(lambda: crew.call(open_sealed, kit, plain, rows, facts.width_out, facts.result_bits))
        return _matrix(_opened(worked.result), rows, facts.width_out), seconds + worked.core_seconds


async def survived(work: Callable[[], Awaitable[Worked[Opened]]]) -> Worked[Opened]:
    """What reading a result comes to, tried again once: a process may die of this machine's own troubles.

    Raises:
        VerificationFailed: the result kills whoever reads it.
    """
    with contextlib.suppress(HandLost):
        return await work()
    try:
        return await work()
    except HandLost as error:
        raise VerificationFailed(str(error), code="ciphertext-invalid") from error


def _opened(opened: Opened) -> bytes:
    if opened.code == OWN_DATA:
        raise BadData(opened.reason)
    if opened.code:
        raise VerificationFailed(opened.reason, code=opened.code)
    return opened.result


def _matrix(plain: bytes, rows: int, width: int) -> NDArray[np.float64]:
    if len(plain) != rows * width * 8:
        raise VerificationFailed(f"a result of {len(plain)} bytes is not {rows} rows of {width}", code="wrong-shape")
    values = np.frombuffer(plain, dtype="<f8").reshape(rows, width)
    if not np.isfinite(values).all():
        raise VerificationFailed("the result has values that are not finite", code="not-finite")
    return values


def claimed_seconds(event: Event) -> float:
    """Core-seconds that a lessor says a batch took; 0 where it says nothing that can be added up."""
    try:
        seconds = float(event.attributes.get("computeseconds", "0"))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < math.inf else 0.0
