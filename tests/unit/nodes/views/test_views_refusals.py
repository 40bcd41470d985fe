"""What a hub refused last, of whom: read on from its journal, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.hub.machine import AGGREGATE
from nodes.identity import verify
from nodes.machine import Context
from nodes.runtime.journal import entry_bytes
from nodes.store.port import Decision, Input, View
from nodes.store.sqlite import SqliteStore
from nodes.views.refusals import Refused, RefusedLast
from schemas.events import Event
from schemas.ids import Address

HUB = Address("B11.hub")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "node.sqlite", {})
    yield opened
    await opened.close()


async def journalled(store: SqliteStore, number: int, source: str, refused: tuple[str, str] | None) -> None:
    """An entry as a hub's worker writes it."""

    def decide(_: Input, view: View) -> Decision:
        event = Event(
            id=f"event-{number}",
            type="order.sell.placed",
            source=Address(source),
            to=HUB,
            time=float(number),
            subject="s",
            data=None,
        )
        context = Context(
            me=HUB, now=float(number), entropy=b"", event_id=event.id, sign=lambda raw: raw, verify=verify
        )
        entry = entry_bytes(
            n=view.journalled, prev=view.last_hash, event=event, context=context, signatures=(), refused=refused
        )
        return Decision(float(number), entry=entry)

    await store.apply([Input(f"event-{number}", AGGREGATE)], decide, owner="p", lease_until=0.0, performs_max=0)


async def test_the_last_refusal_of_each_sender_is_kept_and_the_journal_is_read_on(store: SqliteStore) -> None:
    last = RefusedLast(AGGREGATE)
    assert await last.refresh(store)
    await journalled(store, 1, "B11.B12", ("stale-order", "one"))
    await journalled(store, 2, "B11.B12", ("stale-order", "two"))
    await journalled(store, 3, "B11.B12", None)
    await journalled(store, 4, "B11.B13", None)
    assert await last.refresh(store)
    assert last.of("B11.B12") == Refused(2.0, "order.sell.placed", "stale-order", "two")
    assert last.of("B11.B13") is None
    await journalled(store, 5, "B11.B13", ("not-yours", "three"))
    assert await last.refresh(store)
    assert last.of("B11.B13") == Refused(5.0, "order.sell.placed", "not-yours", "three")


async def test_a_long_journal_is_read_in_turns_and_only_its_end(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.views.refusals.TAIL_MAX", 6)
    monkeypatch.setattr("nodes.views.refusals.READ_MAX", 4)
    for number in range(10):
        await journalled(store, number, f"B11.B{number}", ("stale-order", "why"))
    last = RefusedLast(AGGREGATE)
    assert [await last.refresh(store) for _ in range(2)] == [False, True]
    assert [number for number in range(10) if last.of(f"B11.B{number}")] == [4, 5, 6, 7, 8, 9]


async def test_forgotten_entries_are_passed_over_and_few_senders_are_kept(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.views.refusals.READ_MAX", 2)
    monkeypatch.setattr("nodes.views.refusals.SOURCES_MAX", 3)
    for number in range(8):
        await journalled(store, number, f"B11.B{number}", ("stale-order", "why"))
    await store.shorten(AGGREGATE, before=4.0, entries_max=100)
    last, turns = RefusedLast(AGGREGATE), 1
    while not await last.refresh(store):
        turns += 1
    assert turns == 2
    assert [number for number in range(8) if last.of(f"B11.B{number}")] == [5, 6, 7]
