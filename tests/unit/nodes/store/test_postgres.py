"""What only a store on PostgreSQL has: a server that is lost, neighbours on other machines, releases side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import Struct

from nodes.machine import Perform, Publish
from nodes.store.errors import StoreFailed, StoreOfAnotherFormat
from nodes.store.port import Decision, Input, Outcome, Store, View
from nodes.store.postgres import database, driver, statements
from nodes.store.postgres.database import where
from nodes.store.postgres.driver import Connection
from nodes.store.postgres.migrations import shipped
from nodes.store.postgres.store import PostgresStore
from schemas.errors import BadConfig
from tests.support.postgres import Server, rows
from tests.support.stores import NODE


class Count(Struct, frozen=True):
    """How many inputs an aggregate had."""

    value: int


TYPES: Mapping[str, type[Struct]] = {"count": Count}
NOW = 1000.0
HINT_SECONDS_MAX = 10.0
NEVER_SECONDS = 600.0
OWN_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"


@pytest.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    async with postgres.schema() as made:
        yield made


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(f"{url}&application_name=cut", NODE, TYPES)
    yield opened
    await opened.close()


def count(item: Input, view: View) -> Decision:
    known = view.records.get("count", Count(0))
    assert isinstance(known, Count)
    told = Publish(type="order.buy.placed", to="A11.hub", subject="job", data={})
    return Decision(NOW, put={"count": Count(known.value + 1)}, effects=(told,), entry=item.event_id.encode())


async def apply(store: Store, *names: str, aggregate: str = "job") -> list[Outcome]:
    inputs = [Input(name, aggregate) for name in names]
    return await store.apply(inputs, count, owner="p1", lease_until=NOW + 15, performs_max=8)


async def value(store: Store, aggregate: str = "job") -> int:
    known = (await store.read(aggregate)).get("count", Count(0))
    assert isinstance(known, Count)
    return known.value


async def test_a_connection_that_is_lost_between_transactions_is_made_again(store: PostgresStore, url: str) -> None:
    await apply(store, "e1")
    await rows(url, OWN_CONNECTIONS, "cut")
    assert [outcome.status for outcome in await apply(store, "e1", "e2")] == ["duplicate", "applied"]
    assert await value(store) == 2


async def test_a_connection_that_is_lost_in_a_transaction_fails_all_of_it_and_is_made_again(
    store: PostgresStore, url: str
) -> None:
    async def cut(connection: Connection) -> None:
        await rows(url, OWN_CONNECTIONS, "cut")

    asked = [store.put_secret("key", b"sealed"), store._database.write(cut)]
    kept, lost = await asyncio.gather(*asked, return_exceptions=True)
    assert kept == b"sealed", "it is tried again alone"
    assert isinstance(lost, StoreFailed)
    assert "nothing was changed" in str(lost)
    assert [outcome.status for outcome in await apply(store, "e1")] == ["applied"]


async def test_a_server_that_is_not_there_is_named_and_its_password_is_not() -> None:
    with pytest.raises(StoreFailed, match=r"PostgreSQL at 127.0.0.1:1/store") as refused:
        await PostgresStore.open("postgresql://user:secret-word@127.0.0.1:1/store", NODE, TYPES)
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u:p@db.example:6000/store?sslmode=verify-full", "db.example:6000/store"),
        ("postgresql:///store", "the local socket:5432/store"),
    ],
)
def test_what_is_shown_of_a_url_is_where_it_leads(written: str, shown: str) -> None:
    assert where(written) == shown


async def test_a_cache_of_statements_that_is_no_number_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="statement_cache_size=many in the store's URL is no number"):
        await PostgresStore.open(f"{url}&statement_cache_size=many", NODE, TYPES)


async def test_without_named_statements_it_works_as_well(url: str) -> None:
    store = await PostgresStore.open(f"{url}&statement_cache_size=0", NODE, TYPES)
    assert [outcome.status for outcome in await apply(store, "e1", "e1")] == ["applied", "duplicate"]
    await store.close()


async def leave(store: Store, *names: str) -> None:
    """Effects that nobody has claimed."""
    left = Decision(NOW, effects=(Perform(activity="encrypt", params={}),))
    for name in names:
        await store.apply([Input(name, name)], lambda *_: left, owner="p1", lease_until=NOW, performs_max=0)


@dataclass(slots=True)
class Listener:
    """Counts hints."""

    heard: int = 0
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> None:
        self.heard += 1
        self.event.set()

    async def next(self) -> None:
        """Return at the next one."""
        self.event.clear()
        async with asyncio.timeout(HINT_SECONDS_MAX):
            await self.event.wait()


@pytest.fixture
async def pair(url: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    stores = [await PostgresStore.open(f"{url}&application_name={name}", NODE, TYPES) for name in ("one", "two")]
    yield stores[0], stores[1]
    for each in stores:
        await each.close()


async def test_others_hear_of_what_nobody_claimed_and_once_of_what_comes_together(
    pair: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TELL_SECONDS", 0.5)
    own, other = Listener(), Listener()
    for store, listener in zip(pair, (own, other), strict=True):
        store.listen(listener)
    await asyncio.gather(*(leave(pair[0], f"e{number}") for number in range(9)))
    await apply(pair[0], "claimed by its writer")
    await other.next()
    for each in pair:
        await value(each)  # whatever was told until now is heard
    assert (own.heard, other.heard) == (0, 1)


async def test_who_ends_lets_others_hear_what_it_gives_back(
    pair: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TELL_SECONDS", NEVER_SECONDS)
    other = Listener()
    pair[1].listen(other)
    await apply(pair[0], "e1")
    await pair[0].release("p1")
    hearing = asyncio.create_task(other.next())
    await asyncio.sleep(0)
    await pair[0].close()
    await hearing


async def test_a_connection_that_was_lost_hears_again(pair: tuple[PostgresStore, PostgresStore], url: str) -> None:
    other = Listener()
    pair[1].listen(other)
    await rows(url, OWN_CONNECTIONS, "two")
    await value(pair[1])
    await leave(pair[0], "e1")
    await other.next()


async def test_nobody_is_told_in_a_transaction_that_does_other_work(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock is the whole server's, until that transaction is on the disk."""
    said: list[str] = []

    class Telltale:
        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            found = getattr(self._connection, name)
            if name not in ("execute", "fetch", "fetchval"):
                return found

            async def noted(query: str, *arguments: object) -> object:
                said.append(query)
                return await found(query, *arguments)

            return noted

    async def connect(url: str) -> Connection:
        return Telltale(await driver.connect(url))  # type: ignore[return-value]

    monkeypatch.setattr(database, "connect", connect)
    monkeypatch.setattr(database, "TELL_SECONDS", NEVER_SECONDS)  # but it ends before
    store = await PostgresStore.open(url, NODE, TYPES)
    said.clear()
    await leave(store, "e1", "e2")
    beside = asyncio.create_task(apply(store, "f1"))
    await asyncio.sleep(0)
    await store.close()
    await beside
    at = said.index(statements.NOTIFY)
    assert said[at - 1 : at + 2] == [statements.BEGIN_TELL, statements.NOTIFY, "COMMIT"]
    assert said.count(statements.NOTIFY) == 1


