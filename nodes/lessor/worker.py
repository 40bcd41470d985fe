"""A lessor's worker: takes a lane, offers compute, computes batches. No store: any worker can take any message.

A batch is acknowledged after its result is confirmed by the broker; a worker killed before that leaves the batch to
another. What only one worker can use (a sealed key, the program it asked for) comes on its lane, of which it is the
exclusive consumer; the lane of a dead worker is free again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import structlog
from msgspec import Struct, structs

from broker.errors import QueueBusy
from broker.port import Broker, Consumer, Delivery, Message
from broker.topology import parse_key, queue_name, routing_key
from nodes.crew.crew import Crew
from nodes.enclave.host.process import EnclaveProcess
from nodes.identity import Identity, verify
from nodes.lessor.compute.port import Computed
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.errors import BatchRefused, SessionLate, SessionRefused
from nodes.lessor.protocol.offers import sell_order
from nodes.lessor.sessions import Sessions
from nodes.runtime import bulk
from nodes.runtime.consuming import consume_for_ever, handle_all
from schemas import codec, limits
from schemas.codec import Received
from schemas.contracts import Contract
from schemas.errors import BadConfig, SubletError, VerificationFailed
from schemas.events import (
    CATALOGUE,
    BatchFailed,
    ContractEnded,
    ContractSigned,
    Event,
    KeySealed,
    ReceiptCountersigned,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskCompleted,
    SubtaskRefused,
    batch_attributes,
)
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.jobs import Batch
from schemas.signing import struct_bytes

LATE_RETRY_SECONDS: Final = 1.0
LANE_PREFETCH: Final = 16
RENEWALS_PER_ORDER: Final = 3
"""A sell order is renewed this often before it would end."""
SWEEP_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LessorWorker:
    """One worker process of a lessor."""

    config: LessorConfig
    identity: Identity
    broker: Broker
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    worker: str
    start_enclave: Callable[[], Awaitable[EnclaveProcess]]
    crew: Crew
    """Computes on ciphertexts, one process per core."""
    enclaves: str
    """What its enclaves are, for the log: a software enclave is never called confidential."""
    lane: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the sell order is placed and all queues are consumed."""
    _sessions: Sessions | None = None
    _sent: int = 0

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            BadConfig: every lane is taken: the network description allows no more workers.
        """
        async with _FreeLane(self) as lane:
            self._sessions = Sessions(
                config=self.config,
                identity=self.identity,
                worker=self.worker,
                lane=self.lane,
                clock=self.clock,
                send=self._send,
                start_enclave=self.start_enclave,
                crew=self.crew,
            )
            log.info("worker ready", address=self.config.me, lane=self.lane, worker=self.worker, enclaves=self.enclaves)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._consume_lane(lane))
                    group.create_task(self._consume_queue("control", limits.CONTROL_PREFETCH, self._on_control))
                    group.create_task(self._consume_queue("batch", limits.BATCH_PREFETCH, self._on_batch))
                    group.create_task(self._offer())
                    group.create_task(self._sweep())
            finally:
                await self._sessions.close_all()

    # ---------------------------------------------------------------- queues

    async def _consume_queue(self, kind: str, prefetch: int, handle: Handler) -> None:
        queue = queue_name(self.config.me, kind)
        await consume_for_ever(self.broker, queue, prefetch, lambda delivery: self._settle(delivery, handle))

    async def _consume_lane(self, lane: Consumer) -> None:
        """Ends when the lane is lost for good: another worker may have it, and this one starts anew."""
        await handle_all(lane, lambda delivery: self._settle(delivery, self._on_lane))

    async def _settle(self, delivery: Delivery, handle: Handler) -> None:
        """Every delivery ends acknowledged, dead-lettered with its reason, or back in the queue."""
        try:
            await handle(await self._receive(delivery))
        except SessionLate as error:
            log.info("not ready for this yet", reason=str(error))
            await delivery.retry(LATE_RETRY_SECONDS)
        except VerificationFailed as error:
            log.warning("message refused", code=error.code, reason=str(error), key=delivery.message.key)
            await delivery.reject(error.code)
        except SessionRefused as error:
            log.warning("message refused", code=error.code, reason=str(error), key=delivery.message.key)
            await delivery.reject(error.code)
        except SubletError as error:
            log.warning("message back in the queue", error=str(error), key=delivery.message.key)
            await delivery.release()
        else:
            await delivery.ack()

    async def _receive(self, delivery: Delivery) -> Received:
        """Decode, and hold the delivered key against what the message says of itself."""
        received = await bulk.decode(delivery.message.headers, delivery.message.body)
        key, event = parse_key(delivery.message.key), received.event
        if key.dst != self.config.me or event.to != self.config.me:
            raise VerificationFailed(f"{event.id} is for {event.to}, not {self.config.me}", code="wrong-receiver")
        if key.src != event.source:
            raise VerificationFailed(f"{event.id} of {event.source} came from {key.src}", code="wrong-sender")
        return received

    # ---------------------------------------------------------------- control and lane

    async def _on_control(self, received: Received) -> None:
        event = received.event
        data = event.data
        if isinstance(data, SubtaskAnnounced):
            self._check(received, data.terms.contract)
            await self._the_sessions.get(data.terms.job, data.terms.subtask, event.source)
        elif isinstance(data, SubtaskCompleted):
            self._check(received, data.contract)
            await self._countersign(event, data)
        elif isinstance(data, ContractSigned):
            self._check_hub(received)
            log.info("contract signed", contract=data.contract.id, renter=data.contract.renter)
        elif isinstance(data, ContractEnded):
            self._check_hub(received)
            await self._the_sessions.close(derive_id("subtask", data.contract))
            log.info("contract ended", contract=data.contract, code=data.code)
        else:
            self._check_hub(received)
            log.warning("no use for this", type=event.type, source=event.source)

    async def _on_lane(self, received: Received) -> None:
        event, sessions = received.event, self._the_sessions
        data = event.data
        if isinstance(data, SubtaskAssigned):
            self._check(received, data.terms.contract)
            sessions.assigned(data)
            return
        if event.type in ("program.published", "public-key.published"):
            if not sessions.expects(event.subject, event.source):
                raise VerificationFailed(f"{event.source} sent what nobody asked for", code="not-asked-for")
            raw = bytes(event.body)
            sessions.keep_blob(hashlib.sha256(raw).hexdigest(), raw)
            return
        if isinstance(data, SubtaskRefused):
            if sessions.expects(data.subtask, event.source):
                await sessions.refused(data.subtask, data.code, data.reason)
            return
        contract = sessions.contract_of(event.subject)
        if contract is None or not isinstance(data, KeySealed):
            raise VerificationFailed(f"{event.type} does not belong on a lane now", code="not-asked-for")
        self._check(received, contract)
        sessions.sealed(data)

    async def _countersign(self, event: Event, data: SubtaskCompleted) -> None:
        receipt = data.receipt
        signed = struct_bytes(receipt)
        if receipt.contract != data.contract.id or not verify(
            data.contract.renter_key, signed, receipt.renter_signature
        ):
            raise VerificationFailed(f"{event.source} did not sign this receipt", code="bad-receipt")
        both = structs.replace(receipt, lessor_signature=self.identity.sign(signed))
        await self._the_sessions.close(receipt.subtask)
        await self._send("receipt.countersigned", event.source, receipt.job, ReceiptCountersigned(receipt=both))

    # ---------------------------------------------------------------- batches

    async def _on_batch(self, received: Received) -> None:
        event = received.event
        batch = codec.batch_of(event)
        session = await self._the_sessions.get(batch.job, batch.subtask, event.source)
        contract = session.terms.contract
        self._check(received, contract)
        if batch.contract != contract.id or batch.job != session.terms.job:
            raise VerificationFailed(f"batch {batch.batch} names another contract", code="wrong-contract")
        try:
            computed = await session.computer.compute(batch, bytes(event.body))
        except BatchRefused as error:
            log.warning("batch failed", code=error.code, reason=str(error), batch=batch.batch)
            if error.code.startswith("enclave-"):
                await self._the_sessions.close(batch.subtask)
            failed = BatchFailed(batch=batch, code=error.code, reason=str(error)[:2000], final=error.final)
            await self._send("batch.failed", event.source, batch.job, failed)
            return
        await self._publish_result(event.source, batch, computed)

    async def _publish_result(self, renter: Address, batch: Batch, computed: Computed) -> None:
        event = Event(
            id=derive_id("result", batch.job, batch.subtask, batch.batch, batch.attempt, self.worker),
            type="batch.completed",
            source=self.config.me,
            to=renter,
            time=self.clock(),
            subject=batch.job,
            body=computed.body,
            attributes=batch_attributes(batch) | {"computeseconds": f"{computed.core_seconds:.6f}"},
        )
        await self._publish(event)

    # ---------------------------------------------------------------- the market

    async def _offer(self) -> None:
        """Place the sell order, and renew it while this worker lives (R1)."""
        while True:
            order = sell_order(self.config, self.clock(), self.identity.sign)
            try:
                await self._send("order.sell.placed", hub_address(hub_of(self.config.me)), order.id, order)
                self.ready.set()
            except SubletError as error:
                log.warning("sell order not placed", error=str(error))
            await asyncio.sleep(self.config.order_seconds / RENEWALS_PER_ORDER)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._the_sessions.close_idle()

    # ---------------------------------------------------------------- signing and checking

    async def _send(self, event_type: str, to: Address | str, subject: str, data: Struct) -> None:
        self._sent += 1
        event = Event(
            id=derive_id("event", self.worker, self._sent),
            type=event_type,
            source=self.config.me,
            to=Address(to),
            time=self.clock(),
            subject=subject,
            data=data,
        )
        await self._publish(event)

    async def _publish(self, event: Event) -> None:
        headers, body = await bulk.encode(event, self.identity.sign)
        key = routing_key(event.to, self.config.me, CATALOGUE[event.type].kind)
        message = Message(key=key, body=body, headers=headers, id=event.id)
        await self.broker.publish(message, timeout_seconds=limits.PUBLISH_SECONDS_MAX)

    def _check(self, received: Received, contract: Contract) -> None:
        """The contract binds sender and receiver, and the sender signed."""
        self._the_sessions.check_contract(contract, received.event.source)
        if not verify(contract.renter_key, received.signed, received.signature):
            raise VerificationFailed(f"{received.event.source} did not sign {received.event.id}", code="bad-signature")

    def _check_hub(self, received: Received) -> None:
        hub = hub_address(hub_of(self.config.me))
        key = self.config.hub_keys.get(hub)
        if received.event.source != hub or key is None:
            raise VerificationFailed(f"{received.event.source} is not the hub of {self.config.me}", code="wrong-role")
        if not verify(key, received.signed, received.signature):
            raise VerificationFailed(f"{received.event.source} did not sign {received.event.id}", code="bad-signature")

    @property
    def _the_sessions(self) -> Sessions:
        assert self._sessions is not None
        return self._sessions


Handler = Callable[[Received], Awaitable[None]]


@dataclass(slots=True)
class _FreeLane:
    """Finds a lane without a consumer by trying to be its exclusive one."""

    owner: LessorWorker
    _consumer: Consumer | None = None

    async def __aenter__(self) -> Consumer:
        me, lanes = self.owner.config.me, self.owner.config.lanes
        for number in range(1, lanes + 1):
            kind = f"w{number}"
            consumer = self.owner.broker.consume(queue_name(me, kind), prefetch=LANE_PREFETCH, exclusive=True)
            try:
                entered = await consumer.__aenter__()
            except QueueBusy:
                continue
            self._consumer, self.owner.lane = consumer, kind
            return entered
        raise BadConfig(
            f"all {lanes} lanes of {me} have workers: raise `lanes` in the network description", field="lanes"
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await self._consumer.__aexit__(kind, error, trace)
