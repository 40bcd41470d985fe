"""Where views look: a node's store, opened to be read beside the node's own workers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from nodes.config import NodeConfig
from nodes.roles import ROLES
from nodes.store.opening import Place
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
    known, place = row.load(row.machine).record_types, Place(config.data_dir, config.store_url)
    store: Store
    if make or place.is_made:
        store = await place.open(config.address, known)
    else:
        store = await SqliteStore.open(None, known)
    try:
        yield store
    finally:
        await store.close()
