"""CSV text cut into records, and records into numbers. No files: the caller reads.

The rules are RFC 4180's, with a header; a quotation mark inside a field that does not begin with one is text, as the
`csv` module and pandas take it. Text without quotation marks is cut at its signs; else, or where that does not fit, the
`csv` module reads it, or says which row is at fault. Numbers are almost always JSON's, and read as such.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData

RECORD_CHARACTERS_MAX: Final = 16 << 20
SHOWN_CHARACTERS: Final = 40
GAPS: Final = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None")
)
"""Texts that mean a missing value, as pandas takes them."""
TRUTHS: Final = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}
_WORDS: Final = dict.fromkeys(GAPS, math.nan) | TRUTHS
_SWAPPED: Final = str.maketrans(",.", ".,")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f]\d{3})+([.,]\d*)?")
_NUMBERS: Final = msgspec.json.Decoder(list[float])


@dataclass(frozen=True, slots=True)
class Form:
    """How fields and numbers are written, and the columns that each record has."""

    columns: tuple[str, ...]
    delimiter: str = ","
    decimal: str = "."


@dataclass(frozen=True)
class Records:
    """Whole records that follow each other."""

    form: Form
    first_row: int
    """The number of the first, for messages."""
    count: int
    cut: list[str] | None = None
    lines: str = ""
    """What is not cut yet: `matrix` are its numbers, of all columns."""
    matrix: NDArray[np.float64] | None = None

    @cached_property
    def fields(self) -> list[str]:
        """All fields, one after the other."""
        if self.cut is not None:
            return self.cut
        return self.lines.replace("\n", self.form.delimiter).split(self.form.delimiter)

    def texts(self, column: int) -> list[str]:
        """A column as it is."""
        return self.fields[column :: len(self.form.columns)]

    def numbers(self, wanted: Sequence[int]) -> NDArray[np.float64]:
        """The `wanted` columns: float64 [records, len(wanted)], NaN where a value is missing.

        Raises BadData naming row and column of the first that is no finite number.
        """
        if self.matrix is not None:
            values = self.matrix[:, wanted]
        else:
            values = np.empty((self.count, len(wanted)))
            for position, column in enumerate(wanted):
                values[:, position] = _floats(self.texts(column), self.form.decimal)
        if np.isinf(values).any():
            row, position = map(int, np.argwhere(np.isinf(values))[0])
            column = wanted[position]
            text, name = self.texts(column)[row], self.form.columns[column]
            raise _refusal(text, self.form.decimal, self.first_row + row, name)
        return values


def split(text: str, form: Form, first_row: int, *, last: bool) -> tuple[Records | None, int]:
    """The whole records that `text` begins with, if any, and the characters taken; empty lines at its end are left.

    With `last` nothing follows, and the last record needs no newline. Raises BadData: not UTF-8, a ragged or empty row,
    quotation marks.
    """
    body = text if last else text[: text.rfind("\n") + 1]
    require_utf8(body, first_row)
    full = body.rstrip("\r\n")
    if not full:
        return None, 0
    lines = full.replace("\r\n", "\n")
    found = None if '"' in body or "\r" in lines else _cut(lines, form, first_row)
    if found is None:
        return _parsed(body, form, first_row, last=last)
    return found, body.find("\n", len(full)) + 1 or len(body)


def require_utf8(text: str, first_row: int) -> None:
    """That nothing of it was other bytes. Raises BadData naming the row; row 0 is the header."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        row = first_row + text.count("\n", 0, error.start)
        what = f"row {row}" if row else "the header"
        raise BadData(f"{what} is not UTF-8 text; give its encoding, for example --encoding cp1252", row=row) from error


def as_number(text: str, decimal: str = ".") -> float | None:
    """The number that `text` is: infinite ones included, NaN for a missing one, 1 and 0 for true and false; or None."""
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if "_" in text or not text.isascii():  # Python reads 1_000 as a number; a CSV file does not mean it
        return None
    try:
        return float(text if decimal == "." else text.translate(_SWAPPED))
    except ValueError:
        return None


