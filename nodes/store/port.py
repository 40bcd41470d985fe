"""What a store does for a node, whichever database is behind it. No I/O here.

Theory of operation. A node's state lies in aggregates (one job; one hub's order book), each a set of records. Events
come in as `Input`s; `apply` handles several in one transaction, and for each of them, in order:

    a timer that no longer stands?   → `stale`, nothing is written
    event id in the inbox?           → `duplicate`, nothing is written
    a record that cannot be read?    → `refused` as `record-unreadable`, nothing is written
    decide(input, view) → Decision   → its changes, effects, timers and journal entry are written: `applied`
                        → refusal    → none of its changes, only its journal entry, if it has one: `refused`; the same
                                       content is a `duplicate` from then on, so that it is not refused again and again

A crash at any point leaves all of an `apply` or nothing. Effects to be carried out outside (`Publish`, `Perform`)
become outbox rows in that same transaction. A row belongs to one owner (a process) until its lease ends, or until that
process is known to have ended (`beat`); then any other may claim it. A row stays until `done`, or until an `apply`
completes it together with its outcome. So effects happen at least once, and their deterministic event ids make them
count once.

`decide` runs inside the transaction, possibly on another thread: it must be pure and quick. The tables of an adapter
that spans machines (PostgreSQL) lock the aggregate's row before `decide`; the port promises no more than that two
`apply` calls never decide on the same version of an aggregate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from nodes.machine import Effect, Perform, Publish
from nodes.store.errors import RecordUnreadable

OUTBOX_LEASE_SECONDS: Final = 15.0
"""An outbox row whose owner was not heard of for this long is taken over by another process."""
BEAT_SECONDS: Final = OUTBOX_LEASE_SECONDS / 3
"""How often a process says that it lives."""
BEATS_KEPT_SECONDS: Final = 7 * 24 * 3600.0
"""For so long it is known when a process that ended was last heard of."""
GENESIS: Final = "0" * 64
"""The hash before an aggregate's first journal entry, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer as set: `serial` tells it from earlier timers of the same name."""

    aggregate: str
    name: str
    due_at: float
    serial: int


@dataclass(frozen=True, slots=True)
class Input:
    """One event to handle. `payload` is the caller's own and reaches `decide` untouched.

    `timer` is removed with the input's handling, and the input is stale when it no longer stands. `completes` is the
    outbox row whose outcome this is; it is removed too, whatever becomes of the input. `content` names what an event
    from outside says, and who says it: its id alone could be another's.
    """

    event_id: str
    aggregate: str
    payload: Any = None
    timer: Timer | None = None
    completes: int | None = None
    content: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """An aggregate as it stands when `decide` is called: records by key, and the end of its journal."""

    records: Mapping[str, Struct]
    journalled: int
    """Number of journal entries so far."""
    last_hash: str
    """SHA-256 of the last journal entry, hexadecimal; `GENESIS` when there is none."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """How far an aggregate is: both rise with its changes, and one that is erased begins anew."""

    version: int
    """Of its records."""
    journalled: int
    """Number of journal entries so far, with those that are forgotten."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What `decide` wants written. With a `refusal` (code, reason), only `entry` is.

    `now` dates the effects, seconds since 1970. `entry` is the journal entry, or empty for none.
    """

    now: float
    put: Mapping[str, Struct] = field(default_factory=dict)
    delete: frozenset[str] = frozenset()
    effects: tuple[Effect, ...] = ()
    entry: bytes = b""
    refusal: tuple[str, str] | None = None


Decide = Callable[[Input, View], Decision]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of an effect whose bytes are not what they were, or another release's."""

    why: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An effect that is still to be carried out."""

    seq: int
    aggregate: str
    event_id: str
    """The event whose handling asked for it."""
    index: int
    """Its place among that event's effects."""
    effect: Publish | Perform | Unreadable
    created_at: float
    attempts: int
    """How often it was claimed, this time included: by all but the last process it was left."""
    failures: int = 0
    """How often carrying it out failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input. `claimed` are its outbox rows that now belong to the caller."""

    status: Literal["applied", "duplicate", "stale", "refused"]
    code: str = ""
    reason: str = ""
    claimed: tuple[OutboxRow, ...] = ()
    unclaimed: int = 0
    """Outbox rows written for whoever has room."""
    next_timer: float | None = None
    """The earliest of the timers it set, seconds since 1970."""


