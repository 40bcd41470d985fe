"""A node's store, on whichever database its configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is: at a database server, or else in a file of the node's folder."""

    folder: Path
    url: str | None = field(default=None, repr=False)
    """With a password, perhaps: never to be logged."""

    @property
    def file(self) -> Path:
        """Of a node that has no server."""
        return self.folder / "node.sqlite"

    async def open(self, node: str, record_types: Mapping[str, type[Struct]]) -> Store:
        """The store of `node` (its address), made when there is none; its folder too.

        Raises:
            StoreFailed: it cannot be opened.
            StoreOfAnotherFormat: what is there is something else, and was left untouched.
            BadConfig: the driver that it needs is not installed.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.url is None:
            return await SqliteStore.open(self.file, record_types)
        from nodes.store.postgres.store import PostgresStore  # noqa: PLC0415 - only where one is used

        return await PostgresStore.open(self.url, node, record_types)

    @property
    def is_made(self) -> bool:
        """Whether there may be one: who looks without one sees an empty store."""
        return self.url is not None or self.file.exists()
