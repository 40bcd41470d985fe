"""What happened in a job and at which party, folded from its journal entry by entry: bounded, and never read twice.

Pure: who reads the journal gives the entries. Unlike `journal.explain` it keeps no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from nodes.renter.protocol.records import LOCAL
from nodes.views.spans import Spans
from schemas.ids import Address, hub_address, hub_of

LANES_MAX: Final = 80
MARKS_MAX: Final = 120
"""Of one party."""
INCIDENTS_MAX: Final = 200
"""The last are kept, and how many there were."""

Kind = Literal["renter", "hub", "lessor", "attester", "partner"]
"""Of a party; an enclave is an attester (RFC 9334), for it proves what it runs."""
ORDER: Final[Mapping[Kind, int]] = MappingProxyType({"renter": 0, "hub": 1, "lessor": 2, "attester": 3, "partner": 4})

INCIDENTS: Final = frozenset(
    {
        "backdated",
        "batch-failed",
        "evidence-rejected",
        "incident",
        "key-refused",
        "key-retired",
        "lease-over",
        "not-believed",
        "not-renewed",
        "queue-full",
        "renewed",
        "rows-omitted",
        "subtask-lost",
        "undelivered",
        "unheard",
        "unroutable",
        "partner-deferred",
        "job-failed",
    }
)
"""Notes that tell of something that did not go as it usually does."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that a party did at a moment, seconds since 1970."""

    at: float
    text: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """What went wrong, or another way than planned, at `at`, seconds since 1970."""

    at: float
    kind: str
    party: str
    text: str
    code: str = ""


@dataclass(slots=True)
class Lane:
    """One party's part in a job."""

    name: str
    kind: Kind
    spans: Spans
    of: str = ""
    """Of an enclave: its lessor."""
    marks: list[Mark] = field(default_factory=list)
    since: float = 0.0
    """When it began to take part, seconds since 1970."""
    until: float = 0.0
    """When it ended; 0 while it goes on."""
    lost: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    """Of an enclave: what its evidence proved."""
    applied: tuple[str, ...] = ()
    """Of an enclave: how it says to be locked down."""

    def mark(self, at: float, text: str, *, bad: bool = False) -> None:
        """Remember that it did something."""
        if len(self.marks) < MARKS_MAX:
            self.marks.append(Mark(at, text, bad))


class _Event(Struct):
    type: str
    source: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Effect(Struct):
    effect: str
    kind: str = ""
    text: str = ""
    details: dict[str, Any] = {}
    activity: str = ""
    params: dict[str, Any] = {}
    type: str = ""
    to: str = ""


class _Entry(Struct):
    event: _Event
    now: float
    effects: list[_Effect] = []


_entries: Final = msgspec.json.Decoder(_Entry)
_ASKS_PARTNER: Final = "ask-partner"
_SENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "order.buy.placed": "buy order",
        "order.buy.cancelled": "buy order taken back",
        "contract.ended": "contract ended",
        "introduction.requested": "asked for an introduction",
        "subtask.announced": "subtask announced",
        "subtask.completed": "receipt",
    }
)
"""What the renter sends that is worth a mark at whom it goes to."""
_CAME: Final[Mapping[str, str]] = MappingProxyType(
    {
        "contract.signed": "contract signed",
        "order.buy.matched": "order matched",
        "order.buy.refused": "order refused",
        "introduction.made": "introduced",
        "subtask.requested": "worker asks for the subtask",
        "receipt.countersigned": "receipt signed",
        "introduction.refused": "no introduction",
        "joint.accepted": "takes part",
        "joint.deferred": "asks a person",
        "joint.declined": "declines",
        "joint.ended": "ends it",
        "round.answered": "output",
        "norm.told": "has its weights",
    }
)
_PHASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job.submitted": "preparing",
        "introduction.requested": "agreeing",
        "aligning": "joining",
        "order.buy.placed": "ordering",
        "split": "running",
        "assemble": "assembling",
        "job-completed": "completed",
        "job-failed": "failed",
    }
)
"""By what begins it: an event, something sent, a note or an activity."""


