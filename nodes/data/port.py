"""Where tables come from: a port, whatever the kind of file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nodes.data.header import Header

SAMPLE_ROWS: Final = 20
"""Looked at to tell which columns hold numbers, and what separates them."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows that follow each other."""

    values: NDArray[np.float64]  # [rows, columns]; NaN where a value is missing
    texts: tuple[list[str], ...] = ()  # one list per column of text, exactly as it is; "" where a value is missing


class Source(Protocol):
    """A table as a user has it. It can be read from front to back, as often as wanted."""

    @property
    def header(self) -> Header:
        """Its columns."""

    def blocks(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Block]:
        """All rows in order, `columns` as numbers, never infinite, and `texts` as text; no block is empty.

        Memory does not grow with the number of rows. Raises BadData: a column does not exist; or naming row (from 1)
        and column of a value that cannot be used.
        """
