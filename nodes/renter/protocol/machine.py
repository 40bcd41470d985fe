"""The renter's protocol as a table of states and events. Pure.

Theory of operation. A job is one aggregate and moves through phases:

    preparing ──► ordering ──► running ──► assembling ──► completed
        └────────────┴────────────┴────────────┴──► failed

    preparing    data, program and options are examined and what each protection costs is predicted (activity `prepare`)
    ordering     the assessment chose a protection (A1, A2); the buy order waits for contracts (R1–R4)
    running      the rows are split (S1): each contract's subtask has a queue of batches and a bounded window under way.
                 A subtask is `keying` until one of its enclaves holds the subtask secret (E1), then `running`; it is
                 `lost` when its lessor stays silent or errs; its batches go to the others, or to a new buy order.
    assembling   every row has its result; parts are joined in order and the local program runs (H3, T3)

Batches are at-least-once, results exactly-once: the first accepted result of a batch counts, later equal ones are
ignored, later unequal ones are an incident. Everything that may fail for good ends the job with its cause.

`TABLE` says which handler serves an event in which phases; an event in another phase is late and only noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from nodes.machine import TIMER_FIRED, Context, Records, Refused, Step
from nodes.renter.protocol import batches, ending, handshakes, starting
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import INTERNAL_TYPES, RECORD_TYPES, ContractRecord
from schemas.events import CATALOGUE, Event, Role
from schemas.ids import hub_address, hub_of

Handler = Callable[[RenterConfig, Draft, Event], None]

_LIVE: Final = frozenset({"preparing", "ordering", "running", "assembling"})
_ENDED: Final = frozenset({"completed", "failed"})
_NEW: Final = frozenset({""})
UNDELIVERED: Final = "undelivered"
"""Aggregate for notices that belong to no job."""

TABLE: Final[Mapping[str, tuple[frozenset[str], Handler]]] = MappingProxyType(
    {
        "job.submitted": (_NEW, starting.submitted),
        "job.cancelled": (_LIVE, starting.cancelled),
        "job.prepared": (frozenset({"preparing"}), starting.prepared),
        "job.rejected": (frozenset({"preparing"}), starting.rejected),
        "contract.signed": (_LIVE | _ENDED, starting.contract_signed),
        "order.buy.matched": (frozenset({"ordering", "running"}), starting.matched),
        "order.buy.refused": (frozenset({"ordering", "running"}), starting.order_refused),
        "subtask.requested": (_LIVE | _ENDED, handshakes.requested),
        "key.offered": (frozenset({"running"}), handshakes.offered),
        "evidence.accepted": (frozenset({"running"}), handshakes.evidence_accepted),
        "evidence.rejected": (frozenset({"running"}), handshakes.evidence_rejected),
        "key.confirmed": (frozenset({"running"}), handshakes.confirmed),
        "key.refused": (frozenset({"running"}), handshakes.refused),
        "batch.sent": (frozenset({"running"}), batches.sent),
        "batch.unsendable": (frozenset({"running"}), batches.unsendable),
        "batch.failed": (frozenset({"running"}), batches.batch_failed),
        "result.accepted": (frozenset({"running", "assembling", "completed"}), batches.result_accepted),
        "result.refused": (frozenset({"running"}), batches.result_refused),
        "job.assembled": (frozenset({"assembling"}), ending.assembled),
        "job.spoiled": (frozenset({"assembling"}), ending.spoiled),
        "receipt.countersigned": (frozenset({"assembling", "completed"}), ending.receipt_countersigned),
        "activity.failed": (_LIVE, batches.activity_failed),
        "publish.failed": (_LIVE, batches.publish_failed),
        TIMER_FIRED: (_LIVE, batches.timer_fired),
    }
)


class RenterMachine:
    """See the module's theory; `config` holds the public keys and policies of this renter."""

    name: Role = "renter"
    record_types = RECORD_TYPES
    internal_types = INTERNAL_TYPES

    def __init__(self, config: RenterConfig) -> None:
        self.config = config

    def aggregate_of(self, event: Event) -> str:
        """The job that the event is about.

        Raises:
            Refused: the renter has no use for this event type.
        """
        if event.type == "delivery.failed":
            return UNDELIVERED
        if event.type not in TABLE:
            raise Refused("not-for-renter", f"a renter does not take {event.type}")
        job = _job_in(event.data)
        return job or event.subject

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """Own key (users of this organisation), hubs' keys, and keys of lessors under contract for this job."""
        if event.source == self.config.me:
            return self.config.key
        if event.source == hub_address(hub_of(event.source)):
            return self.config.hub_keys.get(event.source)
        for key, record in records.items():
            if not key.startswith("contract/"):
                continue
            if isinstance(record, ContractRecord) and record.contract.lessor == event.source:
                return record.contract.lessor_key
        return None

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        """What follows from this event.

        Raises:
            Refused: the event cannot be meant for this job.
        """
        draft = Draft(records, context)
        if event.type == "delivery.failed":
            draft.note("undelivered", "a hub could not route a message", **_plain(event.data))
            return draft.step()
        self._check_sender(event)
        phases, handler = TABLE[event.type]
        phase = draft.job.phase if "job" in records else ""
        if phase not in phases:
            if not phase:
                raise Refused("unknown-job", f"{event.type} names a job that is not here")
            draft.note("late", f"{event.type} came while the job was {phase}")
            return draft.step()
        handler(self.config, draft, event)
        return draft.step()

    def _check_sender(self, event: Event) -> None:
        """Users sign as the renter itself, hub news comes from the own hub; lessors are checked per subtask."""
        row = CATALOGUE.get(event.type)
        if row is None:
            return
        own_hub = hub_address(hub_of(self.config.me))
        expected = {"user": self.config.me, "hub": own_hub}.get("|".join(row.sender), event.source)
        if event.source != expected:
            raise Refused("wrong-role", f"{event.source} may not send {event.type}")


def _job_in(data: Struct | None) -> str:
    """The job id that an event's data names, wherever it stands."""
    paths = (("job",), ("spec", "id"), ("batch", "job"), ("receipt", "job"), ("contract", "buy", "job"))
    for path in paths:
        value: Any = data
        for name in path:
            value = getattr(value, name, None)
        if isinstance(value, str):
            return value
    return ""


def _plain(data: Struct | None) -> dict[str, Any]:
    return {name: getattr(data, name) for name in data.__struct_fields__} if data is not None else {}
