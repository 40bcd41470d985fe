"""Collects results: authenticate, decrypt, check, write the part file, tell the machine, acknowledge.

Results are bulk data, so they do not pass through the store; it learns that a batch was accepted, by digest.
A result is acknowledged after that commit: a worker killed before it gets the result again, finds the part file already
there, and the machine sees an equal duplicate.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from broker.port import Broker, Delivery
from broker.topology import parse_key, queue_name
from nodes import bulk
from nodes.consuming import consume_for_ever
from nodes.enclave import chunks, session
from nodes.enclave.chunks import RESULT, BatchContext
from nodes.identity import verify
from nodes.renter.auditing import ciphertext_batch
from nodes.renter.dispatching import EPOCH, Dispatcher, batch_context
from nodes.renter.parts import write_part
from nodes.renter.records import BatchRecord, ContractRecord, Facts, Job, ResultAccepted, ResultRefused, Subtask
from nodes.renter.workbench import JobAtHand
from schemas import codec
from schemas.contracts import Contract
from schemas.errors import SubletError, VerificationFailed
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
        except VerificationFailed as error:
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
        outcome_id = f"result/{event.id}"
        start = self.dispatcher.services.stopwatch()
        try:
            job, facts = await self.dispatcher.workbench.running(batch.job)
            result = await self._open(job, facts, batch, known.contract, bytes(event.body))
            digest = await asyncio.to_thread(write_part, job.folder, batch.batch, result)
        except VerificationFailed as error:
            refused = ResultRefused(
                batch=batch.batch, attempt=batch.attempt, owner=batch.subtask, code=error.code, reason=str(error)
            )
            await self.submit("result.refused", refused, batch.job, event_id=outcome_id)
            return
        accepted = ResultAccepted(
            batch=batch.batch,
            attempt=batch.attempt,
            owner=batch.subtask,
            digest=digest,
            decrypt_seconds=self.dispatcher.services.stopwatch() - start,
            compute_seconds=_seconds(event),
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
        self, job: JobAtHand, facts: Facts, batch: Batch, contract: Contract, body: bytes
    ) -> NDArray[np.float64]:
        """The result in plaintext, [rows or 1, K]; raises VerificationFailed."""
        workbench = self.dispatcher.workbench
        rows = 1 if facts.sum_rows else batch.rows
        if contract.protection == "homomorphic":
            ciphertexts = await ciphertext_batch(workbench, job, facts, batch)
            return await asyncio.to_thread(ciphertexts.decrypt, body, self.dispatcher.services.cores)
        secret = await workbench.subtask_secret(job, batch.subtask)
        seal = await self.dispatcher.seal_spec(job, facts, contract.protection)
        context = batch_context(batch, job.program.canonical, seal).result
        plain = await asyncio.to_thread(_unchunk, secret, batch, context, body)
        if seal is None:
            return _matrix(plain, rows, facts.width_out)
        key = await workbench.homomorphic_key(job)
        values = await asyncio.to_thread(
            key.decrypt, plain, rows, facts.width_out, threads=self.dispatcher.services.cores
        )
        return values.astype(np.float64) * 2.0**-facts.result_bits


def _unchunk(secret: bytes, batch: Batch, context: BatchContext, body: bytes) -> bytes:
    key = session.data_key(secret, batch.contract, batch.job, RESULT, EPOCH)
    return chunks.decrypt(key, context.digest(), body)


def _matrix(plain: bytes, rows: int, width: int) -> NDArray[np.float64]:
    if len(plain) != rows * width * 8:
        raise VerificationFailed(f"a result of {len(plain)} bytes is not {rows} rows of {width}", code="wrong-shape")
    values = np.frombuffer(plain, dtype="<f8").reshape(rows, width)
    if not np.isfinite(values).all():
        raise VerificationFailed("the result has values that are not finite", code="not-finite")
    return values


def _seconds(event: Event) -> float:
    try:
        return float(event.attributes.get("computeseconds", "0"))
    except ValueError:
        return 0.0
