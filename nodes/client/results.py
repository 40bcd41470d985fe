"""A job's output as an Arrow table: the one place that knows in which form the renter keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodes.data.extra import pyarrow


def read_output(path: Path, *, numbered: bool) -> Any:
    """A `pyarrow.Table`: ids as text first, where a column names the rows; then what the program gave, as it is.

    Rows' numbers, which stand first where nothing names them (`numbered`), are left out.

    Raises:
        BadConfig: pyarrow is not installed.
        BadData: the output has changed.
    """
    arrow = pyarrow("have results as a table")
    from nodes.data.results import batches, schema  # noqa: PLC0415 - needs NumPy
    from nodes.data.table import open_table  # noqa: PLC0415

    output = open_table(path)
    found = arrow.Table.from_batches(batches(output), schema=schema(output))
    return found.remove_column(0) if numbered else found
