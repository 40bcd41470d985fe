"""Text of a given width: tables that drop columns instead of squeezing them, lines that break between words. Pure.

No id, number or name is ever cut or broken: what does not fit without that runs over the edge.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

GAP: Final = "  "
NUMBER: Final = "#"
_LABEL: Final = re.compile(r"\s*(?:[+-] |\S+(?: \S+)?\s{2,})")
"""What may stand before a line's text: a mark, or a label and spaces."""
LABEL_CHARS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns; names of columns that hold numbers begin with `#`, and they stand on the right.

    `drops` are the columns that give way on a narrow terminal, the first one first.
    """

    title: str
    columns: tuple[str, ...]
    drops: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add_row(self, *cells: str) -> None:
        """A cell for each column."""
        assert len(cells) == len(self.columns), f"{len(cells)} cells for {len(self.columns)} columns"
        self.rows.append(tuple(printable(cell) for cell in cells))

    def lines(self, width: int | None) -> Iterator[str]:
        """As text, of lines of at most so many characters; None: as wide as it takes."""
        kept = self._fitting(width)
        sizes = [self._size(column) for column in kept]
        if self.title:
            yield self.title
        yield self._line([self.columns[column].removeprefix(NUMBER) for column in kept], kept, sizes)
        yield GAP.join("─" * size for size in sizes)
        for row in self.rows:
            yield self._line([row[column] for column in kept], kept, sizes)

    def _fitting(self, width: int | None) -> list[int]:
        """The columns that are shown; those in which no row has anything are not."""
        kept = [each for each, name in enumerate(self.columns) if not self.rows or name == "" or self._filled(each)]
        for name in self.drops:
            if width is None or sum(map(self._size, kept)) + len(GAP) * (len(kept) - 1) <= width:
                break
            kept = [each for each in kept if self.columns[each].removeprefix(NUMBER) != name]
        return kept

    def _filled(self, column: int) -> bool:
        return any(row[column] for row in self.rows)

    def _size(self, column: int) -> int:
        name = self.columns[column].removeprefix(NUMBER)
        return max(map(size_of, (name, *(row[column] for row in self.rows))))

    def _line(self, cells: Sequence[str], kept: Sequence[int], sizes: Sequence[int]) -> str:
        placed = (
            " " * (size - size_of(cell)) + cell
            if self.columns[column].startswith(NUMBER)
            else cell + " " * (size - size_of(cell))
            for cell, column, size in zip(cells, kept, sizes, strict=True)
        )
        return GAP.join(placed).rstrip()


def wrapped(line: str, width: int | None) -> list[str]:
    """The line as lines of at most so many characters, broken at spaces; those that follow stand under its text."""
    line = printable(line)
    if width is None or size_of(line) <= width:
        return [line]
    start = _start(line)
    return textwrap.wrap(
        line[start:],
        width,
        initial_indent=line[:start],
        subsequent_indent=" " * start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _start(line: str) -> int:
    """Where its text begins."""
    label = _LABEL.match(line)
    if label is not None and label.end() <= LABEL_CHARS_MAX:
        return label.end()
    return len(line) - len(line.lstrip())


def size_of(text: str) -> int:
    """How many places of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def printable(text: str) -> str:
    """Without what a terminal would obey: names and reasons may be strangers'."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "�" for each in text)
