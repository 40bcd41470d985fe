"""What a job gave, in the form that the user's file has by its name: CSV, Parquet or Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from nodes.data.extra import pyarrow
from nodes.data.port import Block
from nodes.data.table import Table
from schemas.errors import BadConfig

Sink = Callable[[BinaryIO, Table], None]
"""Writes all rows of a table to a file."""
Array = list[str] | NDArray[Any]


def sink_for(out: Path | None) -> Sink:
    """That of a file's ending; CSV without one.

    Raises:
        BadConfig: there is none, or it needs an extra that is not installed.
    """
    ending = "" if out is None else out.suffix.lower()
    if ending not in SINKS:
        known = ", ".join(each for each in SINKS if each)
        message = f"--out {out}: results are written as {known}; name one of these, and pack or convert it afterwards"
        raise BadConfig(message, field="out")
    sink = SINKS[ending]
    if sink is not write_csv:
        pyarrow(f"write {ending}", "pyarrow.parquet")
    return sink


def columns(table: Table, block: Block) -> Iterator[Array]:
    """The columns of some rows in the table's order, each in its kind."""
    texts, numbers = iter(block.texts), iter(block.values.T)
    for column in table.known.columns:
        yield next(texts) if column.kind == "text" else np.ascontiguousarray(next(numbers), dtype=column.kind)


def write_csv(file: BinaryIO, table: Table) -> None:
    """RFC 4180 in UTF-8. Floats are the shortest text that reads back as the same float."""
    file.write(",".join(_quoted(column.name) for column in table.known.columns).encode() + b"\n")
    for block in table.blocks():
        lines = zip(*map(_texts, columns(table, block)), strict=True)
        file.write("".join(",".join(line) + "\n" for line in lines).encode())


def _texts(column: Array) -> list[str]:
    if isinstance(column, list):
        return column if _plain("".join(column)) else list(map(_quoted, column))
    if column.size and np.isfinite(column).all():  # JSON's numbers; it has no others
        return orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    return list(map(repr, column.tolist()))


def _quoted(text: str) -> str:
    return text if _plain(text) else '"' + text.replace('"', '""') + '"'


def _plain(text: str) -> bool:
    """Whether it needs no quotation marks."""
    return not any(mark in text for mark in ',"\r\n')


def _write_parquet(file: BinaryIO, table: Table) -> None:
    parquet = pyarrow("write Parquet", "pyarrow.parquet")
    with parquet.ParquetWriter(file, schema(table)) as writer:
        for batch in batches(table):
            writer.write_batch(batch)


def _write_arrow(file: BinaryIO, table: Table) -> None:
    ipc = pyarrow("write Arrow", "pyarrow.ipc")
    with ipc.new_file(file, schema(table)) as writer:
        for batch in batches(table):
            writer.write_batch(batch)


def schema(table: Table) -> Any:
    """A `pyarrow.Schema`."""
    arrow = pyarrow("write tables")
    kinds = {"text": arrow.string(), "float64": arrow.float64(), "int64": arrow.int64()}
    return arrow.schema([arrow.field(each.name, kinds[each.kind]) for each in table.known.columns])


def batches(table: Table) -> Iterator[Any]:
    """All rows as `pyarrow.RecordBatch`es."""
    arrow, wanted = pyarrow("write tables"), schema(table)
    for block in table.blocks():
        arrays = map(arrow.array, columns(table, block), wanted.types)
        yield arrow.record_batch(list(arrays), schema=wanted)


SINKS: Final[dict[str, Sink]] = {
    "": write_csv,
    ".csv": write_csv,
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
}
"""By a file's ending."""
