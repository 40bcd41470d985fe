"""What every store must do (`nodes.store.port`), run against each adapter; an adapter is a way to open it again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from nodes.machine import CancelTimer, Effect, Note, Perform, Publish, SetTimer
from nodes.store.errors import RecordUnreadable, StoreClosed
from nodes.store.port import BEATS_KEPT_SECONDS, GENESIS, Decision, Input, Outcome, Stamp, Store, Unreadable, View
from nodes.store.sqlite import SqliteStore
from tests.support.postgres import Server
from tests.support.stores import Place, PostgresPlace, SqlitePlace

Open = Callable[[], Awaitable[Store]]


class Count(Struct, frozen=True, kw_only=True):
    """How many inputs an aggregate had, and what else it was told."""

    value: int
    words: dict[str, Any] = {}


class Row(Struct, frozen=True):
    """One of many records; remembers that it was read from its bytes."""

    number: int

    def __post_init__(self) -> None:
        ROWS_READ.append(self.number)


ROWS_READ: list[int] = []
RECORD_TYPES: Mapping[str, type[Struct]] = {"count": Count, "extra": Count, "row": Row}
NOW = 1000.0


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Where a new store is."""
    if request.param == "sqlite":
        yield SqlitePlace(tmp_path / "node.sqlite")
        return
    server: Server = request.getfixturevalue("postgres")
    async with server.schema() as url:
        yield PostgresPlace(url)


@pytest.fixture
async def open_store(place: Place) -> AsyncIterator[Open]:
    """Opens the same store again and again, as processes of one node do; closes them all."""
    opened: list[Store] = []

    async def opener() -> Store:
        store = await place.open(RECORD_TYPES)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Open) -> Store:
    return await open_store()


def counting(*effects: Effect) -> Callable[[Input, View], Decision]:
    """Adds one to `count`, journals the id, wants these effects; payload "refuse" refuses and "crash" raises."""

    def decide(item: Input, view: View) -> Decision:
        if item.payload == "crash":
            raise ZeroDivisionError("a bug")
        entry = f"{view.journalled} {view.last_hash} {item.event_id}".encode()
        if item.payload == "refuse":
            return Decision(NOW, put={"count": Count(value=-1)}, effects=effects, refusal=("no", "not now"))
        if item.payload == "refuse-journalled":
            return Decision(NOW, put={"count": Count(value=-1)}, entry=entry, refusal=("no", "not now"))
        known = view.records.get("count", Count(value=0))
        assert isinstance(known, Count)
        return Decision(NOW, put={"count": Count(value=known.value + 1)}, effects=effects, entry=entry)

    return decide


async def apply(
    store: Store,
    *inputs: Input,
    effects: tuple[Effect, ...] = (),
    owner: str = "p1",
    until: float = NOW + 15,
    **more: int,
) -> list[Outcome]:
    performs_max = more.get("performs_max", 8)
    return await store.apply(inputs, counting(*effects), owner=owner, lease_until=until, performs_max=performs_max)


async def value(store: Store, aggregate: str = "job") -> int:
    record = (await store.read(aggregate)).get("count", Count(value=0))
    assert isinstance(record, Count)
    return record.value


def events(*names: str, aggregate: str = "job") -> list[Input]:
    return [Input(name, aggregate) for name in names]


PUBLISH = Publish(type="order.buy.placed", to="A11.hub", subject="job", data={"x": 1.5})
PERFORM = Perform(activity="encrypt", params={"batch": 7})


async def test_an_event_id_has_its_effect_once(store: Store) -> None:
    first = await apply(store, *events("e1", "e2", "e1"), effects=(PUBLISH,))
    again = await apply(store, *events("e2"), effects=(PUBLISH,))
    assert [outcome.status for outcome in first + again] == ["applied", "applied", "duplicate", "duplicate"]
    assert await value(store) == 2
    assert await store.outbox_size() == 2


async def test_a_refused_event_leaves_its_neighbours_alone_and_may_come_again(store: Store) -> None:
    refused = Input("e2", "job", "refuse")
    outcomes = await apply(store, Input("e1", "job"), refused, Input("e3", "job"), effects=(PUBLISH,))
    assert [outcome.status for outcome in outcomes] == ["applied", "refused", "applied"]
    assert (outcomes[1].code, outcomes[1].reason) == ("no", "not now")
    assert await value(store) == 2
    assert await store.outbox_size() == 2
    assert [outcome.status for outcome in await apply(store, Input("e2", "job"))] == ["applied"]


