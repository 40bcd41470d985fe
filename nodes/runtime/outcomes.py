"""What of a committed decision its operators read in the log: one line per job, order and contract with its outcome,
and a warning for what went wrong, with its source and reason. Pure.

The machines say nothing of it: their effects tell. What is neither stands in the journal (`sublet job explain`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from nodes.machine import Effect, Note, Publish, TimerFired
from schemas.events import ContractEnded, Event, Role


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Where something came to its end, `what` did, by `outcome`."""

    text: str
    details: Mapping[str, Any]
    what: str = ""
    outcome: str = ""
    warns: bool = False


SENT: Final[Mapping[tuple[Role, str], tuple[str, str]]] = MappingProxyType(
    {
        ("hub", "order.buy.matched"): ("order", "matched"),
        ("hub", "order.buy.refused"): ("order", "refused"),
        ("hub", "contract.signed"): ("contract", "signed"),
        ("renter", "contract.ended"): ("contract", "ended"),
    }
)
"""By role and the type of what it sends."""
NOTED: Final[Mapping[tuple[Role, str], tuple[str, str]]] = MappingProxyType(
    {
        ("hub", "ended"): ("contract", "ended"),
        ("hub", "expired"): ("contract", "expired"),
        ("renter", "job-completed"): ("job", "completed"),
        ("renter", "job-failed"): ("job", "failed"),
        ("renter", "contract-ended"): ("contract", "ended"),
        ("lessor", "contract-signed"): ("contract", "signed"),
        ("lessor", "contract-ended"): ("contract", "ended"),
        ("partner", "part-finished"): ("part", "finished"),
        ("partner", "part-refused"): ("part", "refused"),
        ("partner", "part-withdrawn"): ("part", "withdrawn"),
        ("partner", "part-failed"): ("part", "failed"),
    }
)
"""By role and the kind of its note."""
TAKEN_BACK: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"order.buy.cancelled": ("order", "cancelled"), "order.sell.cancelled": ("sell order", "withdrawn")}
)
"""By the type of what a hub hears."""
_FAILURES: Final = frozenset({"failed", "refused", "withdrawn", "ended"})
"""What has a reason; other outcomes have a detail at most."""
WARNINGS: Final = frozenset(
    {
        "activity-failed",
        "batch-failed",
        "contract-refused",
        "evidence-rejected",
        "incident",
        "key-refused",
        "no-way",
        "not-renewed",
        "offer-dropped",
        "session-given-up",
        "silent",
        "subtask-lost",
        "unanswered",
        "undelivered",
        "unroutable",
    }
)
"""Kinds of note, whoever makes them."""
ORDINARY: Final = frozenset({"no-rows", "contract-ended"})
"""Codes of batches that come back as a matter of course: to an enclave that is new, and at the end of a lease."""
_FIELDS: Final = ("code", "reason")


@dataclass(slots=True)
class Teller:
    """Of one role."""

    role: Role
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def lines(self, event: Event, effects: Sequence[Effect], aggregate: str) -> Iterator[Line]:
        """What handling this event led to, each outcome once, however many are told of it."""
        self._told.clear()
        end = TAKEN_BACK.get(event.type) if self.role == "hub" else None
        if end is not None and not _went_on(effects):
            yield Line(" ".join(end), {"id": event.subject, "source": event.source}, *end)
        for effect in effects:
            line = self._line(event, effect, aggregate)
            if line is not None and (mark := (line.what, line.outcome, line.details["id"])) not in self._told:
                if line.what:
                    self._told.add(mark)
                yield line

    def _line(self, event: Event, effect: Effect, aggregate: str) -> Line | None:
        if isinstance(effect, Publish) and (end := SENT.get((self.role, effect.type))) is not None:
            data = effect.data if isinstance(effect.data, dict) else {}
            told = {name: data[name] for name in _FIELDS if data.get(name)}
            return Line(" ".join(end), {"id": effect.subject, "to": effect.to, **told}, *end)
        if not isinstance(effect, Note):
            return None
        told = {name: value for name, value in effect.details.items() if isinstance(value, str | int | float)}
        if (end := NOTED.get((self.role, effect.kind))) is not None:
            name = told.pop("contract", _subject(event) if end[0] == "contract" else aggregate)
            if isinstance(event.data, ContractEnded):
                told["code"] = event.data.code
                text = event.data.reason
            else:
                text = "" if end[1] == "expired" else effect.text
            about = {"reason" if end[1] in _FAILURES else "detail": text} if text else {}
            return Line(" ".join(end), {"id": name, **about, **told}, *end)
        if effect.kind in WARNINGS and effect.details.get("code") not in ORDINARY:
            about = {"id": aggregate, "source": event.source, "reason": effect.text}
            return Line(effect.kind, about | told, warns=True)
        return None


def _subject(event: Event) -> str:
    """What an event is about: of a timer's, what the timer is."""
    return event.data.name.rpartition("/")[2] if isinstance(event.data, TimerFired) else event.subject


def _went_on(effects: Sequence[Effect]) -> bool:
    """It was over already, or other workers stand behind it."""
    return any(isinstance(effect, Note) and effect.kind in ("late", "worker-left") for effect in effects)
