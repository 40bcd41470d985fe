"""A job's output as an Arrow table: the one place that knows in which format the renter writes it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

from nodes.data.extra import pyarrow

_WISH: Final = "have results as a table"


def read_output(path: Path, *, with_ids: bool, numbered: bool) -> Any:
    """A `pyarrow.Table`: with ids first, as text; then what the program gave. Numbers of rows are left out.

    Raises:
        BadConfig: pyarrow is not installed.
    """
    arrow, reader = pyarrow(_WISH), pyarrow(_WISH, "pyarrow.csv")
    with path.open(encoding="utf-8", newline="") as file:
        names = next(csv.reader(file))
    texts = reader.read_csv(  # as text first: else some would be taken for dates, or for missing
        path,
        parse_options=reader.ParseOptions(newlines_in_values=True),
        convert_options=reader.ConvertOptions(
            column_types=dict.fromkeys(names, arrow.string()), null_values=[], include_columns=names[numbered:]
        ),
    )
    columns = [
        column if with_ids and place == 0 else _numbers(column, arrow) for place, column in enumerate(texts.columns)
    ]
    return arrow.table(columns, names=texts.column_names)


def _numbers(column: Any, arrow: Any) -> Any:
    try:
        return column.cast(arrow.float64())
    except arrow.ArrowInvalid:
        return column