async def test_what_is_done_goes_with_the_next_events_in_one_statement(url: str) -> None:
    store = await PostgresStore.open(url, NODE, TYPES)
    (first,), *_ = await asyncio.gather(apply(store, "e1"), apply(store, "e2"))
    done = [row.seq for row in first.claimed]
    _, (second,), *_ = await asyncio.gather(store.done(done), apply(store, "e3"), store.done(()))
    assert second.status == "applied"
    assert await store.outbox_size() == 2
    await store.close()


async def test_another_nodes_store_is_refused_and_left_alone(store: PostgresStore, url: str) -> None:
    await apply(store, "e1")
    with pytest.raises(StoreOfAnotherFormat, match=rf"the store of {NODE}.*name another database to start anew"):
        await PostgresStore.open(url, "B11.hub", TYPES)
    assert await value(store) == 1


async def test_another_programs_database_is_refused_and_left_alone(url: str) -> None:
    await rows(url, "CREATE TABLE theirs (x int)")
    with pytest.raises(StoreOfAnotherFormat, match="tables of another program"):
        await PostgresStore.open(url, NODE, TYPES)
    assert await rows(url, "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()") == [("theirs",)]


SHIPPED = len(list(shipped()))


@dataclass(frozen=True, slots=True)
class Release:
    """Files of migrations in a folder."""

    folder: Path

    @classmethod
    def next(cls, folder: Path, needs: int) -> Release:
        """This release's, and one more."""
        for file in shipped():
            (folder / file.name).write_text(file.read_text())
        added = f"-- needs: {needs}\nALTER TABLE secrets ADD COLUMN made_at double precision;\n"
        (folder / f"{SHIPPED + 1:04}_more.sql").write_text(added)
        return cls(folder)

    async def open(self, url: str) -> PostgresStore:
        """The store, as a process of that release."""
        return await PostgresStore.open(url, NODE, TYPES, migrations=list(self.folder.iterdir()))