async def test_a_refusal_with_an_entry_is_journalled_and_changes_nothing_else(store: Store) -> None:
    await apply(store, Input("e1", "job"), Input("e2", "job", "refuse-journalled"), Input("e3", "job"))
    assert await value(store) == 2
    assert [entry.split()[2] for entry in await store.journal("job")] == [b"e1", b"e2", b"e3"]


async def test_nothing_of_an_apply_remains_when_decide_raises(store: Store, open_store: Open) -> None:
    await apply(store, Input("e1", "job"))
    with pytest.raises(ZeroDivisionError):
        await apply(
            store, *events("e2", "e3"), Input("e4", "job", "crash"), effects=(PUBLISH, SetTimer(name="t", at=1.0))
        )
    for each in (store, await open_store()):
        assert await value(each) == 1
        assert len(await each.journal("job")) == 1
        assert await each.outbox_size() == 0
        assert await each.next_timer() is None
    assert [outcome.status for outcome in await apply(store, *events("e2"))] == ["applied"]
    assert await value(store) == 2


async def test_concurrent_callers_share_commits_and_each_gets_its_own_outcome(store: Store) -> None:
    calls = [apply(store, Input(f"e{n}", "job", "crash" if n == 5 else None)) for n in range(40)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(5), ZeroDivisionError)
    assert all(not isinstance(one, BaseException) and one[0].status == "applied" for one in results)
    assert await value(store) == 39
    assert len(await store.journal("job")) == 39


async def test_reads_and_writes_are_carried_out_in_the_order_asked(store: Store) -> None:
    reads = 5
    asked: list[Awaitable[object]] = []
    for n in range(30):
        asked += [apply(store, Input(f"e{n}", "job")), *(value(store) for _ in range(reads))]
    answers = await asyncio.gather(*asked)
    for n in range(30):
        _, *seen = answers[n * (reads + 1) : (n + 1) * (reads + 1)]
        assert seen == [n + 1] * reads


async def test_two_processes_see_each_others_changes(store: Store, open_store: Open) -> None:
    other = await open_store()
    for n in range(6):
        turn = (store, other)[n % 2]
        await apply(turn, Input(f"e{n}", "job"), Input(f"f{n}", "another"))
    assert (await value(store), await value(other), await value(other, "another")) == (6, 6, 6)
    assert [o.status for o in await apply(other, *events("e0", "e1"))] == ["duplicate", "duplicate"]


async def test_competing_processes_never_lose_an_update(store: Store, open_store: Open) -> None:
    stores = [store, await open_store(), await open_store()]
    await asyncio.gather(*(apply(stores[n % 3], Input(f"e{n}", "job")) for n in range(60)))
    assert [await value(each) for each in stores] == [60, 60, 60]


async def test_records_come_back_as_written_and_deleted_ones_disappear_everywhere(
    store: Store, open_store: Open
) -> None:
    other = await open_store()
    words = {"a": [1, 2.5, None], "b": {"c": True}}
    put = Decision(NOW, put={"count": Count(value=1, words=words), "extra/x": Count(value=2)})
    await store.apply([Input("e1", "job")], lambda _, __: put, owner="p", lease_until=0, performs_max=0)
    assert await other.read("job") == {"count": Count(value=1, words=words), "extra/x": Count(value=2)}
    delete = Decision(NOW, delete=frozenset({"extra/x", "extra/unknown"}))
    await store.apply([Input("e2", "job")], lambda _, __: delete, owner="p", lease_until=0, performs_max=0)
    for each in (store, other, await open_store()):
        assert set(await each.read("job")) == {"count"}


async def put(store: Store, *numbers: int, aggregate: str = "job", delete: frozenset[str] = frozenset()) -> None:
    """Write `row/<number>` for each."""
    decision = Decision(NOW, put={f"row/{number}": Row(number) for number in numbers}, delete=delete)
    event = Input(f"put {numbers[:9]} {delete}", aggregate)
    await store.apply([event], lambda _, __: decision, owner="p", lease_until=0, performs_max=0)