def walk(text: str, delimiter: str, first_row: int, *, last: bool) -> Iterator[tuple[list[str], int]]:
    """Each whole record, and where it ends in `text`. Raises BadData where the `csv` module cannot read one."""
    csv.field_size_limit(RECORD_CHARACTERS_MAX)
    end, row = 0, first_row

    def lines() -> Iterator[str]:
        nonlocal end
        for line in io.StringIO(text, newline=""):
            end += len(line)
            yield line

    try:
        for record in csv.reader(lines(), delimiter=delimiter, strict=True):
            yield record, end
            row += 1
    except csv.Error as error:
        if str(error) == "unexpected end of data" and not last:
            return  # the record goes on behind the text
        what = "look for a quotation mark that is not closed, or not written twice inside quoted text"
        raise BadData(f"row {row} cannot be read as CSV: {error}; {what}", row=row) from error


def _cut(lines: str, form: Form, first_row: int) -> Records | None:
    """The records of lines without quotation marks; None where one has more or fewer fields than the header."""
    sign, width, count = form.delimiter, len(form.columns), lines.count("\n") + 1
    if (sign, form.decimal) == (",", ".") and (found := _json(lines.replace("\n", ","))):
        if {line.count(sign) for line in lines.split("\n")} != {width - 1}:
            return None
        matrix = np.fromiter(found, np.float64, len(found)).reshape(count, width)
        return Records(form, first_row, count, lines=lines, matrix=matrix)
    fields = f"{lines}\n".replace("\n", f"{sign}\n{sign}").split(sign)[:-1]  # every line's end becomes a field
    if fields[width :: width + 1] != ["\n"] * count or len(fields) != count * (width + 1):
        return None
    del fields[width :: width + 1]
    return None if width == 1 and "" in fields else Records(form, first_row, count, fields)


def _parsed(text: str, form: Form, first_row: int, *, last: bool) -> tuple[Records | None, int]:
    fields: list[str] = []
    row, taken = first_row, 0
    for number, (record, end) in enumerate(walk(text, form.delimiter, first_row, last=last), start=first_row):
        if not record:
            continue
        if number > row:
            raise BadData(f"row {row} is empty; remove the empty line", row=row)
        if len(record) != len(form.columns):
            message = f"row {row} has {len(record)} fields, but the header names {len(form.columns)} columns"
            raise BadData(message, row=row)
        fields += record
        row, taken = row + 1, end
    return Records(form, first_row, row - first_row, fields) if fields else None, taken


def _floats(texts: list[str], decimal: str) -> Sequence[float]:
    """Their numbers; infinite for what is none."""
    if decimal != ".":
        texts = [text.translate(_SWAPPED) for text in texts]
    values = _json(",".join(texts)) or ()
    if len(values) == len(texts):
        return values
    found = map(as_number, texts)
    return [math.inf if value is None else value for value in found]


def _json(text: str) -> list[float] | None:
    """The numbers between commas, if they are JSON's."""
    try:
        return _NUMBERS.decode(f"[{text}]")
    except msgspec.MsgspecError:
        return None


def _refusal(text: str, decimal: str, row: int, column: str) -> BadData:
    value, where = as_number(text, decimal), f"row {row}, column {column!r}"
    if value is None:
        message = f"{where}: {text[:SHOWN_CHARACTERS]!r} is not a number{_advice(text.strip(), decimal)}"
    else:
        message = f"{where}: the value is {value}; only finite numbers can be computed with"
    return BadData(message, row=row, column=column)


def _advice(text: str, decimal: str) -> str:
    other = "," if decimal == "." else "."
    ways = []
    if _THOUSANDS.fullmatch(text):
        ways.append("write it without signs between the thousands")
    if text.count(other) == 1 and (value := as_number(text, other)) is not None and not math.isnan(value):
        ways.append(f"give --decimal '{other}' if that is its decimal sign")
    return "; " + ", or ".join(ways) if ways else ""
