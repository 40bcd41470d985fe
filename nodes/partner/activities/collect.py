"""Collects sealed results (J2): from lessors under contract only, summed up while still encrypted, told to the machine.

Results are bulk data, so they do not pass through the store. One is acknowledged after the machine has committed that
it is taken: a worker killed before that gets it again.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any, Final, Protocol

from broker.names import queue_name
from broker.port import Broker, Delivery
from nodes.crew.crew import survived
from nodes.crew.errors import HandLost
from nodes.joint.aligner import Aligner
from nodes.joint.exchange import CHUNKS
from nodes.joint.sides import Incoming
from nodes.machine import Refused
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.moments import checked
from nodes.partner.activities.scores import scored
from nodes.partner.activities.services import Services
from nodes.partner.activities.sums import NO_ROOM, Made, partial_sums
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import ContractRecord, Part, PartialRefused, PartialTaken, Round, RoundAnswered
from nodes.partner.protocol.states import ENDED
from nodes.runtime.consuming import consume_for_ever
from nodes.runtime.door import Door, Later
from nodes.runtime.hearing import Hearing
from nodes.whole import write_whole
from schemas import codec
from schemas.errors import BadInput
from schemas.events import Event
from schemas.jobs import Batch

RESULT_PREFETCH: Final = 8
"""Results computed on or waiting for it at a time."""
AHEAD_SECONDS_MAX: Final = 30.0
"""A result may come this long before the contract or round that it belongs to: order is not assumed."""


class Submit(Protocol):
    """`Runtime.submit`: inject an internal event; returns after it is committed."""

    async def __call__(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch, and whether its result is still wanted."""

    batch: Batch
    wanted: bool
    part: Part
    result_bits: int


@dataclass(frozen=True, slots=True)
class Collector:
    """The consumer of the partner's result queue."""

    services: Services
    desk: Desk
    broker: Broker
    door: Door
    submit: Submit
    aligner: Aligner
    hearing: Hearing

    async def run(self) -> None:
        """Consume until cancelled; results are worked on concurrently, each bounded by the prefetch."""
        await consume_for_ever(self.broker, queue_name(self.services.me, "result"), RESULT_PREFETCH, self._serve)

    async def _serve(self, delivery: Delivery) -> None:
        if self.hearing.is_echo(delivery.message):
            self.hearing.heard()
            await self.door.acknowledge(delivery)
            return
        await self.door.serve(delivery, self._sender, self._accept)

    async def _sender(self, event: Event) -> tuple[bytes, _Sent | Incoming]:
        """The sender's key, once it is sure that it may send this; raises Refused or Later."""
        return await (self.aligner.sender(event) if event.type in CHUNKS else self._lessor(event))

    async def _accept(self, event: Event, known: _Sent | Incoming) -> None:
        if isinstance(known, _Sent):
            await self._sum_up(event, known)
            return
        try:
            outcome = await self.aligner.accept(event, known)
        except PartGone:
            return
        if outcome is not None:
            await self.submit(*outcome, known.job, event_id=f"arrived/{event.id}")

    async def _lessor(self, event: Event) -> tuple[bytes, _Sent]:
        """The lessor's key, once it is sure that it is under a contract of this job; raises Refused or Later."""
        batch = codec.batch_of(event)
        keys = ("part", f"contract/{batch.contract}", f"round/{batch.round}")
        records = await self.services.store.get(batch.job, keys)
        part, contract, current = (records.get(key) for key in keys)
        if not isinstance(part, Part):
            raise Refused("unknown-job", f"no part in {batch.job} here")
        if part.phase in ENDED:
            raise Refused("ended", f"the part in {batch.job} is {part.phase}")
        if not isinstance(contract, ContractRecord):
            raise self._ahead(event) or Refused("no-contract", f"{event.source} has no contract of this job")
        if contract.contract.lessor != event.source:
            raise Refused("no-contract", f"{event.source} is not the lessor of {batch.contract}")
        if not isinstance(current, Round):
            raise self._ahead(event) or Refused("unknown-round", f"round {batch.round} was not opened")
        if batch.first_row + batch.rows > part.rows:
            raise Refused("wrong-batch", f"batch {batch.batch} has rows after the last of {part.rows}")
        return contract.contract.lessor_key, _Sent(batch, current.phase == "open", part, current.result_bits)

    async def _sum_up(self, event: Event, sent: _Sent) -> None:
        if not sent.wanted:
            return
        batch = sent.batch
        try:
            made = await survived(lambda: self._made(batch, bytes(event.body), sent))
        except PartGone:
            return
        except BadInput:  # no result of this round can be summed up
            spoiled = RoundAnswered(round=batch.round, code="no-room", reason=NO_ROOM)
            await self.submit("round.made", spoiled, batch.job, event_id=f"sealed/{event.id}")
            return
        except HandLost as error:
            made = Made(code="ciphertext-invalid", reason=str(error))
        if made.code:
            await self._refuse(event, batch, made)
            return
        await self._keep(event, batch, made.body or bytes(event.body))

    async def _made(self, batch: Batch, body: bytes, sent: _Sent) -> Made:
        """What is kept of a result: partial sums, or rows with their scores; rows of a model are kept as they came.

        Raises:
            PartGone, BadInput, HandLost.
        """
        crew, part = self.services.crew, sent.part
        if part.algorithm is not None:  # summed up when all are in
            return (await crew.call(checked, await self.desk.sealing(batch.job), body, batch.rows)).result
        if part.score:
            rows = slice(batch.first_row, batch.first_row + batch.rows)
            own = await self.desk.scores(batch.job, rows, sent.result_bits)
            return (await crew.call(scored, await self.desk.sealing(batch.job), body, own)).result
        at_hand = await self.desk.round(batch.job, batch.round)
        return (await crew.call(partial_sums, at_hand.kit, body, batch.rows)).result

    async def _refuse(self, event: Event, batch: Batch, made: Made) -> None:
        refused = PartialRefused(batch=batch, lessor=event.source, code=made.code, reason=made.reason)
        await self.submit("partial.refused", refused, batch.job, event_id=f"sealed/{event.id}")

    async def _keep(self, event: Event, batch: Batch, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        path = self.services.folder(batch.job).partial(batch.round, batch.batch, digest)
        await asyncio.to_thread(write_whole, path, body)
        taken = PartialTaken(batch=batch, lessor=event.source, digest=digest)
        await self.submit("partial.taken", taken, batch.job, event_id=f"sealed/{event.id}")

    def _ahead(self, event: Event) -> Later | None:
        """What to raise while the contract or round may still be on its way."""
        if self.services.clock() - event.time < AHEAD_SECONDS_MAX:
            return Later(f"a result of {event.source} came before its contract or round")
        return None
