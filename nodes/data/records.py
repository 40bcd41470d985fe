"""CSV bytes cut into records, and records into numbers. No files: the caller reads.

The rules are RFC 4180's, with a header, in UTF-8, LF or CRLF; a quotation mark inside a field that does not begin with
one is text, as the `csv` module and pandas take it. Chunks without quotation marks stay bytes and take a fast path:
separators are counted with NumPy, and what stands between them is read as JSON's numbers, as almost all numbers are,
or else the wanted fields as Python's. What that cannot read is read again field by field with the `csv` module, which
either succeeds or finds the row and column at fault. Chunks with quotation marks are parsed once, by that module.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData

NEWLINE: Final = 10
QUOTE: Final = b'"'
RECORD_BYTES_MAX: Final = 16 << 20
SHOWN_CHARACTERS: Final = 40
GAPS: Final = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None")
)
"""Texts that mean a missing value, as pandas takes them."""
TRUTHS: Final = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}
_WORDS: Final = {word.encode(): value for word, value in (dict.fromkeys(GAPS, math.nan) | TRUTHS).items()}
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f]\d{3})+([.,]\d*)?")

Positions = NDArray[np.intp]
Records = list[list[str]]
Chunk = bytes | Records
"""Whole records: as they stand in the file, each ended by a newline and none with a quotation mark; or taken apart."""

_NUMBERS: Final = msgspec.json.Decoder(list[float])


@dataclass(frozen=True, slots=True)
class Form:
    """How fields and numbers are written, and the columns that each record has."""

    columns: tuple[str, ...] = ()
    delimiter: str = ","
    decimal: str = "."


def split(block: bytes, form: Form, first_row: int, *, last: bool) -> tuple[Chunk, int]:
    """The whole records that `block` begins with, and how many bytes they take; empty lines at its end are left.

    With `last` nothing follows the block, and its last record needs no newline. Raises BadData: not UTF-8, quotation
    marks that do not fit.
    """
    if QUOTE in block:
        return _parsed(block, form, first_row, last=last)
    body = (block if last else block[: block.rfind(b"\n") + 1]).rstrip(b"\r\n")
    if not body:
        return b"", 0
    taken = block.find(b"\n", len(body)) + 1 or len(block)
    body = body.replace(b"\r\n", b"\n") + b"\n"
    return (_read(body, form, first_row) if b"\r" in body else body), taken


def count(chunk: Chunk) -> int:
    """How many records."""
    return chunk.count(b"\n") if isinstance(chunk, bytes) else len(chunk)


def numbers(chunk: Chunk, form: Form, wanted: Sequence[int], first_row: int) -> NDArray[np.float64]:
    """The `wanted` columns of all records: float64 [records, len(wanted)], NaN where a value is missing.

    `first_row` is the number of the first record, counted from 1, for messages. Raises BadData naming row and column:
    ragged row, text, infinite value, not UTF-8.
    """
    if not chunk:
        return np.zeros((0, len(wanted)))
    if isinstance(chunk, bytes):
        values = _fast(chunk, form, wanted)
        if values is not None and not np.isinf(values).any():
            return values
        chunk = _read(chunk, form, first_row)
    rows = [
        [number(record[position], form, row, form.columns[position]) for position in wanted]
        for row, record in _checked(chunk, form, first_row)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(wanted))


def texts(chunk: Chunk, form: Form, wanted: int, first_row: int) -> list[str]:
    """One column of all records as text. Raises BadData as `numbers`."""
    if not chunk:
        return []
    if isinstance(chunk, bytes):
        separators = _separators(chunk, form)
        if separators is not None:
            return decoded(_cut(chunk, form, separators, [wanted]), first_row).split(form.delimiter)
        chunk = _read(chunk, form, first_row)
    return [record[wanted] for _, record in _checked(chunk, form, first_row)]


def decoded(block: bytes, first_row: int) -> str:
    """The block as text. Raises BadData naming the row that is not UTF-8."""
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        row = first_row + block.count(b"\n", 0, error.start)
        message = f"row {row} is not UTF-8 text; give its encoding, for example --encoding cp1252"
        raise BadData(message, row=row) from error


def number(text: str, form: Form, row: int, column: str) -> float:
    """A finite number, or NaN where it is missing. Raises BadData naming row and column."""
    value = as_number(text, form.decimal)
    if value is not None and not math.isinf(value):
        return value
    where = f"row {row}, column {column!r}"
    if value is None:
        message = f"{where}: {text[:SHOWN_CHARACTERS]!r} is not a number{_advice(text, form.decimal)}"
    else:
        message = f"{where}: the value is {value}; only finite numbers can be computed with"
    raise BadData(message, row=row, column=column)


def as_number(text: str, decimal: str = ".") -> float | None:
    """The number that `text` is: infinite ones included, NaN for a missing one, 1 and 0 for true and false; or None."""
    text = text.strip()
    if text in GAPS:
        return math.nan
    if text in TRUTHS:
        return TRUTHS[text]
    if "_" in text or not text.isascii() or (decimal != "." and "." in text):
        return None
    try:
        return float(text.replace(decimal, "."))
    except ValueError:
        return None


def _advice(text: str, decimal: str) -> str:
    text, other = text.strip(), "," if decimal == "." else "."
    ways = []
    if _THOUSANDS.fullmatch(text):
        ways.append("write it without signs between the thousands")
    if text.count(other) == 1 and (value := as_number(text, other)) is not None and not math.isnan(value):
        ways.append(f"give --decimal '{other}' if that is its decimal sign")
    return "; " + ", or ".join(ways) if ways else ""


# Fields ---------------------------------------------------------------------------------------------------------------


def _read(block: bytes, form: Form, first_row: int) -> Records:
    """All records of a chunk."""
    return _parsed(block, form, first_row, last=True)[0]


def _parsed(block: bytes, form: Form, first_row: int, *, last: bool) -> tuple[Records, int]:
    text = decoded(block if last else block[: block.rfind(b"\n") + 1], first_row)
    records: Records = []
    full = taken = 0
    for record, end in walk(text, form.delimiter, first_row, last=last):
        records.append(record)
        if record:
            full, taken = len(records), end
    return records[:full], len(text[:taken].encode())


def walk(text: str, delimiter: str, first_row: int, *, last: bool) -> Iterator[tuple[list[str], int]]:
    """Each whole record, and where it ends in `text`. Raises BadData where the `csv` module cannot read one."""
    csv.field_size_limit(RECORD_BYTES_MAX)
    end = row = 0

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
            return  # the record goes on behind the block
        at = first_row + row
        what = "look for a quotation mark that is not closed, or not written twice inside quoted text"
        raise BadData(f"row {at} cannot be read as CSV: {error}; {what}", row=at) from error


def _checked(records: Records, form: Form, first_row: int) -> Iterator[tuple[int, list[str]]]:
    for row, record in enumerate(records, start=first_row):
        if not record:
            raise BadData(f"row {row} is empty; remove the empty line", row=row)
        if len(record) != len(form.columns):
            message = f"row {row} has {len(record)} fields, but the header names {len(form.columns)} columns"
            raise BadData(message, row=row)
        yield row, record


# Bytes ----------------------------------------------------------------------------------------------------------------


def _fast(block: bytes, form: Form, wanted: Sequence[int]) -> NDArray[np.float64] | None:
    """The numbers of a chunk of bytes, or None when it needs a closer look."""
    width = len(form.columns)
    separators = _separators(block, form)
    if separators is None:
        return None
    if len(wanted) < width and form.delimiter == ",":
        values = _json(block[:-1].replace(b"\n", b","))
        if values is not None:
            return np.ascontiguousarray(values.reshape(-1, width)[:, wanted])
    order = sorted(set(wanted))
    text = _with_commas(_cut(block, form, separators, order), form)
    values = None if text is None else _floats(text)
    if values is None:
        return None
    return np.ascontiguousarray(values.reshape(-1, len(order))[:, [order.index(position) for position in wanted]])


def _separators(block: bytes, form: Form) -> Positions | None:
    """Of the fields, [records, width]; or None when some row is ragged, empty, or not UTF-8."""
    width = len(form.columns)
    if (width == 1 and (b"\n\n" in block or block.startswith(b"\n"))) or not _is_text(block):
        return None
    codes = np.frombuffer(block, dtype=np.uint8)
    separators = np.flatnonzero((codes == ord(form.delimiter)) | (codes == NEWLINE))
    newlines = codes[separators] == NEWLINE
    if len(separators) % width or not newlines[width - 1 :: width].all() or newlines.sum() * width != len(separators):
        return None
    return separators.reshape(-1, width)


def _is_text(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _cut(block: bytes, form: Form, separators: Positions, wanted: Sequence[int]) -> bytes:
    """The wanted fields in the file's order, with delimiters between."""
    width = separators.shape[1]
    if len(wanted) < width:
        ends = separators.reshape(-1)
        starts = np.concatenate(([0], ends[:-1] + 1)).reshape(-1, width)
        unwanted = [position for position in range(width) if position not in set(wanted)]
        steps = np.zeros(len(block) + 1, dtype=np.int8)
        steps[starts[:, unwanted]] += 1
        steps[separators[:, unwanted] + 1] -= 1
        codes = np.frombuffer(block, dtype=np.uint8)
        block = codes[np.cumsum(steps[:-1], dtype=np.int8) == 0].tobytes()
    return block[:-1].replace(b"\n", form.delimiter.encode())


def _with_commas(text: bytes, form: Form) -> bytes | None:
    """Numbers with points, and commas between them; None where a sign stands that the form does not know."""
    if form.decimal != ".":
        if b"." in text:
            return None
        text = text.replace(form.decimal.encode(), b".")
    if form.delimiter != "," and b"," in text:
        return None
    return text.replace(form.delimiter.encode(), b",")


def _floats(text: bytes) -> NDArray[np.float64] | None:
    """The numbers between the commas, as Python reads them, several times as fast where JSON reads them too."""
    values = _json(text)
    if values is not None or b"_" in text:  # Python reads 1_000 as a number; a CSV file does not mean it
        return values
    fields = text.split(b",")
    try:
        return np.array([_WORDS[each] if each in _WORDS else float(each) for each in fields], dtype=np.float64)
    except ValueError:
        return None


def _json(text: bytes) -> NDArray[np.float64] | None:
    """The numbers between the commas, where all are JSON's."""
    try:
        values = _NUMBERS.decode(b"[%b]" % text)
    except msgspec.MsgspecError:
        return None
    return np.fromiter(values, dtype=np.float64, count=len(values))
