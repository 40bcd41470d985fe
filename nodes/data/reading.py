"""What a user says about a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Missing = Literal["refuse", "nan", "mean"]
"""What becomes of missing values: none may be, or the program is given NaN; in a model's columns the mean."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written; what is None is told from the file."""

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read, and how."""

    id_column: str | None = None
    columns: tuple[str, ...] = ()
    """In the program's order; empty where the program's names or the file's order decide."""
    dialect: Dialect = Dialect()
    missing: Missing = "refuse"
