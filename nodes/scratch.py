"""Temporary folders of networks in this process. What a process that was killed left is removed by the next."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "sublet-local-"
IN_USE: Final = "in-use"
"""A file that its process holds locked: whoever can lock it knows that this has ended, in whatever container it ran."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is removed at the end; raises OSError."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / f"{IN_USE}.new").open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            Path(held.name).rename(folder / IN_USE)  # locked before anybody looks
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*/{IN_USE}"):
        with contextlib.suppress(OSError), left.open("rb") as file:  # in use, another user's, or swept meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
