"""A disk that is full or fails, or a store's server that does, pauses a node: what needed it is done again until it
works. Nothing is lost or blamed.

    work ──► done
     │ ▲
     ▼ └── after a pause, as often as it takes: no delivery is settled meanwhile, no attempt of an activity counted
    the disk fails: one line in the log, and the node is not ready until all that failed has been done or given up

What holds on here is bounded by what may be under way: prefetches, activities, publishes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Self, TypeVar

import structlog

from nodes.store.errors import BlobMissing, ServerFailed, StoreFailed
from schemas.errors import SubletError

T = TypeVar("T")

PAUSE_SECONDS_MIN: Final = 1.0
PAUSE_SECONDS_MAX: Final = 5.0
"""What is done again may be dear, so it is not done again every second."""
_NUMBERS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


class StorageFailed(SubletError):  # noqa: N818 - reads as the sentence it is
    """A command could not write what it must keep. Nothing of it is left."""

    @classmethod
    def of(cls, error: BaseException, folder: Path) -> Self:
        """What failed below `folder`, in words."""
        free = _free_bytes(folder)
        room = "" if free is None else f", {free:,} bytes are free there"
        return cls(f"cannot write to {_where(error) or folder}: {_why(error)}{room}; make room and try again")


def is_fault(error: BaseException) -> bool:
    """Whether the disk is at fault, not what was asked of it."""
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    return isinstance(error, StoreFailed) and not isinstance(error, BlobMissing)


class Storage:
    """The disk under a node's folder. Belongs to one event loop."""

    def __init__(self, folder: Path | None = None, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`folder` is where the node keeps things, if it keeps any; `pause` waits so many seconds."""
        self._folder = folder
        self._pause = pause
        self._holding = 0
        self._why = ""
        self._log = structlog.get_logger(__name__)

    @property
    def ready(self) -> bool:
        """Whether nothing waits for the disk."""
        return self._holding == 0

    @property
    def trouble(self) -> str:
        """What waits for the disk, or for the store's server, and why; empty while nothing does."""
        return "" if self.ready else self._why

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, done again while the disk fails. Raises whatever else it raises."""
        pause, failed = PAUSE_SECONDS_MIN, False
        try:
            while True:
                try:
                    return await work()
                except Exception as error:
                    if not is_fault(error):
                        raise
                    if not failed:
                        failed = True
                        self._hold(error)
                await self._pause(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
        finally:
            if failed:
                self._let_go()

    def _hold(self, error: BaseException) -> None:
        self._holding += 1
        if self._holding > 1:
            return
        folder = None if isinstance(error, ServerFailed) else self._folder
        where = _where(error) or (None if folder is None else str(folder))
        free = None if folder is None else _free_bytes(folder)
        self._why = f"paused: what must be kept cannot be written: {_why(error)}"
        self._log.error("paused: what must be kept cannot be written", path=where, free_bytes=free, reason=_why(error))

    def _let_go(self) -> None:
        self._holding -= 1
        if self.ready:
            self._log.info("it can be written again, going on", folder=str(self._folder))


def _where(error: BaseException) -> str | None:
    return os.fsdecode(error.filename) if isinstance(error, OSError) and error.filename else None


def _why(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    cause = error.__cause__
    return f"{cause} ({cause.sqlite_errorname})" if isinstance(cause, sqlite3.Error) else str(error)


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
