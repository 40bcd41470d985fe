"""From a user's file to a job's table, in one pass and in memory that does not grow with the rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, get_args

import numpy as np
from numpy.typing import NDArray

from nodes.data import manifest
from nodes.data.binding import Binding, bind, require_width
from nodes.data.header import Header
from nodes.data.manifest import ENDS, TEXTS, VALUES, By, Column, Manifest
from nodes.data.port import Block, Source
from nodes.data.reading import Missing, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table, open_table
from nodes.programs.encoder import TEXT, Encoder
from nodes.programs.program import Program
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.limits import ROWS_PER_JOB_MAX

WHOLE_MAX: Final = 2**53 - 1
"""float64 holds every whole number up to it; a larger one may have been rounded to what it is."""
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_table(
    folder: Path, data: Path | Source, program: Program, reading: Reading, encoder: Encoder | None = None
) -> Table:
    """Make `folder` and in it the table that the program takes of a user's file or open source, what is text encoded.

    Raises:
        BadInput: the file, what the user says about it, and the program do not fit; names row and column.
    """
    if reading.missing not in get_args(Missing):
        raise BadConfig(f"--missing {reading.missing}: write nan, mean or refuse", field="missing")
    require_width(program)
    source = open_source(data, reading.dialect)
    binding = bind(encoder or program, source.header, reading.id_column, reading.columns)
    if encoder is None:
        return lay_down(folder, source, binding, reading, types=program.types)
    return lay_down(folder, Encoded(source, encoder, binding, reading), _after(encoder, binding), reading)


def lay_down(
    folder: Path, source: Source, binding: Binding, reading: Reading, types: Sequence[np.dtype[Any]] = ()
) -> Table:
    """Write the columns of a binding. Raises BadData naming row and column; FileExistsError.

    `types` are what the program declares for each of them; without, any number fits.
    """
    texts = () if reading.id_column is None else (reading.id_column,)
    columns = (*(Column(name, "text") for name in texts), *map(Column, binding.columns))
    blocks = _fitting(source.blocks(binding.columns, texts), binding.columns, types, gaps=reading.missing != "refuse")
    table = write_table(folder, columns, blocks, id_column=reading.id_column, by=binding.by, taken=binding.taken)
    if not table.rows:
        raise BadData(f"{source.header.file} has a header but no rows: nothing to compute")
    if table.gaps and reading.missing == "refuse":
        raise missing_value(table, "give --missing nan if the program knows what to do")
    return table


def write_table(
    folder: Path,
    columns: Sequence[Column],
    blocks: Iterable[Block],
    *,
    id_column: str | None,
    by: By = "",
    taken: tuple[str, ...] = (),
) -> Table:
    """Make `folder` and in it a table. Raises BadData: too many rows; FileExistsError."""
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    texts = range(sum(each.kind == "text" for each in columns))
    scan = Scan(len(columns) - len(texts))
    names = (VALUES, *(name.format(each) for each in texts for name in (TEXTS, ENDS)))
    with ExitStack() as stack:
        files = {name: stack.enter_context(_created(folder / name)) for name in names}
        for block in blocks:
            scan.add(block.values)
            files[VALUES].write(np.ascontiguousarray(block.values, dtype="<f8").tobytes())
            for each in texts:
                _write_texts(block.texts[each], files[TEXTS.format(each)], files[ENDS.format(each)])
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    known = Manifest(
        columns=tuple(columns),
        id_column=id_column,
        by=by,
        taken=taken,
        rows=scan.rows,
        bounds=tuple(scan.bounds.tolist()),
        whole=tuple(scan.whole.tolist()),
        gaps=tuple(scan.gaps.tolist()),
        rows_with_gaps=scan.rows_with_gaps,
        digests={name: manifest.digest(folder / name) for name in names},
    )
    return open_table(folder, manifest.write(folder, known))


def _fitting(
    blocks: Iterable[Block], names: Sequence[str], types: Sequence[np.dtype[Any]], *, gaps: bool = True
) -> Iterator[Block]:
    """The blocks as they are. Raises BadData where a number does not fit the type that the program declares for it.

    With `gaps` the program is given missing values, which are no whole numbers; else they are not looked at here.
    """
    if all(kind == np.float64 for kind in types):
        yield from blocks
        return
    low, high = np.array([_range(kind) for kind in types], dtype=np.float64).T
    whole, row = np.array([kind.kind != "f" for kind in types]), 1
    for block in blocks:
        values = block.values
        misfits = (values < low) | (values > high)
        if whole.any():
            misfits |= whole & (np.rint(values) != values) & (gaps | ~np.isnan(values))
        if misfits.any():
            at, column = map(int, np.argwhere(misfits)[0])
            what = f"{types[column].name}, {'whole ' if whole[column] else ''}numbers"
            what += f" from {low[column]:.17g} to {high[column]:.17g}"
            where = f"row {row + at}, column {names[column]!r}"
            message = f"{where}: {values[at, column]} does not fit; the program takes {what}"
            raise BadData(message, row=row + at, column=names[column])
        row += len(values)
        yield block


def _range(kind: np.dtype[Any]) -> tuple[float, float]:
    """The least and the largest number that every part of the way holds."""
    if kind.kind == "f":
        return float(np.finfo(kind).min), float(np.finfo(kind).max)
    if kind.kind == "b":
        return 0, 1
    return max(int(np.iinfo(kind).min), -WHOLE_MAX), min(int(np.iinfo(kind).max), WHOLE_MAX)


def _after(encoder: Encoder, binding: Binding) -> Binding:
    """What the rest of the program takes."""
    numbers = [name for name, kind in zip(binding.columns, encoder.types, strict=True) if kind != TEXT]
    return Binding(encoder.names(numbers), binding.by, binding.columns)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source whose columns are what an encoder gives for a binding of another's."""

    source: Source
    encoder: Encoder
    binding: Binding
    reading: Reading

    @property
    def header(self) -> Header:
        """The other's."""
        return self.source.header

    def blocks(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Block]:
        """As the port says, all columns in the encoder's order. Raises BadProgram: rows are not independent."""
        kinds = list(zip(self.binding.columns, self.encoder.types, strict=True))
        numbers, words = ([name for name, kind in kinds if (kind == TEXT) == text] for text in (False, True))
        found = self.source.blocks(numbers, (*texts, *words))
        row = 1
        for block in _fitting(found, numbers, [kind for _, kind in kinds if kind != TEXT]):
            given = block.texts[len(texts) :]
            self._require_text(given, words, row)
            rows = self._encode(block.values, given, words, row)
            if row == 1 and not self._independent(block.values, given, rows):
                raise BadProgram("what the program makes of text depends on other rows; rows must stay independent")
            yield Block(rows, block.texts[: len(texts)])
            row += len(rows)

    def _independent(self, values: NDArray[np.float64], given: Sequence[list[str]], rows: NDArray[np.float64]) -> bool:
        """Whether they give the same in another order."""
        turned = self.encoder.encode(values[::-1], [column[::-1] for column in given])
        return np.array_equal(turned[::-1], rows, equal_nan=True)

    def _require_text(self, given: Sequence[list[str]], words: Sequence[str], row: int) -> None:
        if self.reading.missing == "nan":
            return
        for name, column in zip(words, given, strict=True):
            if "" in column:
                at = row + column.index("")
                message = f"row {at}, column {name!r}: the text is missing; fill it in"
                message += ", or give --missing nan if the program knows what to do"
                raise BadData(message, row=at, column=name)

    def _encode(
        self, values: NDArray[np.float64], given: Sequence[list[str]], words: Sequence[str], row: int
    ) -> NDArray[np.float64]:
        """Raises BadData naming the first row whose text the program does not know."""
        try:
            return self.encoder.encode(values, given)
        except BadProgram as error:
            if len(values) == 1:
                known = ", ".join(f"{name} {column[0]!r}" for name, column in zip(words, given, strict=True))
                message = f"row {row}: the program knows no number for its text ({known}); it was fitted on other texts"
                raise BadData(message, row=row) from error
        half = len(values) // 2
        for part, first in ((slice(half), row), (slice(half, None), row + half)):
            self._encode(values[part], [column[part] for column in given], words, first)
        raise BadData(f"the text in rows {row} to {row + len(values) - 1} cannot be encoded together", row=row)


