"""Which processes that wrote to a store's file have ended, as the kernel knows it. Blocking.

Each holds a lock (flock(2)) on a file of its own name for as long as it has the store open. The kernel lets go of it
when the process ends, however it ends, so whoever can take the lock of another knows that this one is gone. One that
was stopped or hangs holds its lock. Of one without such a file nothing is known: its rows wait for the end of their
lease.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class Owners:
    """The locks of a store's owners, in a folder beside its file; without one, nobody holds any."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        """Descriptors, which no child inherits."""

    def hold(self, owner: str) -> None:
        """Lock this one's file until `close`. Where that cannot be done, as on a full disk, it is as if unknown."""
        if self._folder is None or owner in self._held:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            descriptor = os.open(self._folder / owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            if _locked(descriptor):
                self._held[owner] = descriptor
            else:
                os.close(descriptor)

    def ended(self) -> list[str]:
        """Those whose lock nobody holds; `forget` them once their rows are free."""
        if self._folder is None:
            return []
        with contextlib.suppress(OSError):
            return [path.name for path in self._folder.iterdir() if path.name not in self._held and _is_free(path)]
        return []

    def forget(self, ended: Iterable[str]) -> None:
        """Remove their files. A name is never used again."""
        for owner in ended:
            if self._folder is not None:
                with contextlib.suppress(OSError):
                    (self._folder / owner).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all; whoever says next that it lives removes their files."""
        while self._held:
            _, descriptor = self._held.popitem()
            os.close(descriptor)


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
