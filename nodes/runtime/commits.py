"""Commits what a machine decides: several events in one transaction, a failing one alone; the outbox gets the rows.

Nothing else of a node writes its store's records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec import Struct

from nodes.identity import Identity, verify
from nodes.machine import TIMER_FIRED, Machine, TimerFired, own_event
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import NOTHING, Kind, Span, carrying, current
from nodes.runtime.decider import Decider, Given
from nodes.runtime.outbox import Outbox
from nodes.runtime.outcomes import Teller
from nodes.runtime.quiet import Quiet
from nodes.runtime.telling import tell
from nodes.store.errors import StoreClosed, StoreFailed
from nodes.store.port import OUTBOX_LEASE_SECONDS, Decide, Decision, Input, OutboxRow, Outcome, Store, Timer, View
from schemas import codec
from schemas.codec import Received
from schemas.ids import derive_id

ENTROPY_DRAWS: Final = 64
"""Events per draw of entropy: a system call per event is dear."""
_ENTROPY_BYTES: Final = 32
_INTERNAL: Final[Kind] = "internal"
_CONSUMER: Final[Kind] = "consumer"
MACHINE_FAILED: Final = "machine-failed"
"""The reason for which an event is refused on which the machine has a bug."""


class Commits:
    """Every event of one process goes through `apply`, whether it came by wire, by timer or from an activity."""

    def __init__(
        self,
        machine: Machine,
        store: Store,
        identity: Identity,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        owner: str,
        quiet: Quiet,
        hearing_since: Callable[[], float],
        telemetry: Telemetry | None = None,
    ) -> None:
        """See `Runtime`; `owner` names this process in the store."""
        self._telemetry = telemetry or Telemetry()
        self._hearing_since = hearing_since
        self._machine = machine
        self._store = store
        self._me = identity.address
        self._clock = clock
        self._entropy = entropy
        self._pool: list[bytes] = []
        self._owner = owner
        self._decide = Decider(machine, identity.address, identity.sign, verify)
        self._quiet = quiet
        self._teller = Teller(machine.name)
        self._log = structlog.get_logger(__name__).bind(node=identity.address, role=machine.name)
        self.outbox: Outbox
        """Carries out what was committed; set before the first event."""
        self.timer_set: Callable[[float], None]
        """Told when a timer that was set is due, seconds since 1970; set before the first event."""

    # ---------------------------------------------------------------- inputs

    def arrived(self, received: Received, aggregate: str) -> Input:
        """An event from outside, for this aggregate."""
        given = Given(received.event, self._clock(), self._fresh(), received)
        return Input(received.event.id, aggregate, given, content=hashlib.sha256(received.signed).hexdigest())

    def fired(self, timer: Timer) -> Input:
        """A timer that is due."""
        name = derive_id("timer", timer.aggregate, timer.name, timer.serial)
        data = TimerFired(name=timer.name, at=timer.due_at, hearing_since=self._hearing_since())
        return Input(name, timer.aggregate, self._internal(name, TIMER_FIRED, data, timer.aggregate, ""), timer=timer)

    def outcomes(self, row: OutboxRow, events: Sequence[tuple[str, Struct]]) -> list[Input]:
        """What came of an effect; the row is done with the last of its events."""
        inputs = []
        for index, (event_type, data) in enumerate(events):
            name = derive_id("outcome", row.event_id, row.index, index)
            given = self._internal(name, event_type, data, row.aggregate, row.event_id)
            completes = row.seq if index == len(events) - 1 else None
            inputs.append(Input(name, row.aggregate, given, completes=completes))
        return inputs

    def submitted(self, event_type: str, data: Struct, aggregate: str, event_id: str, cause: str) -> Input:
        """An internal event of a consumer beside the loop; raises MalformedEvent."""
        checked = codec.decode_data(self._machine.internal_types[event_type], codec.encode_data(data))
        name = event_id or derive_id("internal", self._fresh().hex())
        return Input(name, aggregate, self._internal(name, event_type, checked, aggregate, cause))

    def _internal(self, event_id: str, event_type: str, data: Struct, aggregate: str, cause: str) -> Given:
        now = self._clock()
        event = own_event(self._me, event_type, data, id=event_id, time=now, subject=aggregate, cause=cause)
        return Given(event, now, self._fresh())

    def _fresh(self) -> bytes:
        """32 fresh random bytes, each given out once."""
        if not self._pool:
            drawn = self._entropy(_ENTROPY_BYTES * ENTROPY_DRAWS)
            self._pool = [drawn[n : n + _ENTROPY_BYTES] for n in range(0, len(drawn), _ENTROPY_BYTES)]
        return self._pool.pop()

    # ---------------------------------------------------------------- transactions

    async def apply(self, inputs: Sequence[Input]) -> list[Outcome]:
        """One transaction; if the machine fails on one of them, each alone, and that one is refused.

        Raises:
            StoreFailed, StoreClosed: nothing was committed.
        """
        with self._quiet.busy():
            spans = [self._begin(item) for item in inputs]
            try:
                outcomes = await self._apply(inputs, spans)
            except BaseException as error:
                for span in spans:
                    span.end(type(error).__name__)
                raise
            for item, outcome, span in zip(inputs, outcomes, spans, strict=True):
                self._note(item, outcome)
                span.end(outcome.code)
            return outcomes

    async def _apply(self, inputs: Sequence[Input], spans: Sequence[Span]) -> list[Outcome]:
        try:
            return await self._commit(inputs, spans)
        except (StoreFailed, StoreClosed):
            raise
        except Exception:
            return [await self._apply_alone(item, span) for item, span in zip(inputs, spans, strict=True)]

    async def _apply_alone(self, item: Input, span: Span) -> Outcome:
        try:
            return (await self._commit([item], [span]))[0]
        except (StoreFailed, StoreClosed):
            raise
        except Exception as error:
            self._log.exception("the machine failed", id=item.event_id, aggregate=item.aggregate)
            await self._give_up(item)
            return Outcome("refused", MACHINE_FAILED, type(error).__name__)

    async def _give_up(self, item: Input) -> None:
        """An internal event on which the machine fails is not tried for ever."""
        if item.timer is not None or item.completes is not None:
            refusal = MACHINE_FAILED, "see the log"
            await self._commit([item], [NOTHING], lambda _, __: Decision(self._clock(), refusal=refusal))

    async def _commit(
        self, inputs: Sequence[Input], spans: Sequence[Span], decide: Decide | None = None
    ) -> list[Outcome]:
        decided: dict[str, Decision] = {}

        def deciding(item: Input, view: View) -> Decision:
            decision = decided[item.event_id] = (decide or self._decide)(item, view)
            return decision

        with self._telemetry.metrics.storing("apply"):
            outcomes = await self._store.apply(
                inputs,
                deciding,
                owner=self._owner,
                lease_until=self._clock() + OUTBOX_LEASE_SECONDS,
                performs_max=self.outbox.performs_room,
            )
        for item, outcome, span in zip(inputs, outcomes, spans, strict=True):
            with carrying(span.traceparent):
                self.outbox.accept(outcome.claimed)
            if outcome.status == "applied":
                given: Given = item.payload
                for line in self._teller.lines(given.event, decided[item.event_id].effects, item.aggregate):
                    tell(self._log, self._telemetry.metrics, line, span.traceparent)
            if outcome.unclaimed:
                self.outbox.room.set()
            if outcome.next_timer is not None:
                self.timer_set(outcome.next_timer)
        return outcomes

    def _begin(self, item: Input) -> Span:
        """A span for handling it: of what an event from outside is about, or of its aggregate."""
        given: Given = item.payload
        event, kind, subject, parent = given.event, _INTERNAL, item.aggregate, current()
        if given.received is not None:
            kind, subject, parent = _CONSUMER, event.subject, event.traceparent
        return self._telemetry.tracing.begin(
            f"handle {event.type}", subject, parent, kind, **{"sublet.from": event.source}
        )

    def _note(self, item: Input, outcome: Outcome) -> None:
        given: Given = item.payload
        what = {"id": item.event_id, "type": given.event.type, "cause": given.event.cause, "aggregate": item.aggregate}
        if outcome.status == "refused":
            self._log.warning("refused", code=outcome.code, reason=outcome.reason, source=given.event.source, **what)
        else:
            self._log.debug(outcome.status, **what)
