"""What every store forgets, so that it stays bounded: refused content, old journals, deleted records, jobs."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from nodes.machine import SetTimer
from nodes.store.port import Decision, Input, Store, View
from tests.conformance.test_store import (
    NOW,
    PERFORM,
    PUBLISH,
    Count,
    Open,
    apply,
    events,
    open_store,
    place,
    store,
    value,
)
from tests.support.stores import Place

__all__ = ["open_store", "place", "store"]


async def write(store: Store, event: str, *, at: float = NOW, delete: bool = False, **put: int) -> None:
    """Put these records, or delete them."""
    records: Mapping[str, Struct] = {} if delete else {key: Count(value=each) for key, each in put.items()}

    def decide(_: Input, __: View) -> Decision:
        return Decision(at, put=records, delete=frozenset(put if delete else ()), entry=event.encode())

    await store.apply([Input(event, "job")], decide, owner="p1", lease_until=NOW + 15, performs_max=8)


async def test_content_that_was_refused_is_refused_once_however_often_it_comes(store: Store) -> None:
    bad = [Input("e2", "job", "refuse-journalled", content="content of e2") for _ in range(3)]
    outcomes = await apply(store, Input("e1", "job", content="content of e1"), *bad)
    assert [outcome.status for outcome in outcomes] == ["applied", "refused", "duplicate", "duplicate"]
    assert len(await store.journal("job")) == 2
    other = Input("e2", "job", content="another's content under the same id")
    assert [outcome.status for outcome in await apply(store, other)] == ["applied"]


async def test_a_journal_is_shortened_by_age_and_by_number_and_goes_on(store: Store) -> None:
    for number in range(6):
        await write(store, f"e{number}", at=NOW + number, count=number)
    await store.shorten("job", before=NOW + 2, entries_max=100)
    assert await store.journal("job") == [b"e2", b"e3", b"e4", b"e5"]
    await store.shorten("job", before=0.0, entries_max=1)
    assert await store.journal("job") == [b"e5"]
    await store.shorten("job", before=NOW + 100, entries_max=100)
    assert await store.journal("job") == []
    await apply(store, *events("e6"))
    assert (await store.journal("job"))[0].startswith(b"6 "), "entries are counted on"
    assert await value(store) == 6


async def test_traces_of_deleted_records_go_and_processes_that_missed_them_still_learn(
    open_store: Open, place: Place
) -> None:
    store, other = await open_store(), await open_store()
    await write(store, "e1", count=1, extra=2)
    assert set(await other.read("job")) == {"count", "extra"}
    await write(store, "e2", delete=True, extra=0)
    await store.forget(0.0)
    assert await place.rows("SELECT key FROM records") == [("count",)]
    await apply(other, *events("e3"))
    assert {key: record.value for key, record in (await other.read("job")).items()} == {"count": 2}  # type: ignore[attr-defined]


async def test_an_erased_aggregate_leaves_nothing_and_no_process_remembers_it(open_store: Open, place: Place) -> None:
    store, other = await open_store(), await open_store()
    await apply(store, *events("e1"), effects=(PUBLISH, PERFORM, SetTimer(name="t", at=NOW)))
    await apply(store, *events("f1", aggregate="kept"), effects=(PUBLISH,))
    assert await value(other) == 1
    assert await store.outbox_size("job") == 2
    await store.erase("job")
    assert await store.outbox_size("job") == 0
    assert await store.aggregates() == ["kept"]
    assert (await value(store), await value(other), await value(other, "kept")) == (0, 0, 1)
    for table in ("records", "journal", "timers", "outbox", "aggregates"):
        assert not await place.rows(f"SELECT 1 FROM {table} WHERE aggregate = 'job'")
