"""What every role's protocol logic looks like: a machine that turns records and one event into changes and effects.

    handle(records, event, context) -> Step(put, delete, effects)

A machine is pure: it never awaits, logs, reads a clock or draws randomness. What it needs from outside comes in
`Context`; what it wants done leaves as effects, which the shell (`loop.py`) stores in the same transaction as the
changed records and carries out afterwards, again and again until they are done. So a killed worker loses nothing, and a
recorded journal replays to identical effects.

Records live in aggregates (one job; one hub's order book). A record's key is `<prefix>` or `<prefix>/<name>`; its
prefix says its class (`Machine.record_types`). Only changed records are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from schemas.events import Event, Role
from schemas.ids import Address, derive_id

Records = Mapping[str, Struct]
"""Records by key: a `nodes.records.RecordSet` wherever there may be many."""
Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, bytes, signature) -> whether the Ed25519 signature (RFC 8032) is right."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the outside gives to one `handle` call; all of it is journalled, so nothing here is secret.

    `now` is seconds since 1970 (UTC); `entropy` 32 fresh random bytes; `sign` this node's Ed25519 signature
    (deterministic, so a replay may take the recorded ones); `verify` checks anybody's.
    """

    me: Address
    now: float
    entropy: bytes
    event_id: str
    sign: Sign
    verify: Verify

    def new_id(self, kind: str, *parts: str | int) -> str:
        """An id that is the same whenever the same event is handled again."""
        return derive_id(kind, self.event_id, *parts)

    def nonce(self, label: str) -> bytes:
        """32 bytes nobody could know before this event was handled; public afterwards."""
        return hashlib.sha256(b"sublet/v1/nonce" + self.entropy + label.encode()).digest()


class Publish(Struct, frozen=True, kw_only=True, tag_field="effect", tag="publish"):
    """Send an event. `data` is its JSON data; with `blob`, the raw body is the stored file of that digest."""

    type: str
    to: str
    subject: str
    data: Any = None
    lane: str = ""
    """The receiver's lane, for event types of kind `lane`."""
    blob: str = ""
    attributes: dict[str, str] = {}


class Perform(Struct, frozen=True, kw_only=True, tag_field="effect", tag="perform"):
    """Let the shell do something that is not pure; its outcome comes back as an internal event."""

    activity: str
    params: dict[str, Any] = {}


class SetTimer(Struct, frozen=True, kw_only=True, tag_field="effect", tag="set-timer"):
    """Deliver `timer.fired` of this name to this aggregate at `at` (seconds since 1970); the last of a name counts."""

    name: str
    at: float


class CancelTimer(Struct, frozen=True, kw_only=True, tag_field="effect", tag="cancel-timer"):
    """Forget the timer of this name."""

    name: str


class Note(Struct, frozen=True, kw_only=True, tag_field="effect", tag="note"):
    """A decision, refusal or incident for the journal, with its cause and numbers; nothing is done."""

    kind: str
    text: str
    details: dict[str, Any] = {}


Effect = Publish | Perform | SetTimer | CancelTimer | Note


class TimerFired(Struct, frozen=True, kw_only=True):
    """Internal event `timer.fired`."""

    name: str
    at: float
    hearing_since: float = 0.0
    """Since when the process hears answers without a gap, seconds since 1970: nobody was silent before."""


class PublishFailed(Struct, frozen=True, kw_only=True):
    """Internal event `publish.failed`: the broker says that nobody receives at this address."""

    type: str
    to: str
    reason: str


class ActivityFailed(Struct, frozen=True, kw_only=True):
    """Internal event `activity.failed`: an activity of the shell failed unexpectedly, several times."""

    activity: str
    params: dict[str, Any]
    error: str


TIMER_FIRED = "timer.fired"


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of handling one event."""

    put: Mapping[str, Struct] = field(default_factory=dict)
    delete: frozenset[str] = frozenset()
    effects: tuple[Effect, ...] = ()
    journalled: bool = True
    """Whether the journal tells of it. What its records prove by themselves, they tell."""


class Refused(Exception):  # noqa: N818 - not an error of ours: the event's sender erred
    """Raised by `handle`: the event is dead-lettered with this reason and changes nothing."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Machine(Protocol):
    """One role's protocol logic."""

    name: Role
    """The role, as the catalogue of events names it."""
    record_types: Mapping[str, type[Struct]]
    """Record class by key prefix (the part of the key before the first `/`)."""
    internal_types: Mapping[str, type[Struct]]
    """Data class of each internal event type (activity outcomes; `timer.fired` is known anyway)."""

    def aggregate_of(self, event: Event) -> str:
        """The aggregate to which this event belongs. Raises Refused when there is none."""
        ...

    def key_of(self, records: Records, event: Event) -> bytes | None:
        """The sender's Ed25519 public key, 32 bytes, as this role knows it; None when the sender is unknown."""
        ...

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        """What follows from this event. Raises Refused; must not change `records`."""
        ...


def own_event(me: Address, event_type: str, data: Struct, **rest: Any) -> Event:
    """An internal event, which no wire carries: `rest` are its `id`, `time` and `subject`, and its `cause`, if any."""
    return Event(type=event_type, source=me, to=me, data=data, **rest)


def publish(event_type: str, to: str, subject: str, data: Struct | None = None, **more: Any) -> Publish:
    """A `Publish` effect with `data` turned into plain JSON values."""
    return Publish(
        type=event_type, to=to, subject=subject, data=None if data is None else msgspec.to_builtins(data), **more
    )
