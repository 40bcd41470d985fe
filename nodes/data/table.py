"""A CSV file as a table of numbers, read by row ranges so that any worker can make any batch again.

The file is read once from front to back: every value that the program needs is checked, the largest absolute value of
each column is kept (fixed-point scales need it), and the position of every 1024th row. Memory does not grow with the
file but for those positions: 8 bytes per 1024 rows.
"""

from __future__ import annotations

import csv
import hashlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from nodes.data import records
from schemas.errors import BadData

ROWS_PER_MARK: Final = 1024
BLOCK_BYTES: Final = 1 << 20
RECORD_BYTES_MAX: Final = 16 << 20
COLUMNS_MAX: Final = 10_000
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a CSV file, and what the first row looks like."""

    path: Path
    columns: tuple[str, ...]
    numeric: tuple[str, ...]  # the columns whose value in the first row is a number
    body_offset: int  # bytes before the first row

    def position(self, column: str) -> int:
        """Where the column stands. Raises BadData naming the columns there are."""
        if column not in self.columns:
            shown = ", ".join(self.columns[:50]) + ("…" if len(self.columns) > 50 else "")
            raise BadData(f"{self.path.name} has no column {column!r}; its columns are: {shown}", column=column)
        return self.columns.index(column)


@dataclass(frozen=True, slots=True)
class Table:
    """The columns that a program needs, of a CSV file that was read once and found good."""

    header: Header
    columns: tuple[str, ...]
    id_column: str | None
    rows: int
    bounds: NDArray[np.float64]  # largest absolute value per column of `columns`
    digest: str  # sha256 of the file, hex
    _marks: array[int] = field(repr=False)  # byte offset of rows 0, 1024, 2048, …; last the end of the file
    _stamp: tuple[int, int] = field(repr=False)  # size and modification time

    def read(self, first: int, count: int) -> NDArray[np.float64]:
        """Rows `first` (from 0) to `first + count`: float64 [count, len(columns)].

        Raises BadData when the file has changed since it was opened; IndexError for rows that do not exist.
        """
        wanted = [self.header.position(column) for column in self.columns]
        return records.numbers(self._bytes(first, count), self.header.columns, wanted, first + 1)

    def ids(self, first: int, count: int) -> list[str]:
        """The id column of the same rows; without one the row numbers, counted from 1."""
        if self.id_column is None:
            self._require_rows(first, count)
            return [str(row) for row in range(first + 1, first + count + 1)]
        position = self.header.position(self.id_column)
        return records.texts(self._bytes(first, count), self.header.columns, position, first + 1)

    def _require_rows(self, first: int, count: int) -> None:
        if first < 0 or count < 0 or first + count > self.rows:
            raise IndexError(f"rows {first} to {first + count} of a table of {self.rows} rows")

    def _bytes(self, first: int, count: int) -> bytes:
        self._require_rows(first, count)
        if count == 0:
            return b""
        mark, last_mark = first // ROWS_PER_MARK, -(-(first + count) // ROWS_PER_MARK)
        start, end = self._marks[mark], self._marks[min(last_mark, len(self._marks) - 1)]
        with self.header.path.open("rb") as file:
            if _stamp(file) != self._stamp:
                raise BadData(f"{self.header.path.name} has changed since the job began; submit it again")
            file.seek(start)
            block = file.read(end - start)
        block = block if block.endswith(b"\n") else block + b"\n"
        ends = records.record_ends(block)
        skipped = first - mark * ROWS_PER_MARK
        begin = int(ends[skipped - 1]) + 1 if skipped else 0
        return block[begin : int(ends[skipped + count - 1]) + 1]


def read_header(path: Path) -> Header:
    """The header of a CSV file. Raises BadData: no such file, empty, not UTF-8, names missing or given twice."""
    with _opened(path) as file:
        block = file.read(BLOCK_BYTES)
    if not block.strip(b"\r\n \xef\xbb\xbf"):
        raise BadData(f"{path.name} is empty; the first line must name the columns")
    skipped = len(BYTE_ORDER_MARK) if block.startswith(BYTE_ORDER_MARK) else 0
    block = block[skipped:] if b"\n" in block else block[skipped:] + b"\n"
    ends = records.record_ends(block)
    if not len(ends):
        raise BadData(f"the header of {path.name} is longer than {BLOCK_BYTES:,} bytes or has an open quotation mark")
    body = int(ends[0]) + 1
    columns = _names(path, block[:body])
    rest = block[body:] if len(ends) > 1 else block[body:] + b"\n"
    row_end = records.record_ends(rest)
    first = next(records.records(rest[: int(row_end[0]) + 1], columns, 1), None) if rest.strip(b"\r\n") else None
    if first is None:
        raise BadData(f"{path.name} has a header but no rows")
    numeric = tuple(c for c, text in zip(columns, first[1], strict=True) if records.as_number(text) is not None)
    return Header(path, columns, numeric, skipped + body)


def open_table(header: Header, columns: tuple[str, ...], id_column: str | None = None) -> Table:
    """Read the file once, check `columns` (names, in the program's order) and index the rows.

    Raises BadData naming row (from 1) and column of the first value that cannot be used.
    """
    wanted = [header.position(column) for column in columns]
    if id_column is not None:
        header.position(id_column)
    bounds = np.zeros(len(columns), dtype=np.float64)
    marks, rows, hasher = array("q"), 0, hashlib.sha256()
    with _opened(header.path) as file:
        stamp = _stamp(file)
        hasher.update(file.read(header.body_offset))
        for offset, block in _blocks(file, header.body_offset, hasher):
            values = records.numbers(block, header.columns, wanted, rows + 1)
            _mark(marks, block, offset, rows)
            rows += len(values)
            bounds = np.maximum(bounds, np.abs(values).max(axis=0, initial=0.0))
    marks.append(stamp[0])
    bounds.flags.writeable = False
    return Table(header, columns, id_column, rows, bounds, hasher.hexdigest(), marks, stamp)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror or error}") from error


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _names(path: Path, line: bytes) -> tuple[str, ...]:
    try:
        fields = next(csv.reader([line.decode("utf-8").rstrip("\r\n")], strict=True), [])
    except UnicodeDecodeError as error:
        raise BadData(f"the header of {path.name} is not UTF-8 text; save the file as UTF-8") from error
    except csv.Error as error:
        raise BadData(f"the header of {path.name} cannot be read as CSV: {error}") from error
    columns = tuple(name.strip() for name in fields)
    if len(columns) > COLUMNS_MAX:
        raise BadData(f"{path.name} has {len(columns):,} columns; at most {COLUMNS_MAX:,} are read")
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise BadData(f"the columns of {path.name} must be separated by commas")
    if any(records.as_number(name) is not None and "." in name for name in columns):
        raise BadData(f"{path.name} has no header; its first line must name the columns")
    for position, name in enumerate(columns):
        if not name:
            raise BadData(f"column {position + 1} of {path.name} has no name")
        if name in columns[:position]:
            raise BadData(f"{path.name} has two columns named {name!r}; rename one", column=name)
    return columns


def _blocks(file: BinaryIO, offset: int, hasher: hashlib._Hash) -> Iterator[tuple[int, bytes]]:
    """Whole records, about a mebibyte at a time, with their offset in the file. Empty lines at the end are dropped."""
    carry = b""
    while chunk := file.read(BLOCK_BYTES):
        hasher.update(chunk)
        carry += chunk
        ends = records.record_ends(carry)
        cut = len(carry[: int(ends[-1]) + 1].rstrip(b"\r\n")) if len(ends) else 0
        cut = carry.find(b"\n", cut) + 1 if cut else 0
        if cut:
            yield offset, carry[:cut]
            offset, carry = offset + cut, carry[cut:]
        if len(carry) > RECORD_BYTES_MAX:
            raise BadData(f"a row is longer than {RECORD_BYTES_MAX:,} bytes; look for an open quotation mark")
    last = carry.rstrip(b"\r\n")
    if last:
        yield offset, last + b"\n"


def _mark(marks: array[int], block: bytes, offset: int, rows: int) -> None:
    """Append the offsets of those rows of the block whose number (from 0) is a multiple of ROWS_PER_MARK."""
    starts = np.concatenate(([0], records.record_ends(block)[:-1] + 1)) + offset
    marks.extend(int(start) for start in starts[-rows % ROWS_PER_MARK :: ROWS_PER_MARK])
