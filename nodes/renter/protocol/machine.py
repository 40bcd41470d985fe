"""The renter's protocol as a table: which handler serves an event in which phases of its job. Pure.

What a job and its subtasks may become is in `states.py`, with the theory on top. An event in another phase than its
row names is late and only noted. Batches are at-least-once, results exactly-once: the first accepted result of a batch
counts, later equal ones are ignored, later unequal ones are an incident.

Handlers import downwards only: retention, starting, handshakes, batches, rounds → joining, leases → faults → windows,
subtasks → ending → partnership, market.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from nodes import receipts
from nodes.draft import data_of
from nodes.joint.exchange import ChunkChanged
from nodes.ledger import LedgerExceeded
from nodes.machine import TIMER_FIRED, Context, Records, Refused, Step, TimerFired
from nodes.records import as_record_set
from nodes.renter.protocol import (
    batches,
    ending,
    faults,
    handshakes,
    joining,
    leases,
    market,
    retention,
    rounds,
    starting,
)
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.market import OverBudget
from nodes.renter.protocol.outcomes import INTERNAL_TYPES
from nodes.renter.protocol.records import RECORD_TYPES, Agreement, ContractRecord
from nodes.renter.protocol.states import ENDED, LIVE, NEW
from schemas.contracts import Settlement
from schemas.events import Event, Role
from schemas.ids import hub_address, hub_of

Handler = Callable[[Draft, Event], None]

UNDELIVERED: Final = "undelivered"
"""Aggregate for notices that belong to no job."""


def _timer_fired(draft: Draft, event: Event) -> None:
    """A timer is named `<what>` or `<what>/<subtask>`."""
    what, _, subtask = data_of(event, TimerFired).name.partition("/")
    if draft.phase in ENDED:
        if what == ending.KEEP:
            retention.due(draft)
    elif what == "lease":
        leases.timer_fired(draft, subtask)
    elif what == "match" and draft.job.renewing:
        leases.order_refused(draft, "the hub did not answer in time")
    else:
        rounds.timer_fired(draft, event)


TABLE: Final[Mapping[str, tuple[frozenset[str], Handler]]] = MappingProxyType(
    {
        "job.submitted": (NEW, starting.submitted),
        "job.cancelled": (LIVE, starting.cancelled),
        "job.deleted": (LIVE | ENDED, retention.deleted),
        "job.kept": (ENDED, retention.kept),
        "job.prepared": (frozenset({"preparing"}), starting.prepared),
        "mask.made": (frozenset({"joining"}), joining.masked),
        "chunk.taken": (frozenset({"joining"}), joining.taken),
        "chunk.returned": (frozenset({"joining"}), joining.returned),
        "chunk.refused": (frozenset({"joining"}), joining.refused),
        "ids.matched": (frozenset({"joining"}), joining.matched),
        "rows.omitted": (frozenset({"joining", "ordering", "running"}), joining.omitted),
        "job.joined": (frozenset({"joining"}), joining.joined),
        "contract.signed": (LIVE | ENDED, starting.contract_signed),
        "order.buy.matched": (frozenset({"ordering", "running"}), starting.matched),
        "order.buy.refused": (frozenset({"ordering", "running"}), starting.order_refused),
        "contract.ended": (LIVE, leases.contract_ended),
        "link.reported": (LIVE, market.link_reported),
        "subtask.requested": (LIVE | ENDED, handshakes.requested),
        "pieces.requested": (frozenset({"running"}), handshakes.pieces_requested),
        "key.offered": (frozenset({"running"}), handshakes.offered),
        "evidence.accepted": (frozenset({"running"}), handshakes.evidence_accepted),
        "evidence.rejected": (frozenset({"running"}), handshakes.evidence_rejected),
        "key.confirmed": (frozenset({"running"}), handshakes.confirmed),
        "key.refused": (frozenset({"running"}), handshakes.refused),
        "batch.sent": (frozenset({"running"}), batches.sent),
        "batch.unsent": (frozenset({"running"}), faults.batch_unsent),
        "batch.failed": (frozenset({"running"}), leases.batch_failed),
        "result.accepted": (frozenset({"running", "assembling", "completed"}), batches.result_accepted),
        "result.held": (frozenset({"running"}), batches.held),
        "result.refused": (frozenset({"running"}), faults.result_refused),
        "introduction.made": (frozenset({"agreeing"}), rounds.introduced),
        "introduction.refused": (frozenset({"agreeing"}), rounds.not_introduced),
        "joint.deferred": (frozenset({"agreeing"}), rounds.deferred),
        "work.continued": (frozenset({"agreeing", "joining", "running"}), rounds.continued),
        "joint.accepted": (frozenset({"agreeing"}), rounds.accepted),
        "joint.ended": (LIVE, rounds.ended),
        "round.planned": (frozenset({"running"}), rounds.planned),
        "rounds.done": (frozenset({"running"}), rounds.rounds_done),
        "batch.forwarded": (frozenset({"running"}), rounds.forwarded),
        "batch.taken": (frozenset({"running"}), rounds.taken),
        "batch.rejected": (frozenset({"running"}), rounds.rejected),
        "output.accepted": (frozenset({"running"}), rounds.output_accepted),
        "sums.advanced": (frozenset({"running"}), rounds.advanced),
        "norm.told": (frozenset({"running"}), rounds.norm_told),
        "output.refused": (frozenset({"running"}), rounds.output_refused),
        "job.assembled": (frozenset({"assembling"}), ending.assembled),
        "job.spoiled": (LIVE, ending.spoiled),
        "receipt.countersigned": (
            frozenset({"running", "assembling", "completed", "failed"}),
            ending.receipt_countersigned,
        ),
        "activity.failed": (LIVE, faults.activity_failed),
        "publish.failed": (LIVE, faults.publish_failed),
        "event.refused": (LIVE | ENDED, faults.not_believed),
        "delivery.failed": (NEW, faults.delivery_failed),
        TIMER_FIRED: (LIVE | ENDED, _timer_fired),
    }
)

LEAVES_FILES: Final = frozenset(
    {
        "chunk.taken",
        "chunk.returned",
        "ids.matched",
        "job.joined",
        "round.planned",
        "output.accepted",
        "result.accepted",
        "activity.failed",
    }
)
"""Outcomes of what writes files. It may have done so after the end of the job, and the forgetting that came with it."""


class RenterMachine:
    """A `Machine` whose aggregates are jobs; `config` holds the public keys and policies of this renter."""

    name: Role = "renter"
    record_types = RECORD_TYPES
    internal_types = INTERNAL_TYPES

    def __init__(self, config: RenterConfig) -> None:
        self.config = config

    def aggregate_of(self, event: Event) -> str:
        if event.type == "delivery.failed":
            return UNDELIVERED
        if isinstance(event.data, Settlement):
            return receipts.aggregate_of(event.data)
        return _job_in(event.data) or event.subject

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """Own key (users of this organisation), hubs' keys, and keys of the job's lessors and partner."""
        if event.source == self.config.me:
            return self.config.key
        if event.source == hub_address(hub_of(event.source)):
            return self.config.hub_keys.get(event.source)
        records = as_record_set(records)
        agreement = records.get("agreement")
        if isinstance(agreement, Agreement) and agreement.introduction.partner == event.source:
            return agreement.introduction.partner_key
        for record in map(records.get, records.under("contract")):
            if isinstance(record, ContractRecord) and record.contract.lessor == event.source:
                return record.contract.lessor_key
        return None

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        draft = Draft(self.config, records, context)
        if receipts.concerns(event):
            return receipts.handle(draft, event)
        phases, handler = TABLE[event.type]
        if draft.phase in ENDED and event.type in LEAVES_FILES:
            ending.forget(draft)
        if draft.phase not in phases:
            if draft.phase == "new":
                raise Refused("unknown-job", f"{event.type} names a job that is not here")
            draft.note("late", f"{event.type} came while the job was {draft.phase}")
            return draft.step()
        try:
            handler(draft, event)
        except (LedgerExceeded, ChunkChanged, OverBudget) as error:
            draft = Draft(self.config, records, context)
            ending.fail(draft, error.code, error.reason)
        return draft.step()


def _job_in(data: Struct | None) -> str:
    """The job id that an event's data names, wherever it stands."""
    paths = (
        ("job",),
        ("spec", "id"),
        ("batch", "job"),
        ("receipt", "job"),
        ("contract", "buy", "job"),
        ("introduction", "job"),
    )
    for path in paths:
        value: Any = data
        for name in path:
            value = getattr(value, name, None)
        if isinstance(value, str):
            return value
    return ""
