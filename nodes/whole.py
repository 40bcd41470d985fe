"""Files that are there whole or not at all, for their owner alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def write_whole(path: Path, raw: bytes) -> None:
    """Write a file that is there whole or not at all; one that is there is left."""
    if path.exists():
        return
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}-{id(raw):x}.tmp")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except BaseException:  # on a full disk every try would leave a piece
        aside.unlink(missing_ok=True)
        raise
