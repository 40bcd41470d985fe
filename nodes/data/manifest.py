"""What a job's table says about itself: a small file beside its rows, whose digest stands for all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from schemas.errors import BadData

MANIFEST: Final = "table.json"
VALUES: Final = "values.f64"
"""Row-major little-endian float64; NaN where a value is missing."""
IDS: Final = "ids.utf8"
"""The id column's texts, one after the other."""
ENDS: Final = "ids.u64"
"""Where each of them ends, little-endian."""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table's columns, and SHA-256 of each of its files."""

    columns: tuple[str, ...]
    by: Literal["name", "position", "choice"]
    """What decided which columns the program takes."""
    id_column: str | None
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
    def gaps_in_words(self) -> str:
        """Where values are missing; empty where none is."""
        if not self.rows_with_gaps:
            return ""
        counts = ", ".join(f"{name} {gaps:,}" for name, gaps in zip(self.columns, self.gaps, strict=True) if gaps)
        return f"values are missing in {self.rows_with_gaps:,} of {self.rows:,} rows (by column: {counts})"


def write(folder: Path, manifest: Manifest) -> str:
    """Put it beside the rows; its digest."""
    raw = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(raw)
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
