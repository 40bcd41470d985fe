"""Results on their way to OUT.csv: one part file per accepted batch, joined in the order of the rows at the end.

A part is named after its rows (`<first>-<count>.part`) and holds float64 little-endian, row-major. Writing it again
replaces it, so that a batch that was computed twice does no harm. Parts are plaintext of the renter: the folder is
readable by its owner only.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData, JobFailed

SUFFIX: Final = ".part"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parts:
    """The part files of one job's result, `width` floats per row."""

    folder: Path
    width: int

    def write(self, first: int, values: Rows) -> Path:
        """Keep the results of the rows from `first` (from 0): float64 [count, width]. Atomic and durable."""
        if values.ndim != 2 or values.shape[1] != self.width:
            raise ValueError(f"a part must have the shape [count, {self.width}], not {list(values.shape)}")
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path = self.folder / f"{first:012d}-{len(values):09d}{SUFFIX}"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        body = np.ascontiguousarray(values, dtype="<f8").tobytes()
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path

    def ranges(self) -> list[tuple[int, int]]:
        """First row and count of every part there is, in order."""
        if not self.folder.is_dir():
            return []
        names = (path.stem.split("-") for path in self.folder.glob(f"*{SUFFIX}"))
        return sorted((int(first), int(count)) for first, count in names)

    def missing(self, rows: int) -> list[tuple[int, int]]:
        """First row and count of every gap among rows 0 to `rows`."""
        gaps, position = [], 0
        for first, count in [*self.ranges(), (rows, 0)]:
            if first > position:
                gaps.append((position, first - position))
            position = max(position, first + count)
        return gaps

    def read(self, rows: int) -> Iterator[tuple[int, Rows]]:
        """First row and values [count, width] of every part, in order. Raises JobFailed: gap, overlap, bad part."""
        position = 0
        for first, count in self.ranges():
            if first != position:
                break
            yield first, self._values(first, count)
            position += count
        if position != rows:
            raise JobFailed(f"the results do not fit together at row {position + 1} of {rows}")

    def discard(self) -> None:
        """Remove the parts and the folder."""
        if self.folder.is_dir():
            for path in [*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob("*.tmp")]:
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _values(self, first: int, count: int) -> Rows:
        path = self.folder / f"{first:012d}-{count:09d}{SUFFIX}"
        body = path.read_bytes()
        if len(body) != count * self.width * 8:
            raise JobFailed(f"the part {path.name} has {len(body)} bytes instead of {count * self.width * 8}")
        return np.frombuffer(body, dtype="<f8").reshape(count, self.width).astype(np.float64, copy=False)


def write_csv(path: Path, header: Sequence[str], chunks: Iterable[tuple[Sequence[str], Rows]]) -> int:
    """Write OUT.csv: `header` (id column, then one name per output), then each chunk's ids and values [count, width].

    Floats are written as the shortest text that reads back as the same float. The file appears whole or not at all.
    Returns the number of rows. Raises BadData when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                rows = _write(file, header, chunks)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    return rows


def _write(file: TextIO, header: Sequence[str], chunks: Iterable[tuple[Sequence[str], Rows]]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    rows = 0
    for ids, values in chunks:
        writer.writerows([row_id, *row] for row_id, row in zip(ids, values.tolist(), strict=True))
        rows += len(values)
    return rows
