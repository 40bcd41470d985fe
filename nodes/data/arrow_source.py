"""Parquet and Arrow IPC files (Feather) as sources, through pyarrow. Only the columns that are wanted are read.

Their bytes may be anybody's: every batch is validated in full before it is looked into.

A reader of Parquet holds a page and a dictionary of every column that it reads: megabytes of each, where rows are
written in few large groups. Of wide tables it reads some columns after the other, which are put aside till all are.
Batches of Arrow files can only be read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.data import stream
from nodes.data.extra import pyarrow
from nodes.data.header import Header
from nodes.data.port import Block
from nodes.data.spool import Spool
from schemas.errors import BadData
from schemas.limits import ROWS_PER_JOB_MAX

KINDS: Final = {b"PAR1": "Parquet", b"ARROW1\x00\x00": "Arrow"}
"""By the first bytes."""
ROWS_AT_ONCE: Final = 1 << 16
NUMBERS_AT_ONCE: Final = 1 << 20
"""Of a table of many columns fewer rows are read at a time."""
TEXT_BYTES_MAX: Final = 1 << 16
AHEAD_BYTES: Final = 1 << 16
"""Read ahead of a Parquet column."""
OPEN_BYTES: Final = 8 << 20
"""Of one group of rows, unpacked: columns that are larger together are not read at once."""
VALUE_BYTES: Final = 8
"""Of a value of a Parquet file, as if all were numbers. What the file itself says of the size of its columns is not
asked for: pyarrow ends the process where that part of a file is damaged."""


@dataclass(frozen=True, slots=True)
class ArrowSource:
    """A file of typed columns."""

    path: Path
    kind: str
    header: Header

    def blocks(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Block]:
        """As the port says."""
        wanted = list(dict.fromkeys((*columns, *texts)))
        for name in wanted:
            self.header.position(name)
        rows = min(ROWS_AT_ONCE, max(1, NUMBERS_AT_ONCE // max(1, len(wanted))))
        with stream.opened(self.path) as file, _undamaged(self.path, self.kind):
            most = _columns_at_once(file) if self.kind == "Parquet" else len(wanted)
            if len(wanted) <= most or not columns:
                yield from self._read(file, columns, texts, rows)
            else:
                parts = [columns[first : first + most] for first in range(0, len(columns), most)]
                yield from self._in_parts(file, parts, texts, rows)
        pyarrow("read tables").default_memory_pool().release_unused()  # it would keep pages for the next file

    def _read(self, file: Any, columns: Sequence[str], texts: Sequence[str], rows: int) -> Iterator[Block]:
        row = 1
        for batch in _batches(file, self, list(dict.fromkeys((*columns, *texts))), rows):
            yield block_of(batch, columns, texts, row)
            row += batch.num_rows

    def _in_parts(self, file: Any, parts: Sequence[Sequence[str]], texts: Sequence[str], rows: int) -> Iterator[Block]:
        with Spool() as spool:
            for names in parts:
                spool.put(block.values for block in self._read(file, names, (), rows))
            row = 0
            for beside in self._read(file, (), texts, rows) if texts else _nothing(spool.rows, rows):
                yield Block(spool.read(row, len(beside.values)), beside.texts)
                row += len(beside.values)


def open_arrow(path: Path, kind: str) -> ArrowSource:
    """What the file says of its columns.

    Raises:
        BadData: it is damaged, has no rows, or too many.
        BadConfig: pyarrow is not installed.
    """
    with stream.opened(path) as file, _undamaged(path, kind):
        if kind == "Parquet":
            found = pyarrow(f"read {kind}", "pyarrow.parquet").ParquetFile(file)
            schema, rows = found.schema_arrow, found.metadata.num_rows
        else:
            schema, rows = pyarrow(f"read {kind}", "pyarrow.ipc").open_file(file).schema, None
        header = header_of(path.name, schema)
    if rows == 0:
        raise BadData(f"{path.name} has no rows: nothing to compute")
    _require_rows(path.name, rows or 0)
    if not header.columns:
        raise BadData(f"{path.name} has no columns")
    return ArrowSource(path, kind, header)


def header_of(name: str, schema: Any) -> Header:
    """The columns of a `pyarrow.Schema`."""
    numeric = (column for column, kind in zip(schema.names, schema.types, strict=True) if _is_numeric(kind))
    return Header(name, tuple(schema.names), tuple(numeric))


def block_of(batch: Any, columns: Sequence[str], texts: Sequence[str], row: int) -> Block:
    """Of a validated `pyarrow.RecordBatch`, whose first row is number `row`. Raises BadData naming row and column."""
    values = np.empty((batch.num_rows, len(columns)))
    for position, name in enumerate(columns):
        values[:, position] = _floats(batch.column(name), name, row)
    return Block(values, tuple(_texts(batch.column(name), name, row) for name in texts))


def _undamaged(path: Path, kind: str) -> AbstractContextManager[None]:
    errors = (pyarrow("read tables").ArrowException, OSError, MemoryError, UnicodeError)
    return stream.undamaged(path.name, kind, errors)


def _require_rows(name: str, rows: int) -> None:
    if rows > ROWS_PER_JOB_MAX:
        raise BadData(f"{name} has {rows:,} rows; at most {ROWS_PER_JOB_MAX:,} are read")


def _is_numeric(kind: Any) -> bool:
    """Whether it holds numbers, or nothing but missing values, which are not told to be of text."""
    types = pyarrow("read tables", "pyarrow.types")
    if types.is_dictionary(kind):
        kind = kind.value_type
    known = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(fits(kind) for fits in known)


def _nothing(rows: int, at_once: int) -> Iterator[Block]:
    """Blocks of no column."""
    yield from (Block(np.empty((min(at_once, rows - first), 0))) for first in range(0, rows, at_once))


def _columns_at_once(file: Any) -> int:
    """How many columns of a Parquet file may be read together; one at least."""
    known = pyarrow("read Parquet", "pyarrow.parquet").ParquetFile(file).metadata
    rows: int = -(-known.num_rows // max(1, known.num_row_groups))
    return max(1, OPEN_BYTES // max(1, rows * VALUE_BYTES))


def _batches(file: Any, source: ArrowSource, wanted: list[str], rows: int) -> Iterator[Any]:
    if source.kind == "Parquet":
        found = pyarrow("read Parquet", "pyarrow.parquet").ParquetFile(file, buffer_size=AHEAD_BYTES, pre_buffer=False)
        for batch in found.iter_batches(batch_size=rows, columns=wanted, use_threads=False):
            batch.validate(full=True)
            yield batch
        return
    ipc = pyarrow("read Arrow", "pyarrow.ipc")
    schema = ipc.open_file(file).schema
    options = ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in wanted], use_threads=False)
    reader = ipc.open_file(file, options=options)
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate(full=True)
        _require_rows(source.path.name, batch.num_rows)
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows)


def _floats(column: Any, name: str, row: int) -> NDArray[np.float64]:
    """NaN where a value is missing."""
    arrow, types = pyarrow("read tables"), pyarrow("read tables", "pyarrow.types")
    if not _is_numeric(column.type):
        message = f"column {name!r} holds {column.type}, not numbers; convert it, or choose others with --columns"
        raise BadData(message, column=name)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_decimal(column.type):  # its own cast to floats is off in the last bit
        column = column.cast(arrow.string())
    elif types.is_boolean(column.type):
        column = column.cast(arrow.uint8())
    found = np.asarray(column.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    if np.isinf(found).any():
        at = int(np.flatnonzero(np.isinf(found))[0])
        message = f"row {row + at}, column {name!r}: the value is {found[at]}; only finite numbers can be computed with"
        raise BadData(message, row=row + at, column=name)
    return found


def _texts(column: Any, name: str, row: int) -> list[str]:
    arrow, compute = pyarrow("read tables"), pyarrow("read tables", "pyarrow.compute")
    try:
        found = column.cast(arrow.string())
    except arrow.ArrowException as error:
        raise BadData(f"column {name!r} holds {column.type}, which cannot be read as text", column=name) from error
    longest = compute.max(compute.binary_length(found)).as_py() or 0
    if longest > TEXT_BYTES_MAX:
        message = f"column {name!r} has a text of {longest:,} bytes; at most {TEXT_BYTES_MAX:,}"
        raise BadData(message, row=row, column=name)
    return [each or "" for each in found.to_pylist()]