async def test_records_of_a_later_release_stay_where_they_are(place: Place, store: Store, open_store: Open) -> None:
    """Beside a worker that does not know their prefix, which may change all others."""
    former = await place.open({"count": Count})

    def decide(item: Input, view: View) -> Decision:
        assert "extra/1" in view.records or item.event_id != "e3"
        return Decision(NOW, put={"count": Count(value=1), "extra/1": Count(value=7)})

    await store.apply(events("e1"), decide, owner="p1", lease_until=NOW, performs_max=0)
    assert set(await former.read("job")) == {"count"}
    await apply(former, *events("e2"))
    assert await value(former) == await value(store) == 2
    await store.apply(events("e3"), decide, owner="p1", lease_until=NOW, performs_max=0)
    assert (await (await open_store()).read("job"))["extra/1"] == Count(value=7)
    assert await former.get("job", {"count"}) == {"count": Count(value=1)}
    await former.close()


async def test_those_records_that_are_asked_for_are_given_as_far_as_there_are_any(
    store: Store, open_store: Open
) -> None:
    other = await open_store()
    await put(store, 1, 2, 3)
    await other.read("job")
    await put(store, 4, delete=frozenset({"row/2"}))
    for each in (store, other, await open_store()):
        assert await each.get("job", ("row/1", "row/2", "row/4", "row/99")) == {"row/1": Row(1), "row/4": Row(4)}
        assert await each.get("job", ()) == await each.get("nothing", ("row/1",)) == {}
        assert set(await each.read("job")) == {"row/1", "row/3", "row/4"}


async def test_no_more_records_are_read_than_asked_for_and_none_that_are_kept_in_memory(
    store: Store, open_store: Open
) -> None:
    await put(store, *range(2000))
    other = await open_store()
    ROWS_READ.clear()
    assert set(await other.get("job", ("row/7", "row/1234"))) == {"row/7", "row/1234"}
    assert sorted(ROWS_READ) == [7, 1234]
    assert set(await store.get("job", ("row/7", "row/1234"))) == {"row/7", "row/1234"}
    assert sorted(ROWS_READ) == [7, 1234]


async def test_what_a_decision_raises_costs_no_other_aggregate_its_place_in_memory(store: Store) -> None:
    await put(store, *range(100), aggregate="large")
    with pytest.raises(ZeroDivisionError):
        await apply(store, Input("e1", "job", "crash"))
    ROWS_READ.clear()
    await apply(store, Input("e2", "large"))
    assert ROWS_READ == []


async def test_decide_sees_the_same_records_before_and_after_a_restart(store: Store, open_store: Open) -> None:
    """A tuple inside loosely typed data comes back as a list: then it must do so at once, or replays would differ."""
    put = Decision(NOW, put={"count": Count(value=1, words={"a": (1, 2)})})
    await store.apply([Input("e1", "job")], lambda _, __: put, owner="p", lease_until=0, performs_max=0)
    seen: list[dict[str, Struct]] = []

    def look(_: Input, view: View) -> Decision:
        seen.append(dict(view.records))
        return Decision(NOW)

    for n, each in enumerate((store, await open_store())):
        await each.apply([Input(f"look{n}", "job")], look, owner="p", lease_until=0, performs_max=0)
    assert seen[0] == seen[1]


async def test_a_decision_cannot_change_the_records_it_is_shown(store: Store) -> None:
    def meddle(_: Input, view: View) -> Decision:
        view.records["count"] = Count(value=9)  # type: ignore[index]
        return Decision(NOW)

    with pytest.raises(TypeError):
        await store.apply([Input("e1", "job")], meddle, owner="p", lease_until=0, performs_max=0)
    assert await store.read("job") == {}


async def test_effects_are_claimed_by_their_writer_and_forgotten_when_done(store: Store, open_store: Open) -> None:
    note = Note(kind="assessment", text="enough")
    (outcome,) = await apply(store, Input("e1", "job"), effects=(note, PUBLISH, PERFORM))
    assert [(row.index, row.effect, row.event_id, row.attempts) for row in outcome.claimed] == [
        (1, PUBLISH, "e1", 1),
        (2, PERFORM, "e1", 1),
    ]
    other = await open_store()
    assert await other.claim("p2", now=NOW, lease_until=NOW + 15, publishes_max=9, performs_max=9) == []
    await store.done([row.seq for row in outcome.claimed])
    assert await store.outbox_size() == 0
    assert await other.claim("p2", now=NOW + 99, lease_until=NOW + 115, publishes_max=9, performs_max=9) == []


