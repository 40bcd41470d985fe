"""Results to where the user wants them: a file that is there whole or not at all, or stdout."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schemas.errors import BadConfig


def require_writable(out: Path | None) -> None:
    """That a result can be written there, as far as that can be told before there is one.

    Raises:
        BadConfig: there is no such folder, no form of this name, or it needs an extra that is not installed.
    """
    from nodes.data.results import sink_for  # noqa: PLC0415 - commands that only look start quicker

    sink_for(out)
    if out is not None and out.is_dir():
        raise BadConfig(f"--out {out} is a folder; name a file in it", field="out")
    if out is not None and not out.absolute().parent.is_dir():
        raise BadConfig(f"there is no folder {out.absolute().parent} for --out", field="out")


def write_result(output: Path, out: Path | None) -> None:
    """A job's output, a table, to `out` in the form of its name, or to stdout as CSV.

    Raises:
        BadConfig: it cannot be written.
        BadData: the output has changed.
    """
    from nodes.data.results import sink_for  # noqa: PLC0415 - commands that only look start quicker
    from nodes.data.table import open_table  # noqa: PLC0415

    sink, table = sink_for(out), open_table(output)
    with writing(out) as file:
        sink(file, table)


@contextmanager
def writing(target: Path | None) -> Iterator[BinaryIO]:
    """A file to write to, which is `target` at the end: written beside it and renamed; or stdout.

    Raises:
        BadConfig: it cannot be written.
    """
    if target is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    try:
        if target.exists() and not target.is_file():  # a pipe or a device: nothing can be put in its place
            with target.open("wb") as file:
                yield file
            return
        target = target.resolve()
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            Path(beside).replace(target)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as error:
        raise BadConfig(f"cannot write {target}: {error.strerror or error}", field="out") from error
