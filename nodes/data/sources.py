"""Opens what a user brings, by what it begins with."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Final

from nodes.data import stream
from nodes.data.arrow_source import KINDS, open_arrow
from nodes.data.csv_source import open_csv
from nodes.data.port import Source
from nodes.data.reading import Dialect
from schemas.errors import BadConfig, BadData

WORKBOOKS: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods"})


def open_source(data: Path | Source, dialect: Dialect = Dialect()) -> Source:  # noqa: B008 - frozen
    """The table in a file: Parquet, Arrow, or text, packed or not; one that is open already as it is.

    Raises:
        BadData: it cannot be read, or is no table; says what it is and what to do.
        BadConfig: the dialect makes no sense or the table is no text, or the file needs an extra that is not installed.
    """
    if not isinstance(data, Path):
        _require_unsaid(dialect, data.header.file)
        return data
    with stream.opened(data) as file:
        head = file.read(stream.MAGIC_BYTES)
    kind = next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)
    if kind is not None:
        _require_unsaid(dialect, data.name)
        return open_arrow(data, kind)
    try:
        return open_csv(data, dialect)
    except BadData as error:
        if data.suffix.lower() in WORKBOOKS and "Excel" not in str(error):
            raise BadData(f"{error}; if it is an Excel workbook, export its sheet as CSV") from error
        raise


def _require_unsaid(dialect: Dialect, name: str) -> None:
    """Raises BadConfig: something is said of how a text is written, and the table is none."""
    for each in fields(dialect):
        if getattr(dialect, each.name) not in (each.default, None):
            raise BadConfig(f"--{each.name} is of text files, and {name} is none: leave it out", field=each.name)
