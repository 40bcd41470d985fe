"""From a user's file to a job's table, in one pass and in memory that does not grow with the rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, get_args

import numpy as np
from numpy.typing import NDArray

from nodes.data import manifest
from nodes.data.binding import Binding, bind, require_width
from nodes.data.manifest import ENDS, IDS, VALUES, Manifest
from nodes.data.port import Block, Source
from nodes.data.reading import Missing, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table, open_table
from nodes.programs.program import Program
from schemas.errors import BadConfig, BadData
from schemas.limits import ROWS_PER_JOB_MAX

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_table(folder: Path, data: Path | Source, program: Program, reading: Reading) -> Table:
    """Make `folder` and in it the table that the program takes of a user's file, or of a source that is open.

    Raises:
        BadInput: the file, what the user says about it, and the program do not fit; names row and column.
    """
    if reading.missing not in get_args(Missing):
        raise BadConfig(f"--missing {reading.missing}: write nan or refuse", field="missing")
    require_width(program)
    source = open_source(data, reading.dialect) if isinstance(data, Path) else data
    return lay_down(folder, source, bind(program, source.header, reading.id_column, reading.columns), reading)


def lay_down(folder: Path, source: Source, binding: Binding, reading: Reading) -> Table:
    """Write the columns of a binding. Raises BadData naming row and column; FileExistsError."""
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    blocks = source.blocks(binding.columns, reading.id_column)
    with Writer(folder, len(binding.columns), with_ids=reading.id_column is not None) as writer:
        writer.write(blocks)
    scan = writer.scan
    known = Manifest(
        columns=binding.columns,
        by=binding.by,
        id_column=reading.id_column,
        rows=scan.rows,
        bounds=tuple(scan.bounds.tolist()),
        whole=tuple(scan.whole.tolist()),
        gaps=tuple(scan.gaps.tolist()),
        rows_with_gaps=scan.rows_with_gaps,
        digests=writer.digests,
    )
    if not scan.rows:
        raise BadData(f"{source.header.file} has a header but no rows: nothing to compute")
    if scan.first_gap is not None and reading.missing == "refuse":
        row, column = scan.first_gap[0], binding.columns[scan.first_gap[1]]
        message = f"row {row}, column {column!r}: the value is missing; {known.gaps_in_words}; fill them in"
        raise BadData(f"{message}, or give --missing nan if the program knows what to do", row=row, column=column)
    return open_table(folder, manifest.write(folder, known))


class Scan:
    """What is known of the rows so far."""

    def __init__(self, width: int) -> None:
        self.rows = 0
        self.bounds = np.zeros(width)
        self.whole = np.ones(width, dtype=np.bool_)
        self.gaps = np.zeros(width, dtype=np.int64)
        self.rows_with_gaps = 0
        self.first_gap: tuple[int, int] | None = None

    def add(self, values: NDArray[np.float64]) -> None:
        """Look at the next rows. Raises BadData: too many."""
        gaps = np.isnan(values)
        if gaps.any():
            if self.first_gap is None:
                row, column = np.argwhere(gaps)[0]
                self.first_gap = (self.rows + int(row) + 1, int(column))
            self.gaps += gaps.sum(axis=0)
            self.rows_with_gaps += int(gaps.any(axis=1).sum())
        self.bounds = np.fmax(self.bounds, np.fmax.reduce(np.abs(values), axis=0, initial=0.0))
        self.whole &= (np.rint(values) == values).all(axis=0)
        self.rows += len(values)
        if self.rows > ROWS_PER_JOB_MAX:
            raise BadData(f"the data has more than {ROWS_PER_JOB_MAX:,} rows")


class Writer:
    """The files of a table that is being made. A context manager: at its end they are on the disk."""

    def __init__(self, folder: Path, width: int, *, with_ids: bool) -> None:
        self.scan = Scan(width)
        self._folder, self._end = folder, 0
        self._hashes = {name: hashlib.sha256() for name in (VALUES, *((IDS, ENDS) if with_ids else ()))}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._files = {name: self._stack.enter_context(_created(self._folder / name)) for name in self._hashes}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {name: each.hexdigest() for name, each in self._hashes.items()}

    def write(self, blocks: Iterable[Block]) -> None:
        """Append rows."""
        for block in blocks:
            self.scan.add(block.values)
            self._append(VALUES, np.ascontiguousarray(block.values, dtype="<f8").tobytes())
            if block.ids is not None:
                self._append_ids(block.ids)

    def _append_ids(self, ids: list[str]) -> None:
        texts = [each.encode() for each in ids]
        ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.uint64, count=len(texts))) + np.uint64(self._end)
        self._end = int(ends[-1]) if len(ends) else self._end
        self._append(IDS, b"".join(texts))
        self._append(ENDS, ends.astype("<u8").tobytes())

    def _append(self, name: str, raw: bytes) -> None:
        self._files[name].write(raw)
        self._hashes[name].update(raw)


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")
