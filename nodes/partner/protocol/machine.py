"""The partner's protocol as a table: which handler serves an event in which phases of its part in a job. Pure.

What a part may become is in `states.py`, with the theory on top. An event in another phase than its row names is late
and only noted. Sealed results come through another queue (`nodes/partner/activities/collect.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nodes.joint.exchange import ChunkChanged
from nodes.ledger import LedgerExceeded
from nodes.machine import TIMER_FIRED, Context, Records, Refused, Step
from nodes.partner.protocol import aligning, moments, requests, rounds
from nodes.partner.protocol.config import PartnerConfig
from nodes.partner.protocol.draft import Draft
from nodes.partner.protocol.records import INTERNAL_TYPES, RECORD_TYPES, Part, RoundAnswered
from nodes.partner.protocol.states import ENDED, LIVE, NEW
from schemas.events import Event, Role
from schemas.ids import hub_address, hub_of
from schemas.joint import JointRequested

Handler = Callable[[Draft, Event], None]

UNDELIVERED: Final = "undelivered"
"""Aggregate for notices that belong to no job."""
ACCEPTED: Final = frozenset({"accepted"})

TABLE: Final[Mapping[str, tuple[frozenset[str], Handler]]] = MappingProxyType(
    {
        "joint.requested": (NEW | LIVE | ENDED, requests.requested),
        "request.examined": (frozenset({"examining"}), requests.examined),
        "joint.approved": (frozenset({"waiting"}), requests.approved),
        "joint.declined": (LIVE, requests.declined),
        "joint.ended": (LIVE, requests.ended),
        "mask.made": (ACCEPTED, aligning.masked),
        "masks.sorted": (ACCEPTED, aligning.in_order),
        "chunk.taken": (ACCEPTED, aligning.taken),
        "chunk.returned": (ACCEPTED, aligning.returned),
        "chunk.refused": (ACCEPTED, aligning.refused),
        "ids.matched": (ACCEPTED, aligning.matched),
        "contract.shown": (ACCEPTED, rounds.contract_shown),
        "round.opened": (ACCEPTED, rounds.opened),
        "partial.taken": (ACCEPTED, rounds.taken),
        "partial.refused": (ACCEPTED, rounds.refused),
        "columns.made": (ACCEPTED, aligning.columns_made),
        "unit.summed": (ACCEPTED, moments.summed),
        "reply.given": (ACCEPTED, moments.replied),
        "weights.made": (ACCEPTED, moments.fitted),
        "round.made": (ACCEPTED, rounds.answered),
        "activity.failed": (LIVE, requests.activity_failed),
        "publish.failed": (LIVE | ENDED, requests.undelivered),
        "event.refused": (LIVE | ENDED, requests.not_believed),
        "delivery.failed": (NEW, requests.undelivered),
        TIMER_FIRED: (LIVE, requests.timer_fired),
    }
)

LEAVES_FILES: Final = frozenset(
    {
        "request.examined",
        "mask.made",
        "masks.sorted",
        "chunk.taken",
        "chunk.returned",
        "ids.matched",
        "columns.made",
        "partial.taken",
        "unit.summed",
        "round.made",
        "activity.failed",
    }
)
"""Outcomes of what writes files. It may have done so after the end of the part, and the erasing that came with it."""


class PartnerMachine:
    """A `Machine` whose aggregates are this partner's parts in jobs."""

    name: Role = "partner"
    record_types = RECORD_TYPES
    internal_types = INTERNAL_TYPES

    def __init__(self, config: PartnerConfig) -> None:
        self.config = config

    def aggregate_of(self, event: Event) -> str:
        if event.type == "delivery.failed":
            return UNDELIVERED
        return str(getattr(event.data, "job", "")) or event.subject

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """Own key (people of this organisation), hubs' keys, and the renter's by the introduction that it shows."""
        if event.source == self.config.me:
            return self.config.key
        if event.source == hub_address(hub_of(event.source)):
            return self.config.hub_keys.get(event.source)
        if isinstance(event.data, JointRequested):
            return event.data.introduction.renter_key
        part = records.get("part")
        return part.renter_key if isinstance(part, Part) and part.renter == event.source else None

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        draft = Draft(self.config, records, context)
        phases, handler = TABLE[event.type]
        if draft.phase not in phases:
            if draft.phase == "new":
                raise Refused("unknown-job", f"{event.type} names a job that is not here")
            draft.note("late", f"{event.type} came while the part was {draft.phase}")
            if draft.phase in ENDED and event.type in LEAVES_FILES:
                draft.erase(event.data.digest if isinstance(event.data, RoundAnswered) else "")
            return draft.step()
        try:
            handler(draft, event)
        except (LedgerExceeded, ChunkChanged) as error:
            draft = Draft(self.config, records, context)
            draft.end("failed", code=error.code, reason=error.reason)
        return draft.step()
