"""Where a store of each kind lies, for tests that open it several times or look behind it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from nodes.store.port import Store
from nodes.store.postgres.store import PostgresStore
from nodes.store.sqlite import SqliteStore
from tests.support import postgres

NODE = "A11.hub"


class Place(Protocol):
    """One store, whoever opened it."""

    async def open(self, record_types: Mapping[str, type[Struct]]) -> Store:
        """The same store again, as processes of one node do."""
        ...

    async def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement gives that both databases understand; values stand as $1, $2, …"""
        ...


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """A file."""

    path: Path

    async def open(self, record_types: Mapping[str, type[Struct]]) -> Store:
        """See `Place`."""
        return await SqliteStore.open(self.path, record_types)

    async def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See `Place`."""
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(statement, {str(n): each for n, each in enumerate(values, 1)}).fetchall()
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """A schema."""

    url: str

    async def open(self, record_types: Mapping[str, type[Struct]]) -> Store:
        """See `Place`."""
        return await PostgresStore.open(self.url, NODE, record_types)

    async def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See `Place`."""
        return await postgres.rows(self.url, statement, *values)
