"""How many jobs of a node's store are in which phase. An ended one is looked at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from nodes.partner.protocol.records import Part
from nodes.partner.protocol.states import ENDED as ENDED_PARTS
from nodes.renter.protocol.records import JOB_PREFIX, Progress
from nodes.renter.protocol.states import ENDED as ENDED_JOBS
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from nodes.views.report import UNREADABLE


@dataclass(slots=True)
class Phases:
    """Of a renter's jobs, or of a partner's parts in jobs."""

    store: Store
    _ended: dict[str, str] = field(default_factory=dict)

    async def count(self) -> Mapping[str, int]:
        """Jobs by phase, as of now."""
        names = await self.store.aggregates(JOB_PREFIX)
        self._ended = {name: self._ended[name] for name in names if name in self._ended}
        return Counter([self._ended.get(name) or await self._look(name) for name in names])

    async def _look(self, name: str) -> str:
        try:
            records = await self.store.get(name, ("progress", "part"))
        except RecordUnreadable:
            return UNREADABLE
        match records.get("progress") or records.get("part"):
            case Progress(phase=phase) if phase in ENDED_JOBS:
                self._ended[name] = phase
            case Part(phase=part) if part in ENDED_PARTS:
                self._ended[name] = part
            case Progress(phase=phase):
                return phase
            case Part(phase=part):
                return part
        return self._ended.get(name, "new")
