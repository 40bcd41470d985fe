"""asyncpg, which only stores on PostgreSQL need: the extra `postgresql`, imported when there is one.

asyncpg rather than psycopg, which is under the LGPL. It prepares statements by name, which poolers that hand out
connections per transaction forget: then `statement_cache_size=0` in the URL.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nodes.store.postgres import statements
from schemas.errors import BadConfig

CONNECT_SECONDS_MAX: Final = 10.0
CACHE: Final = "statement_cache_size"
_STATEMENTS_CACHED: Final = 100


Heard = Callable[[Any, int, str, object], None]
"""Called with a connection, the server's process that told something, the channel and what was told."""


class Connection(Protocol):
    """What is used of `asyncpg.Connection`."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """All rows."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of the first row, or None."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """The command's tag: `DELETE 3`. Without arguments it may be several statements."""
        ...

    async def add_listener(self, channel: str, callback: Heard) -> None:
        """`LISTEN`, as long as the connection lasts."""
        ...

    def get_server_pid(self) -> int:
        """The server's process for this connection."""
        ...

    async def close(self, *, timeout: float | None = None) -> None:
        """End it."""
        ...

    def is_closed(self) -> bool:
        """Whether it was lost."""
        ...


async def connect(url: str) -> Connection:
    """A connection to the database of this URL.

    Raises:
        BadConfig: asyncpg is not installed, or this is no URL of a database.
        Exception: whatever `is_of_driver`.
    """
    known, cached = _split(url)
    found: Connection = await _asyncpg().connect(
        known, timeout=CONNECT_SECONDS_MAX, command_timeout=statements.SECONDS_MAX, statement_cache_size=cached
    )
    return found


def is_of_driver(error: Exception) -> bool:
    """Whether the driver, the server, or the way to it is at fault."""
    driver = _asyncpg()
    known = (driver.PostgresError, driver.InterfaceError, driver.InternalClientError, OSError, TimeoutError)
    return isinstance(error, known)


def _split(url: str) -> tuple[str, int]:
    """The driver's own part of a URL, and how many statements it may keep prepared."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    cached = options.pop(CACHE, str(_STATEMENTS_CACHED))
    if not cached.isdigit():
        raise BadConfig(f"{CACHE}={cached} in the store's URL is no number", field="store")
    return urlunsplit(parts._replace(query=urlencode(options))), int(cached)


def _asyncpg() -> Any:
    try:
        return importlib.import_module("asyncpg")
    except ImportError as error:
        raise BadConfig(
            "a store on PostgreSQL needs asyncpg: install the extra `postgresql`: pip install 'sublet[postgresql]'",
            field="store",
        ) from error
