"""A table's columns as integers, in files: made once in a job, some columns at a time, and read where they are wanted.

So memory does not grow with the number of columns, and any worker and any process of a crew has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from msgspec import Struct

from nodes.data.table import Table
from nodes.joint.alignment import Places
from nodes.joint.columns import Columns, Floats
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
class IntegerFiles:
    """Where they lie, in a job's folder."""

    folder: Path

    @property
    def integers(self) -> Path:
        """[rows, columns] as NumPy keeps arrays, column after column."""
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
                if not made:
                    _write_header(file, part.integers.dtype, (rows, width))
                file.write(part.integers.tobytes(order="F"))
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
            integers = np.load(self.integers, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise BadData(f"{self.integers.name} and its scales are gone or damaged; submit the job again") from error
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
