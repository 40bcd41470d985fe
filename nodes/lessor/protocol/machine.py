"""The protocol of one worker of a lessor as a table of events and handlers. Pure.

Theory of operation. A worker has one aggregate, in memory alone: its sessions with subtasks, and the programs and keys
they need. It takes a lane, offers compute, and waits.

    renter ──subtask.announced, batch.dispatched──► worker      of a subtask that it does not know: it asks
    worker ──subtask.requested──► renter                        on its lane, where all of this comes:
    renter ──subtask.assigned──► worker ──pieces.requested──► renter                         until it has all files
    renter ──program.published, public-key.published──► worker
    worker ──key.offered──► renter ──key.sealed──► worker ──key.confirmed──► renter           where enclaves compute
    renter ──batch.dispatched──► worker ──batch.completed, batch.failed──► renter
    renter ──subtask.completed──► worker ──receipt.countersigned──► renter
    worker ──contract.used, contract.closed──► the other workers of its lessor, on their lanes

What a session goes through, `nodes/lessor/protocol/states.py` has in a table. What takes time or a process is an
activity of the shell (`nodes/lessor/worker.py`); its outcome comes back as an internal event:

    build     compile the program for ciphertexts          computer.ready, computer.failed
    offer     start an enclave and get its evidence        evidence.made, computer.failed
    accept    let the enclave open the renter's seal       seal.accepted, computer.failed
    compute   one batch; the result goes to the renter,    batch.unfit when there is none
              or sealed to its partner (J2)
    close     end what computes for a session
    keep-receipt   write a receipt to this lessor's folder
    resolve   whoever waits for a session goes on, or is told why not

A worker that is killed loses nothing: what it had not acknowledged goes to another, which asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nodes.draft import data_of
from nodes.lessor.protocol import closing, idleness, market, opening, serving
from nodes.lessor.protocol.draft import Draft, Worker
from nodes.lessor.protocol.records import INTERNAL_TYPES, RECORD_TYPES, Closed, Session
from nodes.machine import TIMER_FIRED, Context, Records, Step, TimerFired
from schemas import codec
from schemas.events import (
    DeliveryFailed,
    Event,
    EventRefused,
    Role,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskCompleted,
    SubtaskRefused,
)
from schemas.ids import hub_address, hub_of

Handler = Callable[[Draft, Event], None]
AGGREGATE: Final = "worker"


def _started(draft: Draft, event: Event) -> None:
    market.begin(draft)
    serving.watch(draft)


def _timer_fired(draft: Draft, event: Event) -> None:
    """A timer is named `<what>` or `<what>/<subtask>`."""
    what, _, subtask = data_of(event, TimerFired).name.partition("/")
    TIMERS[what](draft, subtask)


def _undelivered(draft: Draft, event: Event) -> None:
    data = data_of(event, DeliveryFailed)
    draft.note("undelivered", f"{data.type} did not reach {data.to}: {data.reason}")


def _not_believed(draft: Draft, event: Event) -> None:
    data = data_of(event, EventRefused)
    draft.note("not-believed", f"{event.source}: {data.reason}", type=data.type, code=data.code)


TIMERS: Final[Mapping[str, Callable[[Draft, str], None]]] = MappingProxyType(
    {"offer": market.offer, "sweep": serving.swept, "open": opening.overdue}
)
ANSWERS: Final = frozenset(
    {"subtask.assigned", "subtask.refused", "program.published", "public-key.published", "key.sealed"}
)
"""What a renter sends to a lane because a worker asked; each is about the subtask that its subject names."""
TABLE: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "worker.started": _started,
        "worker.ending": market.withdraw,
        "contract.signed": idleness.signed,
        "contract.used": idleness.told,
        "contract.ended": closing.ended,
        "contract.closed": closing.told,
        "subtask.announced": opening.announced,
        "session.wanted": opening.wanted,
        "subtask.assigned": opening.assigned,
        "subtask.refused": opening.refused,
        "program.published": opening.published,
        "public-key.published": opening.published,
        "computer.ready": opening.ready,
        "computer.failed": opening.failed,
        "evidence.made": opening.evidence_made,
        "key.sealed": opening.sealed,
        "seal.accepted": opening.accepted,
        "batch.dispatched": serving.dispatched,
        "batch.unfit": serving.unfit,
        "batch.returned": closing.returned,
        "subtask.completed": closing.completed,
        "event.refused": _not_believed,
        "delivery.failed": _undelivered,
        TIMER_FIRED: _timer_fired,
    }
)


class LessorMachine:
    """A `Machine` with one aggregate; see the module's theory."""

    name: Role = "lessor"
    record_types = RECORD_TYPES
    internal_types = INTERNAL_TYPES

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def aggregate_of(self, event: Event) -> str:
        return AGGREGATE

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """The own hub's key, as configured; a renter's from the contract in the event, or in the open session.

        A contract in an event names its renter's key; that it binds anybody, the handler verifies.
        """
        config = self.worker.config
        if event.source == config.me:
            return config.key
        if (closed := self.closed(records, event)) is not None:
            return closed.renter_key or None
        if event.source == hub_address(hub_of(event.source)):
            return config.hub_keys.get(event.source)
        data = event.data
        if isinstance(data, SubtaskAnnounced | SubtaskAssigned):
            return data.terms.contract.renter_key
        if isinstance(data, SubtaskCompleted | SubtaskRefused):
            return data.contract.renter_key
        session = self._session(records, event)
        return session.terms.contract.renter_key if session is not None and session.terms else None

    def awaits_terms(self, records: Records, event: Event) -> bool:
        """Whether the sender was asked for terms that are not here yet: what it sends meanwhile cannot be verified."""
        session = self._session(records, event)
        return session is not None and session.terms is None

    def is_unawaited(self, records: Records, event: Event) -> bool:
        """Whether it answers what nobody here asked: the worker that had this lane before did, or a session has ended.

        Whoever takes the subtask up asks anew, so it is of no use to anybody.
        """
        return event.type in ANSWERS and f"session/{event.subject}" not in records

    def closed(self, records: Records, event: Event) -> Closed | None:
        """What is known of the ended contract that a batch is under; None where it is none."""
        if event.type != "batch.dispatched":
            return None
        found = records.get(f"closed/{codec.batch_of(event).contract}")
        return found if isinstance(found, Closed) else None

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        draft = Draft(self.worker, records, context)
        TABLE[event.type](draft, event)
        return draft.step()

    def _session(self, records: Records, event: Event) -> Session | None:
        """The session with the sender that an event without a contract of its own is about."""
        subtask = codec.batch_of(event).subtask if event.type == "batch.dispatched" else event.subject
        session = records.get(f"session/{subtask}")
        return session if isinstance(session, Session) and session.renter == event.source else None
