"""Where views look: a node's store, opened to be read beside the node's own workers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes.config import NodeConfig, Role
from nodes.hub.records import RECORD_TYPES as HUB_RECORDS
from nodes.renter.protocol.records import RECORD_TYPES as RENTER_RECORDS
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from schemas.errors import BadConfig

RECORD_TYPES: Final[Mapping[Role, Mapping[str, type[Struct]]]] = MappingProxyType(
    {"hub": HUB_RECORDS, "renter": RENTER_RECORDS}
)


@contextlib.asynccontextmanager
async def open_store(config: NodeConfig, *, make: bool = False) -> AsyncIterator[Store]:
    """The node's store. Where the node has not run yet an empty one: in memory, or with `make` the node's own, so that
    what it writes later is seen.

    Raises:
        BadConfig: a lessor has none.
        StoreFailed: it cannot be opened.
    """
    if config.role not in RECORD_TYPES:
        raise BadConfig(f"{config.address} is a {config.role} and has no store: ask its hub", field="config")
    database = config.database if make or config.database.exists() else None
    store = await SqliteStore.open(database, RECORD_TYPES[config.role])
    try:
        yield store
    finally:
        await store.close()