class Store(Protocol):
    """See the module's theory. Every method may raise StoreFailed, and StoreClosed after `close`.

    Times are seconds since 1970. `owner` names a process, never twice the same.
    """

    @property
    def look_seconds(self) -> float:
        """How often to look for what others left: rarely where these say so (`listen`), for hints may be lost."""
        ...

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` from now on, in this event loop, soon after another process left something to claim.

        A hint: several may come as one, and none may come.
        """
        ...

    async def apply(
        self, inputs: Sequence[Input], decide: Decide, *, owner: str, lease_until: float, performs_max: int
    ) -> list[Outcome]:
        """Handle all inputs in one transaction; one outcome for each, in order.

        Every `Publish` and up to `performs_max` `Perform` rows written are claimed for `owner` at once. An exception of
        `decide` undoes all of this call's inputs and is raised: a decision about one input is a refusal, not a raise.
        """
        ...

    async def claim(
        self, owner: str, *, now: float, lease_until: float, publishes_max: int, performs_max: int
    ) -> list[OutboxRow]:
        """Outbox rows, oldest first, that belong to nobody or whose lease ended before `now`; now the owner's.

        One whose effect cannot be read comes too, with why: whoever claims it decides what to do without it.
        """
        ...

    async def extend(self, owner: str, seqs: Sequence[int], lease_until: float) -> None:
        """Lengthen the lease of these rows, as far as they still belong to this owner."""
        ...

    async def failed(self, seq: int) -> None:
        """Count one more failure of an outbox row."""
        ...

    async def done(self, seqs: Sequence[int]) -> None:
        """Forget outbox rows that were carried out."""
        ...

    async def release(self, owner: str) -> None:
        """Give back everything that belongs to this owner, as if it had not been claimed."""
        ...

    async def due_timers(self, now: float, limit: int) -> list[Timer]:
        """Timers due at `now`, earliest first. They stand until an input that names them is applied."""
        ...

    async def next_timer(self) -> float | None:
        """When the earliest timer is due."""
        ...

    async def forget(self, before: float) -> int:
        """Forget some inbox ids seen before this time; how many. Older events must be refused by the caller.

        What stands for deleted records is forgotten with them.
        """
        ...

    async def shorten(self, aggregate: str, *, before: float, entries_max: int) -> None:
        """Forget some of an aggregate's oldest journal entries: those before this time, and those over so many."""
        ...

    async def erase(self, aggregate: str) -> None:
        """Remove an aggregate with its records, journal, timers and effects. Its name must never be used again."""
        ...

    async def get(self, aggregate: str, keys: Collection[str]) -> dict[str, Struct]:
        """Those of these records that there are, by key, as of one moment. Costs the same in an aggregate of any size.

        Raises RecordUnreadable for one of these records, whatever became of the others.
        """
        ...

    async def read(self, aggregate: str) -> dict[str, Struct]:
        """A copy of all records of an aggregate by key; empty when there is none. Raises RecordUnreadable.

        Costs what the aggregate is large: for reports, not for what happens once per batch.
        """
        ...

    async def aggregates(self, prefix: str = "") -> list[str]:
        """Names of the aggregates that begin with `prefix`, sorted."""
        ...

    async def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        """How far each aggregate is whose name begins with `prefix`: what has the same stamp has not changed."""
        ...

    async def select(
        self, aggregates: Collection[str], kinds: Collection[str]
    ) -> dict[str, dict[str, Struct] | RecordUnreadable]:
        """Of these aggregates the records of these kinds (the part of a key before the first `/`), as of one moment.

        What one is damaged in has the error in its place. Costs what is given back, however large the aggregates are.
        """
        ...

    async def journal(self, aggregate: str, *, first: int = 0, entries_max: int | None = None) -> list[bytes]:
        """An aggregate's journal entries from number `first` on, oldest first; at most so many."""
        ...

    async def beat(self, owner: str, now: float) -> None:
        """Say that this process lives; forget those not heard of for `BEATS_KEPT_SECONDS`.

        A store that can tell which processes ended gives back here what these had claimed. From its first beat on a
        process must keep the store open as long as it carries effects out.
        """
        ...

    async def beats(self) -> dict[str, float]:
        """When each process was last heard of."""
        ...

    async def outbox_size(self, aggregate: str | None = None) -> int:
        """How many effects are still to be carried out, by anybody: of one aggregate, or of all."""
        ...

    async def put_secret(self, name: str, sealed: bytes) -> bytes:
        """Keep sealed bytes under a name, unless there are some already; what is kept. The caller seals.

        So workers that make the same secret at the same time all get the first one.
        """
        ...

    async def get_secret(self, name: str) -> bytes | None:
        """The sealed bytes of this name, or None."""
        ...

    async def delete_secret(self, name: str) -> None:
        """Forget the sealed bytes of this name, if there are any."""
        ...

    async def close(self) -> None:
        """Finish what was asked so far, then close. May be called again."""
        ...
