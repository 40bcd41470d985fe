"""One connection to PostgreSQL: what is asked is carried out in that order, and writes asked meanwhile share a commit.

Knows nothing of events or tables. A read sees one state of the database. A write is a coroutine function of the
connection, or is `Together` with its neighbours. When a transaction of several fails, each is tried again alone, so
that one which raises undoes only itself. A future is resolved only after its commit is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from nodes.store.errors import ServerFailed, StoreClosed
from nodes.store.postgres import statements
from nodes.store.postgres.driver import Connection, connect, is_of_driver

T = TypeVar("T")

OPERATIONS_PER_COMMIT_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Together:
    """A write that is carried out together with those of its kind which were asked next to it."""

    asked: Any
    weight: int


Run = Callable[[Connection], Awaitable[Any]]


@dataclass(slots=True)
class _Operation:
    what: Run | Together
    future: asyncio.Future[Any]
    reads: bool = False

    @property
    def weight(self) -> int:
        return self.what.weight if isinstance(self.what, Together) else 1


class Database:
    """The connection, made when it is first needed and again after it was lost.

    `together` carries out several `Together` and gives a result for each. `undone` is called with these when nothing of
    them was kept.
    """

    def __init__(
        self,
        url: str,
        *,
        weight_per_commit_max: int,
        together: Callable[[Connection, Sequence[Any]], Awaitable[Sequence[Any]]],
        undone: Callable[[Sequence[Any]], None],
    ) -> None:
        self._url = url
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
            with _failures(self._url):
                await begin(await self._connected())
        except BaseException:
            await self._drop()
            raise
        self._working = asyncio.create_task(self._work())

    async def read(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """The value of `run`, which sees the database as it stands at its first statement."""
        found: T = await self._ask(run, reads=True)
        return found

    async def write(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """The value of `run` after what it wrote is durable."""
        found: T = await self._ask(run)
        return found

    async def write_together(self, asked: Any, weight: int) -> Any:
        """This one's result of `together`, after it is durable."""
        return await self._ask(Together(asked, weight))

    async def close(self) -> None:
        """Finish everything asked before, then close the connection."""
        if not self._closed:
            self._closed = True
            self._waiting.put_nowait(None)
        if self._working is not None:
            await asyncio.shield(self._working)
        await self._drop()

    async def _ask(self, what: Run | Together, *, reads: bool = False) -> Any:
        if self._closed:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Operation(what, future, reads))
        return await future

    # ---------------------------------------------------------------- the worker

    async def _work(self) -> None:
        async for group in self._groups():
            try:
                await self._run(group)
            except Exception as error:
                await self._failed(group, error)

    async def _groups(self) -> AsyncIterator[list[_Operation]]:
        """Reads alone; writes together up to the bounds, in the order asked."""
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
        if operation.reads or group[0].reads or len(group) >= OPERATIONS_PER_COMMIT_MAX:
            return False
        return sum(each.weight for each in group) + operation.weight <= self._weight_max

    async def _run(self, group: list[_Operation]) -> None:
        with _failures(self._url):
            connection = await self._begun(statements.BEGIN_READ if group[0].reads else statements.BEGIN)
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
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


@contextlib.contextmanager
def _failures(url: str) -> Iterator[None]:
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