async def test_activities_beyond_the_writers_room_go_to_whoever_has_room(store: Store, open_store: Open) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PERFORM, PERFORM, PERFORM), performs_max=1)
    assert (len(outcome.claimed), outcome.unclaimed) == (1, 2)
    other = await open_store()
    rows = await other.claim("p2", now=NOW, lease_until=NOW + 15, publishes_max=9, performs_max=1)
    assert [row.index for row in rows] == [1]
    assert [row.attempts for row in rows] == [1]


async def test_rows_of_a_dead_process_are_taken_over_once_its_lease_ends(store: Store, open_store: Open) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PUBLISH, PERFORM), owner="dead", until=NOW + 15)
    others = [await open_store(), await open_store()]

    async def claim(now: float) -> list[list[int]]:
        claims = (
            each.claim(f"p{n}", now=now, lease_until=now + 15, publishes_max=9, performs_max=9)
            for n, each in enumerate(others)
        )
        return [[row.seq for row in rows] for rows in await asyncio.gather(*claims)]

    assert await claim(NOW + 14) == [[], []]
    taken = await claim(NOW + 16)
    assert sorted(taken[0] + taken[1]) == [row.seq for row in outcome.claimed]
    again = await claim(NOW + 40)
    assert sorted(again[0] + again[1]) == sorted(taken[0] + taken[1])


async def test_a_lease_that_is_extended_keeps_others_away_but_not_for_rows_lost_before(
    store: Store, open_store: Open
) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PUBLISH, PUBLISH), owner="p1", until=NOW + 15)
    first, second = (row.seq for row in outcome.claimed)
    await store.extend("p1", [first], NOW + 60)
    other = await open_store()
    rows = await other.claim("p2", now=NOW + 20, lease_until=NOW + 35, publishes_max=9, performs_max=9)
    assert [(row.seq, row.attempts) for row in rows] == [(second, 2)]
    await store.extend("p1", [first, second], NOW + 500)
    rows = await other.claim("p3", now=NOW + 100, lease_until=NOW + 115, publishes_max=9, performs_max=9)
    assert [row.seq for row in rows] == [second]


async def test_released_rows_can_be_claimed_at_once_and_count_failures_only(store: Store) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PERFORM,), owner="p1", until=NOW + 15)
    await store.failed(outcome.claimed[0].seq)
    await store.release("p1")
    rows = await store.claim("p2", now=NOW, lease_until=NOW + 15, publishes_max=9, performs_max=9)
    assert [(row.attempts, row.failures) for row in rows] == [(1, 1)]


async def test_an_outcome_completes_its_row_in_the_same_transaction(store: Store) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PERFORM,))
    seq = outcome.claimed[0].seq
    with pytest.raises(ZeroDivisionError):
        await apply(store, Input("outcome", "job", "crash", completes=seq))
    assert await store.outbox_size() == 1
    await apply(store, Input("outcome", "job", completes=seq))
    assert await store.outbox_size() == 0
    assert await value(store) == 2


async def test_an_outcome_that_is_refused_or_repeated_still_completes_its_row(store: Store) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(PERFORM, PERFORM))
    first, second = (row.seq for row in outcome.claimed)
    await apply(store, Input("outcome", "job", "refuse", completes=first), Input("e1", "job", completes=second))
    assert await store.outbox_size() == 0


async def test_a_timer_fires_once_however_many_processes_try(store: Store, open_store: Open) -> None:
    (outcome,) = await apply(store, Input("e1", "job"), effects=(SetTimer(name="late", at=NOW + 5),))
    assert outcome.next_timer == NOW + 5
    other = await open_store()
    assert await other.next_timer() == NOW + 5
    assert await store.due_timers(NOW + 4, 16) == []
    (timer,) = await store.due_timers(NOW + 5, 16)
    assert await other.due_timers(NOW + 5, 16) == [timer]
    fired = [Input(f"timer{n}", "job", timer=timer) for n in range(2)]
    outcomes = await asyncio.gather(apply(store, fired[0]), apply(other, fired[1]))
    assert sorted(outcome.status for (outcome,) in outcomes) == ["applied", "stale"]
    assert await store.next_timer() is None
    assert await value(store) == 2


async def test_the_last_setting_of_a_timer_counts_and_a_cancelled_one_is_gone(store: Store) -> None:
    await apply(store, Input("e1", "job"), effects=(SetTimer(name="a", at=NOW), SetTimer(name="b", at=NOW)))
    first, _ = await store.due_timers(NOW, 16)
    (outcome,) = await apply(store, Input("e2", "job"), effects=(SetTimer(name="a", at=NOW), CancelTimer(name="b")))
    assert outcome.next_timer == NOW
    (second,) = await store.due_timers(NOW, 16)
    assert (second.name, second.serial == first.serial) == ("a", False)
    assert [o.status for o in await apply(store, Input("t1", "job", timer=first))] == ["stale"]
    assert [o.status for o in await apply(store, Input("t2", "job", timer=second))] == ["applied"]


