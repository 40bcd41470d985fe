"""What a table of ours says about itself: a small file beside its rows, whose digest stands for all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from nodes.whole import write_whole
from schemas.errors import BadData

MANIFEST: Final = "table.json"
VALUES: Final = "values.f64"
"""All numbers, row-major little-endian float64; NaN where a value is missing."""
TEXTS: Final = "text{}.utf8"
"""A column of text: the texts one after the other; columns are counted from 0."""
ENDS: Final = "text{}.u64"
"""Where each of them ends, little-endian."""

Kind = Literal["float64", "int64", "text"]
"""int64 are whole numbers that float64 holds exactly."""
By = Literal["", "name", "position", "choice"]
"""What decided which columns a program takes."""


class Column(Struct, frozen=True):
    """A column and what it holds."""

    name: str
    kind: Kind = "float64"


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table's columns in their order, and SHA-256 of each of its files. Lists per column are of numbers only."""

    columns: tuple[Column, ...]
    id_column: str | None = None
    """Which of the columns of text names the rows."""
    by: By = ""
    taken: tuple[str, ...] = ()
    """Columns of the user's file, where numbers here are made of text there; else those of numbers."""
    rows: int
    bounds: tuple[float, ...]
    """Largest absolute value per column."""
    whole: tuple[bool, ...]
    """Whether a column holds whole numbers only."""
    gaps: tuple[int, ...]
    """Missing values per column."""
    rows_with_gaps: int
    digests: dict[str, str]
    """By file name."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers."""
        return tuple(each.name for each in self.columns if each.kind != "text")

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of text."""
        return tuple(each.name for each in self.columns if each.kind == "text")

    @property
    def gaps_in_words(self) -> str:
        """Where values are missing; empty where none is."""
        if not self.rows_with_gaps:
            return ""
        counts = ", ".join(f"{name} {gaps:,}" for name, gaps in zip(self.numbers, self.gaps, strict=True) if gaps)
        return f"values are missing in {self.rows_with_gaps:,} of {self.rows:,} rows (by column: {counts})"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, manifest: Manifest) -> str:
    """Put it beside the rows; its digest."""
    raw = msgspec.json.encode(manifest)
    write_whole(folder / MANIFEST, raw)
    return hashlib.sha256(raw).hexdigest()


def read(folder: Path) -> tuple[Manifest, str]:
    """It and its digest.

    Raises:
        FileNotFoundError: there is none.
        BadData: it is damaged.
    """
    raw = (folder / MANIFEST).read_bytes()
    try:
        return msgspec.json.decode(raw, type=Manifest), hashlib.sha256(raw).hexdigest()
    except msgspec.MsgspecError as error:
        raise BadData(f"the job's {MANIFEST} is damaged; submit the job again") from error
