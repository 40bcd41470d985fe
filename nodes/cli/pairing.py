"""What two tables say before a joint job begins: whoever tries one has both, so nobody waits for a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.data.port import Source
from nodes.data.reading import Dialect
from nodes.data.sources import open_source
from nodes.joint.alignment import require_ids
from schemas.errors import BadConfig, BadData
from schemas.limits import ROWS_PER_COLUMN_MIN, ROWS_PER_OUTPUT_MIN


@dataclass(frozen=True, slots=True)
class Table:
    """One party's table: the column of ids, and those that a model has where they were chosen."""

    path: Path
    id_column: str
    dialect: Dialect
    chosen: tuple[str, ...] = ()

    def open(self) -> Source:
        """Raises BadInput: it is no table."""
        return open_source(self.path, self.dialect)

    def ids(self) -> list[str]:
        """In its order. Raises BadInput: they do not name its rows."""
        found = [each for block in self.open().blocks((), (self.id_column,)) for each in block.texts[0]]
        try:
            require_ids([found])
        except BadData as error:
            raise BadData(f"{self.path.name}, column {self.id_column!r}: {error}", column=self.id_column) from error
        return found

    def columns(self, label: str) -> tuple[str, ...]:
        """Those of a model: chosen, or all but ids and label."""
        return self.chosen or tuple(
            each for each in self.open().header.columns if each not in ("", self.id_column, label)
        )

    def numbers(self, label: str) -> tuple[str, ...]:
        """Those of a model that are no text: of text a model may leave columns out."""
        return tuple(each for each in self.columns(label) if each in self.open().header.numeric)


def require_two(here: Table, there: Table) -> None:
    """Raises BadInput: there is no second table, or a column of ids is missing."""
    if not there.path.is_file():
        raise BadData(f"there is no file {there.path} for --joint")
    if here.path.is_file() and here.path.samefile(there.path):
        raise BadConfig(f"--joint names {there.path} itself: name the other party's table", field="joint")
    here.open().header.position(here.id_column)
    try:
        there.open().header.position(there.id_column)
    except BadData as error:
        raise BadData(
            f"{error}; where ids have another name there, say --joint-id-column", column=error.column
        ) from error


def require_label(here: Table, there: Table, label: str) -> None:
    """Raises BadData: the renter has no such label, or the partner has it too."""
    mine, theirs = here.open().header, there.open().header
    if label not in mine.columns and label in theirs.columns:
        message = f"the label {label!r} is a column of {there.path.name}, not of {here.path.name}"
        raise BadData(f"{message}: who has it fits the model, so name the tables the other way round", column=label)
    mine.position(label)
    if label in there.columns(""):
        message = f"{there.path.name} has the label {label!r} too, and the model would be of that column alone"
        raise BadData(f"{message}: choose its other columns by --partner-columns, or take it out", column=label)


def require_rows(here: Table, there: Table, label: str | None) -> None:
    """Raises BadInput: ids that name no rows, or too few in common; says how the two tables' ids look like each other.

    A model's columns of text count once, as nobody has read their categories yet.
    """
    mine, theirs = here.ids(), there.ids()
    count = len(set(mine) & set(theirs))
    names, least = f"{here.path.name} and {there.path.name}", ROWS_PER_OUTPUT_MIN
    if count < least:
        message = f"{names} have {count} ids in common, of {len(mine):,} and {len(theirs):,}; {least} are the least"
        raise BadData(f"{message}. Ids are compared letter by letter{_slip(mine, theirs)}")
    if label is None:
        return
    here_wide, there_wide = len(here.columns(label)), len(there.columns(label))
    least = ROWS_PER_COLUMN_MIN * max(here_wide + 1, there_wide)
    if count < least:
        message = f"{names} have {count} rows in common; a model of {here_wide} columns and the label here and "
        message += f"{there_wide} columns there needs {least}, {ROWS_PER_COLUMN_MIN} for each of a side's"
        raise BadData(f"{message}: take fewer columns (--columns, --partner-columns) or bring more rows")


def require_some(here: Table, there: Table, mine: Sequence[str], theirs: Sequence[str]) -> None:
    """Raises BadInput: no row to score is in both tables, or they lack columns of the model's."""
    if not here.path.is_file():
        raise BadData(f"there is no file {here.path} for --score")
    if not there.path.is_file():
        raise BadData(f"there is no file {there.path} for --score-joint")
    for side, columns in ((here, mine), (there, theirs)):
        for each in columns:
            side.open().header.position(each)
    rows = here.ids()
    if set(rows).isdisjoint(there.ids()):
        message = f"none of the {len(rows):,} rows of {here.path.name} is in {there.path.name}"
        raise BadData(f"{message}: the other party's columns of them may be in a file of their own (--score-joint)")


def _slip(mine: list[str], theirs: list[str]) -> str:
    """What would make ids match, if something simple does; else the first of each."""
    for said, change in _SLIPS:
        there = {change(each): each for each in theirs}
        pairs = [(each, there[change(each)]) for each in mine if change(each) in there]
        if 2 * len(pairs) >= min(len(mine), len(theirs)):
            return f"; these differ by {said}, as {pairs[0][0]!r} here and {pairs[0][1]!r} there"
    return f"; the first here is {mine[0]!r}, the first there {theirs[0]!r}"


def _number(text: str) -> str:
    """A number without zeros around it; other text as it is."""
    found = re.fullmatch(r"\s*0*(\d+)(?:\.0*)?\s*", text)
    return found[1] if found else text


def _digits(text: str) -> str:
    """As a number, or other text as it is."""
    return re.sub(r"\D", "", text).lstrip("0") or text


_SLIPS: Final[Sequence[tuple[str, Callable[[str], str]]]] = (
    ("spaces around them", str.strip),
    ("small and capital letters", lambda text: text.strip().casefold()),
    ("how numbers are written", _number),
    ("what stands around their digits", _digits),
)
