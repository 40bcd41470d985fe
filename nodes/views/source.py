"""Where views look: a node's store, opened to be read beside the node's own workers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from nodes.config import NodeConfig
from nodes.roles import ROLES
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from schemas.errors import BadConfig


@contextlib.asynccontextmanager
async def open_store(config: NodeConfig, *, make: bool = False) -> AsyncIterator[Store]:
    """The node's store. Where the node has not run yet an empty one: in memory, or with `make` the node's own, so that
    what it writes later is seen.

    Raises:
        BadConfig: a lessor has none.
        StoreFailed: it cannot be opened.
    """
    row = ROLES[config.role]
    if not row.has_store:
        raise BadConfig(f"{config.address} is a {config.role} and has no store: ask its hub", field="config")
    if make:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = config.database if make or config.database.exists() else None
    store = await SqliteStore.open(database, row.load(row.machine).record_types)
    try:
        yield store
    finally:
        await store.close()
