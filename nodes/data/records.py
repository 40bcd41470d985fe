"""CSV bytes cut into records, and records into numbers. No files: the caller reads.

The rules are RFC 4180's, with a header, UTF-8, LF or CRLF. Blocks without quotation marks take a fast path on bytes:
separators are counted with NumPy, and what stands between them is read as JSON's numbers, as almost all numbers are,
or else the wanted fields as Python's. A block that the fast path cannot read is read again field by field with the
`csv` module, which either succeeds (quoted fields) or finds the row and column at fault.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData

NEWLINE: Final = 10
COMMA: Final = 44
QUOTE: Final = 34
SHOWN_CHARACTERS: Final = 40

Positions = NDArray[np.intp]

_NUMBERS: Final = msgspec.json.Decoder(list[float])


def record_ends(block: bytes) -> Positions:
    """Positions of the newlines that end a record: those outside quotation marks."""
    codes = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(codes == NEWLINE)
    if b'"' not in block:
        return ends
    quotes_before = np.cumsum(codes == QUOTE, dtype=np.int32)
    return np.asarray(ends[quotes_before[ends] % 2 == 0])


def numbers(block: bytes, columns: Sequence[str], wanted: Sequence[int], first_row: int) -> NDArray[np.float64]:
    """The `wanted` columns of all records in `block`: float64 [records, len(wanted)].

    `first_row` is the number of the block's first row, counted from 1, for messages. Raises BadData naming row and
    column: ragged row, text, missing, infinite or not-a-number value, not UTF-8.
    """
    if not block:
        return np.zeros((0, len(wanted)))
    values = _fast(block, len(columns), wanted)
    if values is None or not np.isfinite(values).all():
        return _slow(block, columns, wanted, first_row)
    return values


def texts(block: bytes, columns: Sequence[str], wanted: int, first_row: int) -> list[str]:
    """One column of all records in `block` as text. Raises BadData as `records`."""
    if not block:
        return []
    separators = _separators(block, len(columns)) if b"\r" not in block else None
    if separators is None:
        return [record[wanted] for _, record in records(block, columns, first_row)]
    return decoded(_cut(block, separators, [wanted]), first_row).split(",")


def records(block: bytes, columns: Sequence[str], first_row: int) -> Iterator[tuple[int, list[str]]]:
    """Row number (from 1) and fields of each record. Raises BadData: not UTF-8, ragged or empty row, stray quotes."""
    expected = len(record_ends(block))
    reader = csv.reader(io.StringIO(decoded(block, first_row), newline=""), strict=True)
    row = first_row - 1
    try:
        for row, record in enumerate(reader, start=first_row):
            if not record:
                raise BadData(f"row {row} is empty; remove the empty line", row=row)
            if len(record) != len(columns):
                raise BadData(
                    f"row {row} has {len(record)} fields, but the header names {len(columns)} columns", row=row
                )
            yield row, record
    except csv.Error as error:
        raise BadData(f"row {row + 1} cannot be read as CSV: {error}", row=row + 1) from error
    if row - first_row + 1 != expected:
        raise BadData(
            f"a quotation mark stands inside a field without quotes, at or after row {first_row}", row=first_row
        )


def decoded(block: bytes, first_row: int) -> str:
    """The block as text. Raises BadData naming the row that is not UTF-8."""
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        row = first_row + block.count(b"\n", 0, error.start)
        raise BadData(f"row {row} is not UTF-8 text; save the file as UTF-8", row=row) from error


def _fast(block: bytes, width: int, wanted: Sequence[int]) -> NDArray[np.float64] | None:
    """The numbers of a plain block, or None when it needs a closer look."""
    separators = _separators(block, width)
    if separators is None:
        return None
    if len(wanted) < width and (values := _json(block[:-1].replace(b"\n", b","))) is not None:
        return np.ascontiguousarray(values.reshape(-1, width)[:, wanted])
    order = sorted(set(wanted))
    values = _floats(_cut(block, separators, order))
    if values is None:
        return None
    return np.ascontiguousarray(values.reshape(-1, len(order))[:, [order.index(position) for position in wanted]])


def _separators(block: bytes, width: int) -> Positions | None:
    """Of the fields, [records, width]; or None when some row is ragged, quoted, empty, or not UTF-8."""
    if b'"' in block or (width == 1 and (b"\n\n" in block or block.startswith(b"\n"))) or not _is_text(block):
        return None
    codes = np.frombuffer(block, dtype=np.uint8)
    separators = np.flatnonzero((codes == COMMA) | (codes == NEWLINE))
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


def _cut(block: bytes, separators: Positions, wanted: Sequence[int]) -> bytes:
    """The wanted fields in the file's order, with commas between."""
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
    return block[:-1].replace(b"\n", b",")


def _floats(text: bytes) -> NDArray[np.float64] | None:
    """The numbers between the commas, as Python reads them, several times as fast where JSON reads them too."""
    values = _json(text)
    if values is not None or b"_" in text:  # Python reads 1_000 as a number; a CSV file does not mean it
        return values
    try:
        return np.array(list(map(float, text.split(b","))), dtype=np.float64)
    except ValueError:
        return None


def _json(text: bytes) -> NDArray[np.float64] | None:
    """The numbers between the commas, where all are JSON's."""
    try:
        values = _NUMBERS.decode(b"[%b]" % text)
    except msgspec.MsgspecError:
        return None
    return np.fromiter(values, dtype=np.float64, count=len(values))


def _slow(block: bytes, columns: Sequence[str], wanted: Sequence[int], first_row: int) -> NDArray[np.float64]:
    rows = [
        [number(record[position], row, columns[position]) for position in wanted]
        for row, record in records(block, columns, first_row)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(wanted))


def number(text: str, row: int, column: str) -> float:
    """A finite number. Raises BadData naming row and column."""
    where = f"row {row}, column {column!r}"
    if not text.strip():
        raise BadData(f"{where}: the value is missing", row=row, column=column)
    value = as_number(text)
    if value is None:
        raise BadData(f"{where}: {text[:SHOWN_CHARACTERS]!r} is not a number", row=row, column=column)
    if not math.isfinite(value):
        raise BadData(
            f"{where}: the value is {value}; only finite numbers can be computed with", row=row, column=column
        )
    return value


def as_number(text: str) -> float | None:
    """The number that `text` is, infinite ones included, or None."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None
