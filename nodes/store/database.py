"""One SQLite connection on one thread, with group commit: what is asked while a commit is under way shares the next.

Knows nothing of events or tables. An operation is a function of the connection. Reads run alone, each on one state of
the database; consecutive writes run in one `BEGIN IMMEDIATE … COMMIT`, each inside its own savepoint, so that one that
raises undoes only itself. A future is resolved only after its commit is durable (WAL, synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from nodes.store import file
from nodes.store.errors import StoreClosed, StoreFailed, StoreOfAnotherFormat

T = TypeVar("T")

OPERATIONS_PER_COMMIT_MAX: Final = 64


@dataclass(slots=True)
class _Operation:
    run: Callable[[sqlite3.Connection], Any]
    weight: int
    """Inputs it handles; 0 for a read."""
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None


class Database:
    """The thread and its connection.

    `undone` is called on the thread when a whole transaction was rolled back, whatever its operations had come to. An
    operation that raises has undone itself alone and knows it.
    """

    def __init__(self, path: Path | None, *, weight_per_commit_max: int, undone: Callable[[], None]) -> None:
        self._path = path
        self._weight_max = weight_per_commit_max
        self._undone = undone
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._closed = False
        self._finished: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._work, name="sublet-store", daemon=True)

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreFailed: the file cannot be opened or made.
            StoreOfAnotherFormat: it is not a store of this release.
        """
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._finished = loop.create_future()
        self._thread.start()
        await self._opened

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """The value of `run`, which sees the database as it stands at its first statement."""
        return await self._ask(run, 0)

    async def write(self, run: Callable[[sqlite3.Connection], T], *, weight: int = 1) -> T:
        """The value of `run` after what it wrote is durable. Its own exceptions are raised as they are."""
        return await self._ask(run, weight)

    async def close(self) -> None:
        """Finish everything asked before, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._finished is not None:
            await asyncio.shield(self._finished)

    async def _ask(self, run: Callable[[sqlite3.Connection], T], weight: int) -> T:
        if self._closed:
            raise StoreClosed("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Operation(run, weight, future, loop))
        return await future

    # ---------------------------------------------------------------- on the thread

    def _work(self) -> None:
        assert self._finished is not None
        loop = self._finished.get_loop()
        try:
            connection = file.connect(self._path)
        except Exception as error:
            failure = error if isinstance(error, StoreOfAnotherFormat) else StoreFailed(f"{self._path}: {error}")
            _call(loop, _settle, self._opened, None, failure)
            _call(loop, _settle, self._finished, None, None)
            return
        _call(loop, _settle, self._opened, None, None)
        try:
            for group in self._groups():
                self._run(connection, group)
        finally:
            connection.close()
            _call(loop, _settle, self._finished, None, None)

    def _groups(self) -> Iterator[list[_Operation]]:
        """Reads alone; writes together up to the bounds, in the order asked."""
        group: list[_Operation] = []
        while True:
            try:
                operation = self._queue.get(block=not group)
            except queue.Empty:
                yield group
                group = []
                continue
            if group and (operation is None or not self._joins(operation, group)):
                yield group
                group = []
            if operation is None:
                return
            group.append(operation)

    def _joins(self, operation: _Operation, group: list[_Operation]) -> bool:
        if not operation.weight or not group[0].weight or len(group) >= OPERATIONS_PER_COMMIT_MAX:
            return False
        return sum(each.weight for each in group) + operation.weight <= self._weight_max

    def _run(self, connection: sqlite3.Connection, group: list[_Operation]) -> None:
        try:
            if group[0].weight:
                self._write(connection, group)
            else:
                _read(connection, group[0])
        except Exception as error:
            for operation in group:
                operation.error = error
        for operation in group:
            if isinstance(operation.error, sqlite3.Error):
                cause = operation.error
                operation.error = StoreFailed(f"{self._path or 'in memory'}: {cause}; nothing was changed")
                operation.error.__cause__ = cause
            _call(operation.loop, _settle, operation.future, operation.result, operation.error)

    def _write(self, connection: sqlite3.Connection, group: list[_Operation]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for operation in group:
                connection.execute("SAVEPOINT operation")
                _attempt(connection, operation)
                if operation.error is not None and not connection.in_transaction:
                    raise operation.error  # SQLite ended it by itself, as on a full disk
                if operation.error is not None:
                    connection.execute("ROLLBACK TO operation")
                connection.execute("RELEASE operation")
            connection.execute("COMMIT")
        except BaseException:
            self._undone()
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _read(connection: sqlite3.Connection, operation: _Operation) -> None:
    connection.execute("BEGIN")
    _attempt(connection, operation)
    if connection.in_transaction:  # SQLite ends it by itself on some failures
        connection.execute("ROLLBACK")


def _attempt(connection: sqlite3.Connection, operation: _Operation) -> None:
    try:
        operation.result = operation.run(connection)
    except Exception as error:
        operation.error = error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Hand a result to the loop; a loop that is closed waits for nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)