async def test_a_timer_may_set_itself_again_while_it_fires(store: Store) -> None:
    again = SetTimer(name="tick", at=NOW)
    await apply(store, Input("e1", "job"), effects=(again,))
    for n in range(3):
        (timer,) = await store.due_timers(NOW, 16)
        (outcome,) = await apply(store, Input(f"tick{n}", "job", timer=timer), effects=(again,))
        assert outcome.status == "applied"


async def test_a_timer_whose_event_is_refused_does_not_fire_for_ever(store: Store) -> None:
    await apply(store, Input("e1", "job"), effects=(SetTimer(name="a", at=NOW),))
    (timer,) = await store.due_timers(NOW, 16)
    await apply(store, Input("t", "job", "refuse", timer=timer))
    assert await store.due_timers(NOW, 16) == []


async def test_journal_entries_see_the_hash_of_the_one_before(store: Store, open_store: Open) -> None:
    await apply(store, *events("e1", "e2"))
    await apply(await open_store(), *events("e3"))
    last = GENESIS
    for n, entry in enumerate(await store.journal("job")):
        assert entry == f"{n} {last} e{n + 1}".encode()
        last = hashlib.sha256(entry).hexdigest()


async def test_a_journal_is_read_in_parts(store: Store) -> None:
    await apply(store, *events("e1", "e2", "e3", "e4"))
    whole = await store.journal("job")
    assert await store.journal("job", first=1, entries_max=2) == whole[1:3]
    assert await store.journal("job", first=3, entries_max=9) == whole[3:]
    assert await store.journal("job", first=4) == []
    await store.shorten("job", before=NOW - 1, entries_max=2)
    assert await store.journal("job", first=1, entries_max=2) == whole[2:]


async def test_a_stamp_changes_with_records_and_with_the_journal(store: Store) -> None:
    await apply(store, Input("1", "job-a"), Input("2", "job-b"), Input("3", "hub"))
    before = await store.stamps("job-")
    assert before == {"job-a": Stamp(1, 1), "job-b": Stamp(1, 1)}
    await apply(store, Input("4", "job-a"), Input("5", "job-b", "refuse-journalled"))
    assert await store.stamps("job-") == {"job-a": Stamp(2, 2), "job-b": Stamp(1, 2)}
    await store.erase("job-b")
    assert await store.stamps("job-") == {"job-a": Stamp(2, 2)}


async def test_records_of_some_kinds_are_read_from_many_aggregates(place: Place, open_store: Open) -> None:
    store, names = await open_store(), ("count", "extra/a", "extra/\U0010ffff", "row/1", "row/2")

    def fill(_: Input, __: View) -> Decision:
        return Decision(NOW, put={name: Row(1) if name.startswith("row") else Count(value=1) for name in names})

    inputs = [Input(aggregate, aggregate) for aggregate in ("job-a", "job-b", "job-c")]
    await store.apply(inputs, fill, owner="p1", lease_until=NOW, performs_max=0)
    await place.rows("UPDATE records SET value = $1 WHERE aggregate = 'job-b' AND key = 'count'", b"\xff")
    found = await store.select(["job-a", "job-b", "nobody"], ["count", "extra"])
    assert found.keys() == {"job-a", "job-b"}
    assert isinstance(found["job-b"], RecordUnreadable)
    assert found["job-a"] == dict.fromkeys(names[:3], Count(value=1))
    assert await store.select(["job-b"], ["row"]) == {"job-b": {"row/1": Row(1), "row/2": Row(1)}}
    assert await store.select([], ["row"]) == {}


async def test_it_is_known_when_a_process_was_last_heard_of(store: Store, open_store: Open) -> None:
    await store.beat("p1", NOW)
    await (await open_store()).beat("p2", NOW + 1)
    await store.beat("p1", NOW + 5)
    assert await store.beats() == {"p1": NOW + 5, "p2": NOW + 1}
    await store.beat("p1", NOW + 2 + BEATS_KEPT_SECONDS)
    assert await store.beats() == {"p1": NOW + 2 + BEATS_KEPT_SECONDS}


