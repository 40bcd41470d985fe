"""What a file of any kind says about its columns before its rows are read. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.errors import BadData

SHOWN_COLUMNS: Final = 50
SLIP: Final = 0.8
"""How much alike two names are written where one is meant as the other (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file: their names, and which hold numbers as far as the first rows tell."""

    file: str  # its name, for messages
    columns: tuple[str, ...]  # in the file's order; "" where it gives no name
    numeric: tuple[str, ...]

    def position(self, column: str) -> int:
        """Where the column stands. Raises BadData: there is none, or there are two."""
        if not column or column not in self.columns:
            named = [name for name in self.columns if name]
            shown = ", ".join(named[:SHOWN_COLUMNS]) + ("…" if len(named) > SHOWN_COLUMNS else "")
            message = f"{self.file} has no column {column!r}{_meant(column, named)} its columns are: {shown}"
            raise BadData(message, column=column)
        if self.columns.count(column) > 1:
            raise BadData(f"{self.file} has two columns named {column!r}; rename one", column=column)
        return self.columns.index(column)


def _meant(column: str, known: Sequence[str]) -> str:
    """The column that is written most like it, if one is: letters of another case and spaces around it are slips."""
    plain = {name.strip().casefold(): name for name in reversed(known)}
    close = difflib.get_close_matches(column.strip().casefold(), list(plain), 1, SLIP)
    return f", did you mean {plain[close[0]]!r}?" if close else ";"
