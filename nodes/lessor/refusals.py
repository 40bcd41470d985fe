"""The last thing that a lessor refused, in a file of its own: nothing else of what was refused outlives its workers.

    <folder>/last-refusal.json      a `Refusal`, of whichever worker wrote last

A flood of what is refused writes once in `WRITE_SECONDS`. It is for people to look at: a disk that fails only loses it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from nodes.lessor.receipts import FOLDER_MODE
from schemas.limits import REASON_CHARS_MAX

FILE: Final = "last-refusal.json"
FILE_BYTES_MAX: Final = 64 * 1024
WRITE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class Refusal(Struct, frozen=True, kw_only=True):
    """What was refused, of whom, and why."""

    at: float
    """Seconds since 1970 (UTC)."""
    source: str
    """Who sent it, as the broker vouches."""
    code: str
    reason: str


class Refusals:
    """Of one worker; `folder` is that of its lessor."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._clock = clock
        self._written_at = 0.0

    async def note(self, source: str, code: str, reason: str) -> None:
        """Write it down, unless one was a moment ago. Raises nothing."""
        now = self._clock()
        if 0 <= now - self._written_at < WRITE_SECONDS:
            return
        self._written_at = now
        refusal = Refusal(at=now, source=source, code=code, reason=reason[:REASON_CHARS_MAX])
        try:
            await asyncio.to_thread(self._write, refusal)
        except OSError as error:
            log.warning("a refusal could not be noted", reason=error.strerror or str(error))

    def _write(self, refusal: Refusal) -> None:
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(refusal))
            Path(beside).replace(self.folder / FILE)
        finally:
            Path(beside).unlink(missing_ok=True)


def last_refusal(folder: Path) -> Refusal | None:
    """As the file in this folder has it; None where there is none, or it is none."""
    try:
        with (folder / FILE).open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Refusal)
    except (OSError, msgspec.MsgspecError):
        return None
