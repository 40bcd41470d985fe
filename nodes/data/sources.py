"""Opens what a user brings, by what it begins with."""

from __future__ import annotations

from pathlib import Path

from nodes.data import stream
from nodes.data.arrow_source import KINDS, open_arrow
from nodes.data.csv_source import open_csv
from nodes.data.port import Source
from nodes.data.reading import Dialect


def open_source(path: Path, dialect: Dialect | None = None) -> Source:
    """The table in a file: Parquet, Arrow, or text, packed or not.

    Raises:
        BadData: it cannot be read, or is no table; says what it is and what to do.
        BadConfig: the dialect makes no sense, or the file needs an extra that is not installed.
    """
    with stream.opened(path) as file:
        head = file.read(stream.MAGIC_BYTES)
    kind = next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)
    return open_csv(path, dialect or Dialect()) if kind is None else open_arrow(path, kind)
