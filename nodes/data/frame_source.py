"""DataFrames as sources: pandas column by column, all others through the Arrow PyCapsule interface.

What is given was made in this process: it is not validated as files are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, SupportsFloat

from nodes.data.arrow_source import ROWS_AT_ONCE, block_of, header_of
from nodes.data.extra import pyarrow
from nodes.data.header import Header
from nodes.data.port import SAMPLE_ROWS, Block
from schemas.errors import BadData

STREAM: Final = "__arrow_c_stream__"
"""What a table offers that speaks the PyCapsule interface."""
_WISH: Final = "read DataFrames"


@dataclass(frozen=True, slots=True)
class FrameSource:
    """A table in memory. Columns become Arrow's when their rows are read, a block at a time."""

    header: Header
    rows: int
    column: Callable[[int, int, int], Any]
    """Position, first row and count: an Arrow array."""

    def blocks(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Block]:
        """As the port says."""
        names = list(dict.fromkeys((*columns, *texts)))
        places, batches = [self.header.position(name) for name in names], pyarrow(_WISH).RecordBatch
        for first in range(0, self.rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, self.rows - first)
            batch = batches.from_arrays([self.column(place, first, count) for place in places], names)
            yield block_of(batch, columns, texts, first + 1)


def open_pandas(frame: Any) -> FrameSource:
    """A `pandas.DataFrame`; its index is no column of it.

    Raises:
        BadData: it has no columns.
        BadConfig: pyarrow is not installed.
    """

    def column(place: int, first: int, count: int) -> Any:
        return _of_pandas(frame.iloc[first : first + count, place])

    return _opened("the DataFrame", [str(name) for name in frame.columns], len(frame), column)


def taken(frame: Any) -> Any:
    """Whatever has `__arrow_c_stream__` as a `pyarrow.Table`: a stream may not be read twice.

    Raises:
        BadData: it is no table, or a column of it is nothing that Arrow knows.
        BadConfig: pyarrow is not installed.
    """
    arrow = pyarrow(_WISH)
    try:
        return arrow.table(frame)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        message = f"Arrow cannot take this {type(frame).__name__} as a table: {error}"
        raise BadData(f"{message}; select the columns to compute on") from error


def open_table(table: Any) -> FrameSource:
    """A `pyarrow.Table`. Raises BadData: it has no columns."""

    def column(place: int, first: int, count: int) -> Any:
        return _plain(_whole(table.column(place).slice(first, count)))

    return _opened("the table", table.column_names, table.num_rows, column)


def _opened(what: str, names: Sequence[str], rows: int, column: Callable[[int, int, int], Any]) -> FrameSource:
    if not names:
        raise BadData(f"{what} has no columns")
    seen = min(rows, SAMPLE_ROWS)
    schema = pyarrow(_WISH).schema([(name, column(place, 0, seen).type) for place, name in enumerate(names)])
    return FrameSource(header_of(what, schema), rows, column)


def _of_pandas(series: Any) -> Any:
    """Objects of several kinds: as floats where all of them are numbers, else as their text, and so no numbers."""
    arrow = pyarrow(_WISH)
    if hasattr(series, "sparse"):
        series = series.sparse.to_dense()
    try:
        return _plain(_whole(arrow.array(series, from_pandas=True)))
    except (arrow.ArrowException, TypeError, ValueError, OverflowError):
        given = [None if gone else each for each, gone in zip(series, series.isna(), strict=True)]
    try:
        return arrow.array([None if each is None else _float(each) for each in given])
    except (TypeError, ValueError, OverflowError):  # arrays say that they are numbers, and may be none
        return arrow.array([None if each is None else _text(each) for each in given])


def _float(value: object) -> float:
    """Of a number, not of text that looks like one. Raises TypeError, ValueError or OverflowError."""
    if not isinstance(value, SupportsFloat):
        raise TypeError(type(value).__name__)
    return float(value)


def _text(value: object) -> str:
    """Half characters, which bytes that are not UTF-8 become in Python, are written out: Arrow has none."""
    return str(value).encode(errors="backslashreplace").decode()


def _whole(column: Any) -> Any:
    """One array of the chunks of a column."""
    arrow = pyarrow(_WISH)
    return column.combine_chunks() if isinstance(column, arrow.ChunkedArray) else column


def _plain(column: Any) -> Any:
    """Views of text inside a dictionary, which Arrow cannot look up, as text."""
    arrow = pyarrow(_WISH)
    if isinstance(column, arrow.DictionaryArray) and column.dictionary.type == arrow.string_view():
        return arrow.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(arrow.string()))
    return column
