"""A table of ours: what a job takes, or what it gave. Numbers as a matrix and columns of text, read by row ranges.

Opening checks every byte against the digest; reading a batch is one read of a slice. Files are read and not mapped, so
that one that is cut short on a shared folder is an error and not the end of the process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.data import manifest, stream
from nodes.data.manifest import ENDS, TEXTS, VALUES, Manifest
from nodes.data.port import Block
from schemas.errors import BadData

CHANGED: Final = "the job's {} has changed since the job began: it was cut short or written to; submit it again"
ROWS_AT_ONCE: Final = 1 << 16
NUMBERS_AT_ONCE: Final = 1 << 21


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of some columns."""

    folder: Path
    known: Manifest
    digest: str  # sha256 of the manifest, hex
    bounds: NDArray[np.float64]  # largest absolute value per column of numbers
    whole: NDArray[np.bool_]  # per column of numbers: whether it holds whole numbers only
    _stamps: dict[str, tuple[int, int]] = field(repr=False)  # size and modification time of each file

    @property
    def rows(self) -> int:
        """How many."""
        return self.known.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of numbers: of a job's input all that the program takes, in its order."""
        return self.known.numbers

    @property
    def gaps(self) -> str:
        """Where values are missing, in words; empty where none is."""
        return self.known.gaps_in_words

    def read(self, first: int, count: int) -> NDArray[np.float64]:
        """Numbers of the rows `first` (from 0) to `first + count`: float64 [count, len(columns)], NaN where missing.

        Raises BadData when the file has changed since it was opened; IndexError for rows that do not exist.
        """
        self._require_rows(first, count)
        width = len(self.bounds)
        return self._slice(VALUES, first * width, count * width, "<f8").reshape(count, width)

    def texts(self, column: int, first: int, count: int) -> list[str]:
        """A column of text, counted from 0, of the same rows; raises as `read`."""
        self._require_rows(first, count)
        before = min(first, 1)
        ends = self._slice(ENDS.format(column), first - before, count + before, "<u8").tolist()
        start = ends[0] if before else 0
        found = self._slice(TEXTS.format(column), start, (ends[-1] if ends else start) - start, "u1").tobytes()
        edges = [start, *ends[before:]]
        return [found[a - start : b - start].decode() for a, b in itertools.pairwise(edges)]

    def ids(self, first: int, count: int) -> list[str]:
        """The id column of the same rows; without one the row numbers, counted from 1."""
        if self.known.id_column is not None:
            return self.texts(self.known.texts.index(self.known.id_column), first, count)
        self._require_rows(first, count)
        return [str(row) for row in range(first + 1, first + count + 1)]

    def all_ids(self) -> Iterator[list[str]]:
        """Those of all rows in order, some at a time; raises as `read`."""
        for first in range(0, self.rows, ROWS_AT_ONCE):
            yield self.ids(first, min(ROWS_AT_ONCE, self.rows - first))

    def numbers(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """(first row, numbers) of all rows in order, as many at a time as memory should hold; raises as `read`."""
        at_once = min(ROWS_AT_ONCE, max(1, NUMBERS_AT_ONCE // max(1, len(self.columns))))
        for first in range(0, self.rows, at_once):
            yield first, self.read(first, min(at_once, self.rows - first))

    def blocks(self) -> Iterator[Block]:
        """All rows in order; raises as `read`."""
        for first, values in self.numbers():
            texts = (self.texts(column, first, len(values)) for column in range(len(self.known.texts)))
            yield Block(values, tuple(texts))

    def _require_rows(self, first: int, count: int) -> None:
        if first < 0 or count < 0 or first + count > self.rows:
            raise IndexError(f"rows {first} to {first + count} of a table of {self.rows} rows")

    def _slice(self, name: str, first: int, count: int, kind: str) -> NDArray[Any]:
        with (self.folder / name).open("rb") as file:
            if stream.stamp(os.fstat(file.fileno())) != self._stamps[name]:
                raise BadData(CHANGED.format(name))
            file.seek(first * np.dtype(kind).itemsize)
            found = np.fromfile(file, dtype=kind, count=count)
        if len(found) != count:
            raise BadData(CHANGED.format(name))
        return found


def open_table(folder: Path, digest: str | None = None) -> Table:
    """The table, every byte of it checked; with a digest that it is this one.

    Raises:
        FileNotFoundError: it is not there.
        BadData: it is damaged or another.
    """
    known, found = manifest.read(folder)
    if found != (digest or found):
        raise BadData(CHANGED.format(manifest.MANIFEST))
    stamps = {name: _checked(folder / name, expected) for name, expected in known.digests.items()}
    bounds, whole = np.array(known.bounds), np.array(known.whole)
    bounds.flags.writeable = whole.flags.writeable = False
    return Table(folder, known, found, bounds, whole, stamps)


def _checked(path: Path, digest: str) -> tuple[int, int]:
    stamp = stream.stamp(path.stat())
    if manifest.digest(path) != digest:
        raise BadData(CHANGED.format(path.name))
    return stamp