class History:
    """Of one job. `entries` were read so far."""

    def __init__(self) -> None:
        self.entries = 0
        self.began_at = 0.0
        """Seconds since 1970, as is `last_at`: of the first and the last entry."""
        self.last_at = 0.0
        self.phases: list[tuple[str, float]] = []
        """Each with when it began."""
        self.incidents: list[Incident] = []
        self.incidents_seen = 0
        self.unlisted = 0
        """Parties for which there was no room."""
        self._lanes: dict[str, Lane] = {}
        self._lessor_of: dict[str, str] = {}
        """By subtask and by worker."""
        self._partner = ""
        self._me = ""

    @property
    def lanes(self) -> list[Lane]:
        """The renter's first, then hubs, lessors each with its enclaves, and the partner."""

        def place(lane: Lane) -> tuple[int, str, int, str]:
            group: Kind = "lessor" if lane.kind == "attester" else lane.kind
            return ORDER[group], lane.of or lane.name, ORDER[lane.kind], lane.name

        return sorted(self._lanes.values(), key=place)

    def add(self, entries: Iterable[bytes]) -> None:
        """Fold in the next entries of the journal."""
        for raw in entries:
            self.entries += 1
            try:
                entry = _entries.decode(raw)
            except msgspec.MsgspecError:
                continue
            self._entry(entry)

    def _entry(self, entry: _Entry) -> None:
        now, event = entry.now, entry.event
        if not self.began_at:
            self.began_at, self._me, self._partner = now, event.source, _partner(event)
            self._lane(self._me, "renter", now)
        self.last_at = now
        self._phase(event.type, now)
        came = _EVENTS.get(event.type)
        if came is not None:
            came(self, event, now)
        elif event.type in _CAME and event.source != self._me:
            self._mark(event.source, now, _CAME[event.type])
        for effect in entry.effects:
            _EFFECTS.get(effect.effect, _ignored)(self, effect, now)

    # ------------------------------------------------------------ events

    def _contract(self, event: _Event, now: float) -> None:
        contract = _data(event).get("contract", {})
        for side in ("renter_hub", "lessor_hub"):
            if isinstance(contract.get(side), str):
                self._mark(contract[side], now, "contract signed")

    def _worker_asks(self, event: _Event, now: float) -> None:
        data = _data(event)
        self._lessor_of[str(data.get("worker"))] = event.source
        self._mark(event.source, now, _CAME[event.type])

    def _key_offered(self, event: _Event, now: float) -> None:
        data = _data(event)
        worker = str(data.get("worker"))
        self._lessor_of[worker] = event.source
        lane = self._lane(worker, "attester", now, of=event.source)
        if lane is not None:
            lane.mark(now, "evidence")

    def _accepted(self, event: _Event, now: float) -> None:
        data = _data(event)
        owner, batch = str(data.get("owner")), int(data.get("batch", -1))
        self._finish("" if owner == LOCAL else self._lessor_of.get(owner, ""), batch, now)

    def _forwarded(self, event: _Event, now: float) -> None:
        batch = _data(event).get("batch")
        if isinstance(batch, dict) and isinstance(batch.get("batch"), int):
            self._finish(event.source, batch["batch"], now)

    def _unsent(self, event: _Event, now: float) -> None:
        batch = _data(event).get("batch")
        for lane in self._lanes.values():
            if isinstance(batch, int):
                lane.spans.drop(batch)

    def _finish(self, lessor: str, batch: int, now: float) -> None:
        """The result that counts: wherever else the batch was under way, nothing is awaited any more."""
        known = self._lanes.get(lessor or self._me)
        if known is not None:
            known.spans.end(batch, "done", now)
        for lane in self._lanes.values():
            lane.spans.drop(batch)

    # ------------------------------------------------------------ effects

    def _sent(self, effect: _Effect, now: float) -> None:
        self._phase(effect.type, now)
        if effect.type in _SENT:
            self._mark(effect.to, now, _SENT[effect.type])

    def _started(self, effect: _Effect, now: float) -> None:
        self._phase(effect.activity, now)
        params = effect.params
        if effect.activity == _ASKS_PARTNER:
            self._mark(self._partner, now, "asked to take part")
        if effect.activity == "compute-local" and isinstance(params.get("batch"), int):
            self._begin(self._me, "renter", params["batch"], 1, now)
        batch = params.get("batch")
        if effect.activity in ("dispatch", "dispatch-round") and isinstance(batch, dict):
            lessor = str(params.get("lessor"))
            self._lessor_of[str(batch.get("subtask"))] = lessor
            self._begin(lessor, "lessor", int(batch.get("batch", -1)), int(batch.get("attempt", 1)), now)

    def _noted(self, effect: _Effect, now: float) -> None:
        details = effect.details
        self._phase(effect.kind, now)
        party = str(details.get("lessor") or self._lessor_of.get(str(details.get("owner")), ""))
        if effect.kind == "subtask-lost":
            self._lost(party, now)
        elif effect.kind in ("batch-failed", "incident") and isinstance(details.get("batch"), int):
            for lane in self._lanes.values():
                lane.spans.end(details["batch"], "failed", now)
        elif effect.kind in ("evidence-accepted", "key-confirmed"):
            self._enclave(str(details.get("worker")), effect, now)
        elif effect.kind.startswith("round-"):
            self._mark(self._partner, now, effect.text)
        if effect.kind in INCIDENTS:
            self._incident(Incident(now, effect.kind, party, effect.text, str(details.get("code", ""))))

    def _enclave(self, worker: str, effect: _Effect, now: float) -> None:
        lane = self._lane(worker, "attester", now, of=self._lessor_of.get(worker, ""))
        if lane is None:
            return
        if effect.kind == "evidence-accepted":
            lane.mark(now, "proved itself")
            lane.claims = {name: str(value) for name, value in effect.details.items() if name != "worker"}
        else:
            lane.mark(now, "has its key")
            lane.applied = tuple(map(str, effect.details.get("applied", ())))

    def _lost(self, lessor: str, now: float) -> None:
        for lane in self._lanes.values():
            if lessor and lessor in (lane.name, lane.of):
                lane.spans.end_all("lost", now)
                lane.until, lane.lost = now, True
                lane.mark(now, "lost", bad=True)

    def _incident(self, incident: Incident) -> None:
        self.incidents_seen += 1
        self.incidents.append(incident)
        del self.incidents[:-INCIDENTS_MAX]

    # ------------------------------------------------------------ lanes

    def _phase(self, what: str, now: float) -> None:
        phase = _PHASES.get(what)
        known = [name for name, _ in self.phases]
        if phase is None or phase in known or (phase == "ordering" and "running" in known):
            return
        self.phases.append((phase, now))
        if phase in ("completed", "failed"):
            for lane in self._lanes.values():
                lane.until = lane.until or now

    def _begin(self, party: str, kind: Kind, batch: int, attempt: int, now: float) -> None:
        lane = self._lane(party, kind, now)
        if lane is not None:
            lane.spans.begin(batch, attempt, now)

    def _mark(self, party: str, now: float, text: str) -> None:
        kind: Kind = "hub" if party.endswith(".hub") else "partner" if party == self._partner else "lessor"
        lane = self._lane(party, kind, now) if party and party != self._me else None
        if lane is not None and text:
            lane.mark(now, text)

    def _lane(self, name: str, kind: Kind, now: float, *, of: str = "") -> Lane | None:
        known = self._lanes.get(name)
        if known is None and len(self._lanes) >= LANES_MAX:
            self.unlisted += 1
            return None
        if known is None:
            known = self._lanes[name] = Lane(name, kind, Spans(self.began_at), of=of, since=now)
            if kind in ("lessor", "partner", "renter"):
                self._lane(hub_address(hub_of(Address(name))), "hub", now)
        return known


def _data(event: _Event) -> dict[str, Any]:
    found = msgspec.json.decode(event.data)
    return found if isinstance(found, dict) else {}


def _partner(submitted: _Event) -> str:
    """A joint job's; empty where it has none."""
    spec = _data(submitted).get("spec")
    joint = spec.get("joint") if isinstance(spec, dict) else None
    return str(joint.get("partner", "")) if isinstance(joint, dict) else ""


def _ignored(history: History, effect: _Effect, now: float) -> None:
    """Timers."""


_EVENTS: Final[Mapping[str, Callable[[History, _Event, float], None]]] = MappingProxyType(
    {
        "contract.signed": History._contract,
        "subtask.requested": History._worker_asks,
        "key.offered": History._key_offered,
        "result.accepted": History._accepted,
        "batch.forwarded": History._forwarded,
        "batch.unsent": History._unsent,
    }
)
_EFFECTS: Final[Mapping[str, Callable[[History, _Effect, float], None]]] = MappingProxyType(
    {"publish": History._sent, "perform": History._started, "note": History._noted}
)
