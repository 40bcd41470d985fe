"""Results to where the user wants them: a file that is there whole or not at all, or stdout."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from schemas.errors import BadConfig


def copy_file(source: Path, target: Path | None) -> None:
    """A file to `target`, or to stdout.

    Raises:
        BadConfig: it cannot be written.
    """
    with source.open("rb") as file:
        copy(file, target)


def copy(source: BinaryIO, target: Path | None) -> None:
    """All that can be read to `target`, or to stdout.

    Raises:
        BadConfig: it cannot be written.
    """
    if target is None:
        sys.stdout.flush()
        shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.flush()
        return
    try:
        _write_whole(source, target)
    except OSError as error:
        raise BadConfig(f"cannot write {target}: {error.strerror or error}", field="out") from error


def _write_whole(source: BinaryIO, target: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=target.absolute().parent, prefix=f".{target.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            shutil.copyfileobj(source, file)
            file.close()
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
