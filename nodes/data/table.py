"""A job's table: ids as text and the program's columns as numbers, made once, read by row ranges by any worker.

Opening checks every byte against the digest; reading a batch is one read of a slice. Files are read and not mapped, so
that one that is cut short on a shared folder is an error and not the end of the process.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.data import manifest, stream
from nodes.data.manifest import ENDS, IDS, VALUES
from schemas.errors import BadData

CHANGED: Final = "the job's {} has changed since the job began: it was cut short or written to; submit it again"


@dataclass(frozen=True, slots=True)
class Table:
    """The columns that a program needs, in its order, of all rows."""

    folder: Path
    columns: tuple[str, ...]
    id_column: str | None
    rows: int
    bounds: NDArray[np.float64]  # largest absolute value per column
    whole: NDArray[np.bool_]  # per column: whether it holds whole numbers only
    gaps: str  # where values are missing, in words; empty where none is
    digest: str  # sha256 of the manifest, hex
    _stamps: dict[str, tuple[int, int]] = field(repr=False)  # size and modification time of each file

    def read(self, first: int, count: int) -> NDArray[np.float64]:
        """Rows `first` (from 0) to `first + count`: float64 [count, len(columns)], NaN where a value is missing.

        Raises BadData when the file has changed since it was opened; IndexError for rows that do not exist.
        """
        self._require_rows(first, count)
        width = len(self.columns)
        return self._slice(VALUES, first * width, count * width, "<f8").reshape(count, width)

    def ids(self, first: int, count: int) -> list[str]:
        """The id column of the same rows; without one the row numbers, counted from 1."""
        self._require_rows(first, count)
        if self.id_column is None:
            return [str(row) for row in range(first + 1, first + count + 1)]
        before = min(first, 1)
        ends = self._slice(ENDS, first - before, count + before, "<u8").tolist()
        start = ends[0] if before else 0
        texts = self._slice(IDS, start, (ends[-1] if ends else start) - start, "u1").tobytes()
        edges = [start, *ends[before:]]
        return [texts[a - start : b - start].decode() for a, b in itertools.pairwise(edges)]

    def _require_rows(self, first: int, count: int) -> None:
        if first < 0 or count < 0 or first + count > self.rows:
            raise IndexError(f"rows {first} to {first + count} of a table of {self.rows} rows")

    def _slice(self, name: str, first: int, count: int, kind: str) -> NDArray[Any]:
        with (self.folder / name).open("rb") as file:
            if stream.stamp(file) != self._stamps[name]:
                raise BadData(CHANGED.format(name))
            file.seek(first * np.dtype(kind).itemsize)
            found = np.fromfile(file, dtype=kind, count=count)
        if len(found) != count:
            raise BadData(CHANGED.format(name))
        return found


def open_table(folder: Path, digest: str) -> Table:
    """The table, every byte of it checked.

    Raises:
        FileNotFoundError: it is not there.
        BadData: it is not the one with this digest.
    """
    known, found = manifest.read(folder)
    if found != digest:
        raise BadData(CHANGED.format(manifest.MANIFEST))
    stamps = {name: _checked(folder / name, expected) for name, expected in known.digests.items()}
    bounds, whole = np.array(known.bounds), np.array(known.whole)
    bounds.flags.writeable = whole.flags.writeable = False
    return Table(folder, known.columns, known.id_column, known.rows, bounds, whole, known.gaps_in_words, digest, stamps)


def _checked(path: Path, digest: str) -> tuple[int, int]:
    with path.open("rb") as file:
        stamp = stream.stamp(file)
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise BadData(CHANGED.format(path.name))
    return stamp
