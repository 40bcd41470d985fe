"""What `sublet check` sees of a database before a node uses it, and that it leaves it as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.store.errors import ServerFailed, StoreOfAnotherFormat
from nodes.store.postgres import examining
from nodes.store.postgres.examining import examine
from nodes.store.postgres.migrations import numbers
from nodes.store.postgres.store import PostgresStore
from schemas.errors import BadConfig
from tests.support.postgres import Server, rows
from tests.support.stores import NODE

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"


@pytest.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    async with postgres.schema() as made:
        yield made


async def make(url: str) -> None:
    store = await PostgresStore.open(url, NODE, {})
    await store.close()


async def test_an_empty_database_is_one_where_a_store_can_be_made_and_stays_empty(url: str) -> None:
    found = await examine(url, NODE)
    assert (found.made, found.missing) == (False, len(numbers()))
    assert found.bytes > 0
    assert await rows(url, TABLES) == [(0,)]


async def test_the_nodes_own_store_is_there(url: str) -> None:
    await make(url)
    found = await examine(url, NODE)
    assert (found.made, found.missing) == (True, 0)


async def test_migrations_that_are_still_to_come_are_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(url)
    known = numbers()
    monkeypatch.setattr(examining, "numbers", lambda: (*known, max(known) + 1, max(known) + 2))
    assert (await examine(url, NODE)).missing == 2


async def test_another_nodes_store_and_another_programs_tables_are_named(url: str) -> None:
    await make(url)
    with pytest.raises(StoreOfAnotherFormat, match=rf"the store of {NODE}"):
        await examine(url, "B11.hub")
    await rows(url, "ALTER TABLE sublet_migrations RENAME TO theirs")
    with pytest.raises(StoreOfAnotherFormat, match="tables of another program"):
        await examine(url, NODE)


@pytest.mark.parametrize(
    ("option", "says"),
    [("default_transaction_read_only=on", "takes no writes"), ("search_path=nowhere", "has no such schema")],
)
async def test_what_cannot_be_written_is_named(postgres: Server, option: str, says: str) -> None:
    with pytest.raises(ServerFailed, match=says):
        await examine(f"{postgres.url}?{option}", NODE)


async def test_an_account_that_may_make_no_tables_is_named(postgres: Server, url: str) -> None:
    schema = url.rpartition("=")[2]
    await postgres.run(f"CREATE ROLE {schema} LOGIN PASSWORD 'x'")
    await postgres.run(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    account = f"postgresql://{schema}:x@{url.partition('@')[2]}"
    with pytest.raises(ServerFailed, match="grant it CREATE"):
        await examine(account, NODE)
    await postgres.run(f"DROP OWNED BY {schema}")
    await postgres.run(f"DROP ROLE {schema}")


async def test_a_server_that_is_not_there_is_named_and_its_password_is_not() -> None:
    with pytest.raises(ServerFailed, match=r"PostgreSQL at 127.0.0.1:1/store") as refused:
        await examine("postgresql://user:secret-word@127.0.0.1:1/store", NODE)
    assert "secret-word" not in str(refused.value)


async def test_a_refused_password_is_named_as_such_and_not_shown(url: str) -> None:
    wrong = url.replace(url.partition("@")[0].rpartition(":")[2], "secret-word")
    with pytest.raises(ServerFailed, match="password authentication failed") as refused:
        await examine(wrong, NODE)
    assert "secret-word" not in str(refused.value)


async def test_a_url_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="statement_cache_size"):
        await examine("postgresql://h/d?statement_cache_size=many", NODE)