class Scan:
    """What is known of the rows so far."""

    def __init__(self, width: int) -> None:
        self.rows = 0
        self.bounds = np.zeros(width)
        self.whole = np.ones(width, dtype=np.bool_)
        self.gaps = np.zeros(width, dtype=np.int64)
        self.rows_with_gaps = 0

    def add(self, values: NDArray[np.float64]) -> None:
        """Look at the next rows. Raises BadData: too many."""
        gaps = np.isnan(values)
        if gaps.any():
            self.gaps += gaps.sum(axis=0)
            self.rows_with_gaps += int(gaps.any(axis=1).sum())
        self.bounds = np.fmax(self.bounds, np.fmax.reduce(np.abs(values), axis=0, initial=0.0))
        self.whole &= (np.rint(values) == values).all(axis=0)
        self.rows += len(values)
        if self.rows > ROWS_PER_JOB_MAX:
            raise BadData(f"the data has more than {ROWS_PER_JOB_MAX:,} rows")


def _write_texts(texts: list[str], file: BinaryIO, ends: BinaryIO) -> None:
    raw, before = [each.encode() for each in texts], file.tell()
    file.write(b"".join(raw))
    ends.write((before + np.cumsum([len(each) for each in raw], dtype="<u8")).tobytes())


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def missing_value(table: Table, advice: str) -> BadData:
    """Where the first missing value of a table is, that has some, and how many there are."""
    row = 0
    for block in table.blocks():
        if len(gaps := np.argwhere(np.isnan(block.values))):
            row, column = row + int(gaps[0][0]) + 1, table.columns[gaps[0][1]]
            message = f"row {row}, column {column!r}: the value is missing; {table.gaps}; fill them in, or {advice}"
            return BadData(message, row=row, column=column)
        row += len(block.values)
    raise AssertionError("no value is missing")