async def test_a_release_goes_on_beside_the_next_one_and_may_be_started_again(
    store: PostgresStore, url: str, tmp_path: Path
) -> None:
    await apply(store, "e1")
    following = await Release.next(tmp_path, needs=1).open(url)
    for number in range(6):
        await apply((store, following)[number % 2], f"f{number}")
    again = await PostgresStore.open(url, NODE, TYPES)
    assert [await value(each) for each in (store, following, again)] == [7, 7, 7]
    assert await store.put_secret("key", b"sealed") == await following.get_secret("key") == b"sealed"
    assert await rows(url, "SELECT number, needs FROM sublet_migrations ORDER BY number") == [
        (number, 1) for number in range(1, SHIPPED + 2)
    ]
    for each in (following, again):
        await each.close()


async def test_a_release_that_is_too_old_to_go_on_is_refused(store: PostgresStore, url: str, tmp_path: Path) -> None:
    following = await Release.next(tmp_path, needs=SHIPPED + 1).open(url)
    await following.close()
    too_young = f"a store of migration {SHIPPED + 1} where this release has {SHIPPED}"
    with pytest.raises(StoreOfAnotherFormat, match=too_young):
        await PostgresStore.open(url, NODE, TYPES)


async def test_processes_that_start_at_once_make_one_store(url: str) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(url, NODE, TYPES) for _ in range(8)))
    await asyncio.gather(*(apply(each, f"e{number}") for number, each in enumerate(stores)))
    assert [await value(each) for each in stores] == [8] * 8
    for each in stores:
        await each.close()


async def test_processes_wait_for_each_other_over_the_same_aggregate_only(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stands still in the middle of a transaction holds its aggregate until the server ends that."""
    monkeypatch.setattr(statements, "BEGIN", "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '700ms'")
    stopped, other = [await PostgresStore.open(url, NODE, TYPES) for _ in range(2)]
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        await connection.fetch(statements.LOCK, ["job"])
        entered.set()
        await go_on.wait()
        await connection.fetch("SELECT 1")

    holding = asyncio.create_task(stopped._database.write(hold))
    await entered.wait()
    waiting = asyncio.create_task(apply(other, "e1"))
    third = await PostgresStore.open(url, NODE, TYPES)
    assert [outcome.status for outcome in await apply(third, "e2", aggregate="another")] == ["applied"]
    assert not waiting.done()
    assert [outcome.status for outcome in await waiting] == ["applied"]
    go_on.set()
    with pytest.raises(StoreFailed):
        await holding
    for each in (stopped, other, third):
        await each.close()


async def test_leases_and_numbers_of_effects_come_from_one_counter(url: str) -> None:
    stores = [await PostgresStore.open(url, NODE, TYPES) for _ in range(2)]
    outcomes = await asyncio.gather(*(apply(stores[n % 2], f"e{n}", f"f{n}", aggregate=f"job{n}") for n in range(20)))
    numbers = [row.seq for found in outcomes for outcome in found for row in outcome.claimed]
    assert len(set(numbers)) == len(numbers) == 40
    await stores[0].release("p1")
    taken = await asyncio.gather(
        *(
            each.claim(f"p{n}", now=NOW, lease_until=NOW + 9, publishes_max=30, performs_max=0)
            for n, each in enumerate(stores)
        )
    )
    assert sorted(row.seq for rows_ in taken for row in rows_) == sorted(numbers)
    for each in stores:
        await each.close()
