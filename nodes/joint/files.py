"""A table's columns as integers, in files: made once in a job, some columns at a time, and read where they are wanted.

So memory does not grow with the number of columns, and any worker and any process of a crew has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.joint.alignment import Places
from nodes.joint.columns import Columns, Floats, Integers
from schemas.errors import BadData

VALUES_AT_A_TIME: Final = 1 << 21
"""Of some columns, made together: 16 MiB."""
VALUES_READ_AT_A_TIME: Final = 1 << 17
"""Of all columns, of which those are taken: 1 MiB, which a core's cache holds."""
FILE_MODE: Final = 0o600


class Scales(Struct, frozen=True):
    """What the integers stand for."""

    units: tuple[float, ...]
    offsets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class IntegerFile:
    """Integers [rows, columns] as NumPy keeps arrays, column after column. What is asked for is read, and not mapped:
    mapped pages stay in memory, and a file that is cut short would end the process."""

    path: Path
    shape: tuple[int, ...]
    kind: np.dtype[Any]
    start: int
    """Bytes before the first number."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises OSError or ValueError: it is not there, or damaged."""
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, by_column, kind = np.lib.format.read_array_header_1_0(file)
            found = cls(path, shape, kind, file.tell())
            if not by_column or path.stat().st_size != found._place(shape[1], 0):
                raise ValueError(f"{path.name} is no such file")
            return found

    def __getitem__(self, at: tuple[slice | NDArray[np.integer[Any]], slice | int]) -> Integers:
        """Of rows (a slice or places) and columns (a slice or one). Raises BadData: it was cut short, or is gone."""
        rows, columns = at
        first, end, _ = (rows if isinstance(rows, slice) else slice(None)).indices(self.shape[0])
        picked = slice(None) if isinstance(rows, slice) else rows
        try:
            with self.path.open("rb", buffering=0) as file:
                if isinstance(columns, int):
                    return self._read(file, columns, first, end)[picked]
                chosen = range(*columns.indices(self.shape[1]))
                return np.array([self._read(file, each, first, end)[picked] for each in chosen], dtype=self.kind).T
        except OSError as error:
            raise _damaged(self.path) from error

    def _read(self, file: BinaryIO, column: int, first: int, end: int) -> Integers:
        """Rows `first` to `end` of one column."""
        file.seek(self._place(column, first))
        found = np.fromfile(file, dtype=self.kind, count=end - first)
        if len(found) != end - first:
            raise _damaged(self.path)
        return found

    def _place(self, column: int, row: int) -> int:
        return self.start + (column * self.shape[0] + row) * self.kind.itemsize


@dataclass(frozen=True, slots=True)
class IntegerFiles:
    """Where they lie, in a job's folder."""

    folder: Path

    @property
    def integers(self) -> Path:
        """An `IntegerFile`."""
        return self.folder / "integers.npy"

    @property
    def _scales(self) -> Path:
        return self.folder / "scales.json"

    def make(self, table: Table, places: Places | None, quantise: Callable[[range, Floats], Columns]) -> Columns:
        """Those of the table's rows, or of the rows at `places` in their order; done again it gives the same.

        `quantise` makes them of the values [rows, k] of some columns that follow each other.
        """
        rows, width = table.rows if places is None else len(places), len(table.columns)
        aside, made = self._aside(), list[Scales]()
        at_once = max(1, VALUES_AT_A_TIME // max(1, table.rows))
        with aside.open("wb") as file:
            for first in range(0, width, at_once):
                chunk = range(first, min(width, first + at_once))
                part = quantise(chunk, values_of(table, places, chunk))
                integers: Integers = part.integers[:, :]
                if not made:
                    _write_header(file, integers.dtype, (rows, width))
                file.write(integers.tobytes(order="F"))
                made.append(Scales(tuple(part.units.tolist()), tuple(part.offsets.tolist())))
        if not made:
            raise BadData("there is no column")
        units, offsets = zip(*[(each.units, each.offsets) for each in made], strict=True)
        return self._put(aside, Scales(tuple(chain.from_iterable(units)), tuple(chain.from_iterable(offsets))))

    def remove(self) -> None:
        """As if none had been made."""
        for path in (self.integers, self._scales):
            path.unlink(missing_ok=True)

    def read(self) -> Columns:
        """What was made; the integers stay in their file.

        Raises:
            BadData: the files are gone or damaged.
        """
        try:
            scales = msgspec.json.decode(self._scales.read_bytes(), type=Scales)
            integers = IntegerFile.of(self.integers)
        except (OSError, ValueError) as error:
            raise _damaged(self.integers) from error
        return Columns(integers, np.array(scales.units), np.array(scales.offsets))

    def _put(self, aside: Path, scales: Scales) -> Columns:
        noted = self._scales.with_suffix(f".{os.getpid()}.tmp")
        noted.write_bytes(msgspec.json.encode(scales))
        for path in (aside, noted):
            path.chmod(FILE_MODE)
        aside.rename(self.integers)
        noted.rename(self._scales)
        return self.read()

    def _aside(self) -> Path:
        return self.integers.with_suffix(f".{os.getpid()}.tmp")


def _damaged(path: Path) -> BadData:
    return BadData(f"{path.name} or its scales are gone or damaged; submit the job again")


def _write_header(file: BinaryIO, kind: np.dtype[Any], shape: tuple[int, int]) -> None:
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": True, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)


def values_of(table: Table, places: Places | None, columns: range) -> Floats:
    """Of columns that follow each other, [rows, columns], of all rows or of those at `places` in their order."""
    found = np.empty((table.rows, len(columns)))
    at_once = max(1, VALUES_READ_AT_A_TIME // len(table.columns))
    for first in range(0, table.rows, at_once):
        count = min(at_once, table.rows - first)
        found[first : first + count] = table.read(first, count)[:, columns.start : columns.stop]
    return found if places is None else found[places]


def column_of(table: Table, places: Places | None, at: int) -> Floats:
    """One, [rows], of the same rows."""
    return values_of(table, places, range(at, at + 1))[:, 0]


def label_of(table: Table, places: Places | None = None) -> Floats:
    """The last column."""
    return column_of(table, places, len(table.columns) - 1)
