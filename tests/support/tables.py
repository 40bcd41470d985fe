"""Tables as jobs have them, made from files that tests write."""

from __future__ import annotations

from pathlib import Path

from nodes.data.binding import Binding
from nodes.data.making import lay_down
from nodes.data.reading import Reading
from nodes.data.results import write_csv
from nodes.data.sources import open_source
from nodes.data.table import Table, open_table


def table_of(data: Path, *columns: str, reading: Reading | None = None) -> Table:
    """The table of these columns, by default all, in a new folder beside the file."""
    number = sum(1 for _ in data.parent.glob(f"{data.name}.table*"))
    reading = reading or Reading()
    source = open_source(data, reading.dialect)
    binding = Binding(columns or source.header.columns, "choice")
    return lay_down(data.with_name(f"{data.name}.table{number}"), source, binding, reading)


def as_csv(output: Path) -> Path:
    """A job's output as a CSV file beside it."""
    path = output.with_suffix(".csv")
    with path.open("wb") as file:
        write_csv(file, open_table(output))
    return path
