"""What the rules (`nodes/store/transaction.py`) need of a database's tables inside one transaction. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from nodes.machine import Perform, Publish
from nodes.store.encoding import decode_effect
from nodes.store.port import OutboxRow

PRUNE_MAX: Final = 10_000
"""Rows forgotten per call and table: keeps the transaction short."""

PUBLISH: Final = "publish"
PERFORM: Final = "perform"


class Head(NamedTuple):
    """The row of an aggregate: its version, number of journal entries, and SHA-256 of the last, hexadecimal."""

    version: int
    journalled: int
    last_hash: str
    forgotten: int = 0
    """Up to this version nothing tells any more what was deleted."""


class Lease(NamedTuple):
    """Whose an outbox row is, and until when. `NOBODY` may be claimed at once."""

    owner: str
    until: float


NOBODY: Final = Lease("", 0.0)


class Rows(Protocol):
    """Blocking; what is named as a method of `nodes.store.port.Store` is described there."""

    def was_handled(self, event_id: str) -> bool:
        """Whether the event has had its effect."""
        ...

    def add_handled(self, event_id: str, now: float) -> None:
        """The event has its effect now."""
        ...

    def head(self, aggregate: str) -> Head | None:
        """The aggregate's row."""
        ...

    def put_head(self, aggregate: str, head: Head) -> None:
        """Write the aggregate's row."""
        ...

    def changed(self, aggregate: str, since: int) -> Iterable[tuple[str, bytes | None]]:
        """Records written after this version: key and bytes, or None for one that was deleted."""
        ...

    def records(self, aggregate: str, keys: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The records of these keys, as far as there are any."""
        ...

    def put_records(self, aggregate: str, version: int, values: Mapping[str, bytes | None]) -> None:
        """Write records by key as of this version; None deletes."""
        ...

    def add_entry(self, aggregate: str, number: int, now: float, entry: bytes) -> None:
        """Write the journal entry of this number."""
        ...

    def set_timer(self, aggregate: str, name: str, due_at: float) -> None:
        """Set a timer; an earlier one of its name is gone, and stale wherever it is about to fire."""
        ...

    def cancel_timer(self, aggregate: str, name: str) -> None:
        """Remove a timer, if it is set."""
        ...

    def take_timer(self, serial: int) -> bool:
        """Remove exactly this timer; whether it still stood."""
        ...

    def add_effect(self, effect: Publish | Perform, place: tuple[str, str, int], now: float, lease: Lease) -> OutboxRow:
        """Write an effect of `place` (aggregate, event id, index); with a lease, that is its first attempt."""
        ...

    def delete_effects(self, seqs: Iterable[int]) -> None:
        """Remove effects that were carried out."""
        ...


def kind_of(effect: Publish | Perform) -> str:
    """As the table `outbox` has it."""
    return PUBLISH if isinstance(effect, Publish) else PERFORM


def outbox_row(*columns: Any) -> OutboxRow:
    """Of seq, aggregate, event_id, effect_index, effect, created_at, attempts, failures."""
    seq, aggregate, event_id, index, effect, created_at, attempts, failures = columns
    return OutboxRow(seq, aggregate, event_id, index, decode_effect(effect), created_at, attempts, failures)
