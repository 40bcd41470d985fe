"""How the partner's pass over encrypted rows is cut: blocks of rows by chunks of columns, each a task of its own. Pure.

A unit is what a killed worker loses. Its rows are as many as one process should hold, so that a column's finish weighs
little; its columns as few as keep a task short, and reading the rows again for each chunk cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BLOCK_ROWS: Final = 32_768
"""At most: 25 MB of ciphertexts under 3072 bits."""
CHUNK_COLUMNS: Final = 64
"""At most: a block of them takes one core about 20 seconds under 3072 bits."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Some rows of some columns; those of one chunk follow each other."""

    number: int
    first_row: int
    rows: int
    first_column: int
    columns: int


def units(rows: int, columns: int) -> tuple[Unit, ...]:
    """All of them, chunk by chunk, every number once; at least two where there are two columns, for as many cores."""
    cuts = [(chunk, block) for chunk in _cuts(columns, CHUNK_COLUMNS, 2) for block in _cuts(rows, BLOCK_ROWS, 1)]
    return tuple(
        Unit(number, first_row, end_row - first_row, first_column, end_column - first_column)
        for number, ((first_column, end_column), (first_row, end_row)) in enumerate(cuts)
    )


def _cuts(size: int, most: int, least: int) -> list[tuple[int, int]]:
    """Of about equal size: a column's finish costs the same for few rows as for many."""
    count = max(-(-size // most), min(least, size))
    return [(size * at // count, size * (at + 1) // count) for at in range(count)]