async def test_aggregates_are_listed_by_prefix(store: Store) -> None:
    await apply(store, Input("1", "job-b"), Input("2", "job-a"), Input("3", "Job-c"), Input("4", "job_%"))
    assert await store.aggregates("job-") == ["job-a", "job-b"]
    assert await store.aggregates() == ["Job-c", "job-a", "job-b", "job_%"]


async def test_old_inbox_ids_are_forgotten_and_recent_ones_are_not(store: Store) -> None:
    await apply(store, *events("e1"))
    assert await store.forget(NOW) == 0
    assert [o.status for o in await apply(store, *events("e1"))] == ["duplicate"]
    assert await store.forget(NOW + 1) == 1
    assert [o.status for o in await apply(store, *events("e1"))] == ["applied"]


async def test_the_first_secret_of_a_name_is_kept_and_every_maker_gets_it(store: Store, open_store: Open) -> None:
    other = await open_store()
    kept = await asyncio.gather(store.put_secret("key", b"mine"), other.put_secret("key", b"theirs"))
    assert kept[0] == kept[1] == await store.get_secret("key")
    await store.delete_secret("key")
    assert await other.get_secret("key") is None


async def test_closing_finishes_what_was_asked_and_then_refuses(store: Store, open_store: Open) -> None:
    asked = [asyncio.create_task(apply(store, Input(f"e{n}", "job"))) for n in range(30)]
    await asyncio.sleep(0)
    await store.close()
    assert [outcome.status for (outcome,) in await asyncio.gather(*asked)] == ["applied"] * 30
    with pytest.raises(StoreClosed):
        await store.read("job")
    await store.close()
    assert await value(await open_store()) == 30


async def test_a_store_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "own.sqlite", RECORD_TYPES)
    await apply(store, *events("e1"))
    modes = _modes(tmp_path)
    await store.close()
    assert modes == {"own.sqlite": 0o600, "own.sqlite-shm": 0o600, "own.sqlite-wal": 0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_a_record_that_cannot_be_read_costs_its_aggregate_and_no_other(place: Place, open_store: Open) -> None:
    due, damaged = SetTimer(name="late", at=NOW), bytes.fromhex("81a576616c7565")
    store = await open_store()
    await apply(store, Input("e1", "bad"), Input("e2", "good"), effects=(due,))
    await store.close()
    await place.rows("UPDATE records SET value = $1 WHERE aggregate = 'bad'", damaged)
    store = await open_store()
    (timer,) = [timer for timer in await store.due_timers(NOW, 9) if timer.aggregate == "bad"]
    outcomes = await apply(store, Input("e3", "bad"), Input("e4", "good"), Input("e5", "bad", timer=timer))
    assert [outcome.status for outcome in outcomes] == ["refused", "applied", "refused"]
    assert outcomes[0].code == outcomes[2].code == "record-unreadable"
    assert "count of bad" in outcomes[0].reason
    assert "backup" in outcomes[0].reason
    with pytest.raises(RecordUnreadable):
        await store.read("bad")
    with pytest.raises(RecordUnreadable):
        await store.get("bad", ["count"])
    assert await store.get("bad", ["extra/x"]) == {}
    assert await value(store, "good") == 2
    assert [left.aggregate for left in await store.due_timers(NOW, 9)] == ["good"]
    assert await place.rows("SELECT value FROM records WHERE aggregate = 'bad'") == [(damaged,)]


@pytest.mark.parametrize("damage", [b"\xff", b"{}", b'{"effect":"publish"}', b'{"effect":"of-the-future"}'])
async def test_an_effect_that_cannot_be_read_is_claimed_as_that_and_the_others_as_they_are(
    place: Place, store: Store, damage: bytes
) -> None:
    await apply(store, Input("e1", "job"), effects=(PERFORM, PUBLISH, PERFORM), performs_max=0, until=0.0)
    await place.rows("UPDATE outbox SET effect = $1 WHERE effect_index IN (0, 1)", damage)
    rows = await store.claim("p2", now=NOW + 99, lease_until=NOW + 115, publishes_max=9, performs_max=9)
    assert [isinstance(row.effect, Unreadable) for row in rows] == [True, True, False]
    assert [(row.aggregate, row.event_id, row.index) for row in rows] == [("job", "e1", index) for index in range(3)]
    assert rows[2].effect == PERFORM
    await store.done([row.seq for row in rows])
    assert await store.outbox_size() == 0
