"""Numbers of a table, put aside some columns at a time and taken back by rows: in a file without a name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData

FLOAT_BYTES: Final = 8


class Spool:
    """A context manager: what it holds goes with it. Nobody else can open its file, which lies under TMPDIR."""

    def __init__(self) -> None:
        self.rows = 0
        """Of the columns that were put last."""
        self._parts: list[tuple[int, int]] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def put(self, blocks: Iterable[NDArray[np.float64]]) -> None:
        """The next columns, [rows, columns] at a time.

        Raises BadData: they have other rows than those before; there is no room.
        """
        rows, width, start = 0, 0, self._file.seek(0, os.SEEK_END)
        for values in blocks:
            with _room():
                self._file.write(np.ascontiguousarray(values, dtype=np.float64).tobytes())
                self._file.flush()
            rows, width = rows + len(values), values.shape[1]
        if self._parts and rows != self.rows:
            raise _damaged(self.rows, rows)
        self.rows = rows
        self._parts.append((start, width))

    def read(self, first: int, count: int) -> NDArray[np.float64]:
        """All columns of the rows `first` (from 0) to `first + count`. Raises BadData: they are not there."""
        if first + count > self.rows:
            raise _damaged(self.rows, first + count)
        found = np.empty((count, sum(width for _, width in self._parts)))
        at = 0
        for start, width in self._parts:
            self._file.seek(start + first * width * FLOAT_BYTES)
            part = np.fromfile(self._file, dtype=np.float64, count=count * width)
            found[:, at : at + width] = part.reshape(count, width)
            at += width
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _damaged(some: int, others: int) -> BadData:
    return BadData(f"its columns are damaged: some have {some:,} rows, others {others:,}")


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = tempfile.gettempdir()
        raise BadData(f"there is no room in {where} to set columns aside ({error}): give another TMPDIR") from error
