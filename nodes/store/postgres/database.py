"""One connection to PostgreSQL: what is asked is carried out in that order, and writes asked meanwhile share a commit.

`tell` lets the other processes know, outside every transaction with work in it: `NOTIFY` holds a lock of the whole
server from there to its commit, so commits would go one by one.

Knows nothing of events or tables. A read sees one state of the database. A write is a coroutine function of the
connection, or is `Together` with its neighbours. When a transaction of several fails, each is tried again alone, so
that one which raises undoes only itself. A future is resolved only after its commit is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from nodes.store.errors import ServerFailed, StoreClosed
from nodes.store.postgres import statements
from nodes.store.postgres.driver import Connection, connect, is_of_driver

T = TypeVar("T")

OPERATIONS_PER_COMMIT_MAX: Final = 64
TELL_SECONDS: Final = 0.05
"""What is to be told within this time is told once."""


@dataclass(frozen=True, slots=True)
class Together:
    """A write that is carried out together with those of its kind which were asked next to it."""

    asked: Any
    weight: int


Run = Callable[[Connection], Awaitable[Any]]
Kind = Literal["write", "read", "tell"]


@dataclass(slots=True)
class _Operation:
    what: Run | Together
    future: asyncio.Future[Any]
    kind: Kind = "write"

    @property
    def weight(self) -> int:
        return self.what.weight if isinstance(self.what, Together) else 1


class Database:
    """The connection, made when it is first needed and again after it was lost.

    `channel` is what those who use the same tables are told on. `together` carries out several `Together` and gives a
    result for each. `undone` is called with these when nothing of them was kept.
    """

    def __init__(
        self,
        url: str,
        *,
        channel: str,
        weight_per_commit_max: int,
        together: Callable[[Connection, Sequence[Any]], Awaitable[Sequence[Any]]],
        undone: Callable[[Sequence[Any]], None],
    ) -> None:
        self._url = url
        self._channel = channel
        self._heard: Callable[[], None] = lambda: None
        self._telling: asyncio.TimerHandle | None = None
        self._weight_max = weight_per_commit_max
        self._together = together
        self._undone = undone
        self._waiting: asyncio.Queue[_Operation | None] = asyncio.Queue()
        self._connection: Connection | None = None
        self._closed = False
        self._working: asyncio.Task[None] | None = None

    async def open(self, begin: Run) -> None:
        """Connect, and do this first.

        Raises:
            ServerFailed: the server cannot be reached, or refuses.
        """
        try:
            with failures(self._url):
                await begin(await self._connected())
        except BaseException:
            await self._drop()
            raise
        self._working = asyncio.create_task(self._work())

    async def read(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """The value of `run`, which sees the database as it stands at its first statement."""
        found: T = await self._ask(run, "read")
        return found

    async def write(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """The value of `run` after what it wrote is durable."""
        found: T = await self._ask(run)
        return found

    async def write_together(self, asked: Any, weight: int) -> Any:
        """This one's result of `together`, after it is durable."""
        return await self._ask(Together(asked, weight))

    def tell(self) -> None:
        """Let the other processes hear, soon."""
        if self._telling is None and not self._closed:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` when another process tells something."""
        self._heard = heard

    async def close(self) -> None:
        """Finish everything asked before, then close the connection."""
        if not self._closed:
            if self._telling is not None:
                self._tell()
            self._closed = True
            self._waiting.put_nowait(None)
        if self._working is not None:
            await asyncio.shield(self._working)
        await self._drop()

    async def _ask(self, what: Run | Together, kind: Kind = "write") -> Any:
        if self._closed:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Operation(what, future, kind))
        return await future

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        told.add_done_callback(lambda future: future.exception())  # a hint that fails is one that does not come
        self._waiting.put_nowait(_Operation(partial(_told, self._channel), told, "tell"))

    def _hear(self, connection: Connection, sender: int, *_: object) -> None:
        if sender != connection.get_server_pid():
            self._heard()

    # ---------------------------------------------------------------- the worker

    async def _work(self) -> None:
        async for group in self._groups():
            try:
                await self._run(group)
            except Exception as error:
                await self._failed(group, error)

    async def _groups(self) -> AsyncIterator[list[_Operation]]:
        """Writes together up to the bounds, all else alone, in the order asked."""
        group: list[_Operation] = []
        while True:
            if group and self._waiting.empty():
                yield group
                group = []
            operation = await self._waiting.get()
            if group and (operation is None or not self._joins(operation, group)):
                yield group
                group = []
            if operation is None:
                return
            group.append(operation)

    def _joins(self, operation: _Operation, group: list[_Operation]) -> bool:
        if {operation.kind, group[0].kind} != {"write"} or len(group) >= OPERATIONS_PER_COMMIT_MAX:
            return False
        return sum(each.weight for each in group) + operation.weight <= self._weight_max

    async def _run(self, group: list[_Operation]) -> None:
        with failures(self._url):
            connection = await self._begun(_begin(group[0].kind))
            results = await self._results(connection, group)
            await connection.execute("COMMIT")
        for operation, result in zip(group, results, strict=True):
            if not operation.future.done():
                operation.future.set_result(result)

    async def _results(self, connection: Connection, group: list[_Operation]) -> list[Any]:
        found: list[Any] = []
        for shared, part in groupby(group, key=lambda each: isinstance(each.what, Together)):
            whats = [each.what for each in part]
            if shared:
                found += await self._together(connection, [what.asked for what in whats if isinstance(what, Together)])
            else:
                found += [await what(connection) for what in whats if not isinstance(what, Together)]
        return found

    async def _failed(self, group: list[_Operation], error: Exception) -> None:
        self._undone([each.what.asked for each in group if isinstance(each.what, Together)])
        await self._rolled_back()
        if len(group) > 1:
            for operation in group:
                try:
                    await self._run([operation])
                except Exception as own:
                    await self._failed([operation], own)
        elif not group[0].future.done():
            group[0].future.set_exception(error)

    async def _rolled_back(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.execute("ROLLBACK")
        except Exception:
            await self._drop()  # what its state is nobody knows

    async def _begun(self, begin: str) -> Connection:
        """In a transaction. A connection may have been lost since the last one: nothing was asked of it, so a new one
        is made."""
        connection = await self._connected()
        try:
            await connection.execute(begin)
        except Exception as error:
            if not is_of_driver(error):
                raise
            await self._drop()
            connection = await self._connected()
            await connection.execute(begin)
        return connection

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
            try:
                await self._connection.add_listener(self._channel, self._hear)
            except BaseException:
                await self._drop()
                raise
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


def _begin(kind: Kind) -> str:
    return {"write": statements.BEGIN, "read": statements.BEGIN_READ, "tell": statements.BEGIN_TELL}[kind]


async def _told(channel: str, connection: Connection) -> None:
    await connection.fetch(statements.NOTIFY, channel)


@contextlib.contextmanager
def failures(url: str) -> Iterator[None]:
    """What the driver, the server or the way to it raises, as ServerFailed, which names them without a password."""
    try:
        yield
    except Exception as error:
        if not is_of_driver(error):
            raise
        raise ServerFailed(
            f"PostgreSQL at {where(url)}: {error or type(error).__name__}; nothing was changed"
        ) from error


def where(url: str) -> str:
    """Host, port and database of a URL."""
    parts = urlsplit(url)
    host = parts.hostname or "the local socket"
    return f"{host}:{parts.port or 5432}{parts.path}"
