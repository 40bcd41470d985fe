"""CSV and its relatives as a source: what separates fields is told from the first lines, unless the user says it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.data import records, stream
from nodes.data.header import Header
from nodes.data.port import SAMPLE_ROWS, Block
from nodes.data.reading import Dialect
from nodes.data.records import RECORD_BYTES_MAX, Form, Records
from schemas.errors import BadConfig, BadData

DELIMITERS: Final = (",", ";", "\t", "|")
"""Those that are told by themselves; the first that fits best is taken."""
_SEP: Final = re.compile(r"sep=(.)\r?\n")
"""A first line by which Excel says what separates fields."""


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A text file whose first line names the columns."""

    path: Path
    encoding: str | None
    header: Header
    form: Form
    skipped: int  # bytes of text before the first row

    def blocks(self, columns: Sequence[str], id_column: str | None) -> Iterator[Block]:
        """As the port says."""
        wanted = [self.header.position(column) for column in columns]
        named = None if id_column is None else self.header.position(id_column)
        row = 1
        with stream.opened(self.path) as file:
            read = stream.text(file, self.path.name, self.encoding)
            for chunk in _chunks(read, self.form, self.skipped):
                values = records.numbers(chunk, self.form, wanted, row)
                ids = None if named is None else records.texts(chunk, self.form, named, row)
                row += len(values)
                yield Block(values, ids)


def open_csv(path: Path, dialect: Dialect) -> CsvSource:
    """What the first lines say.

    Raises:
        BadData: it is empty, not text, has no rows, or its first line cannot be read.
        BadConfig: the dialect makes no sense.
    """
    _require_possible(dialect)
    with stream.opened(path) as file:
        head, whole = _head(stream.text(file, path.name, dialect.encoding))
    if b"\0" in head:
        raise BadData(f"{path.name} is not text; or if it is UTF-16, give --encoding utf-16-le")
    text, skipped = _decoded(path.name, head, whole=whole), 0
    text, skipped = text.lstrip("\r\n"), len(text) - len(text.lstrip("\r\n"))
    if not text.strip():
        raise BadData(f"{path.name} is empty; the first line must name the columns")
    said = dialect.delimiter
    if (sep := _SEP.match(text)) and not said:
        said, text, skipped = sep.group(1), text[sep.end() :], skipped + sep.end()
    delimiter = said or _delimiter(text, whole=whole)
    sample, ends = _sample(path.name, text, delimiter, whole=whole)
    form = Form(_names(path.name, sample, dialect.decimal), delimiter, dialect.decimal)
    header = Header(path.name, form.columns, _numeric(sample, form))
    return CsvSource(path, dialect.encoding, header, form, skipped + len(text[:ends].encode()))


def _require_possible(dialect: Dialect) -> None:
    delimiter = dialect.delimiter
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
        raise BadConfig(f"--delimiter {delimiter!r} is not one character, or `tab`", field="delimiter")
    if dialect.decimal not in (".", ","):
        raise BadConfig(f"--decimal {dialect.decimal!r} is neither '.' nor ','", field="decimal")


def _head(read: stream.Read) -> tuple[bytes, bool]:
    """Enough of the file for its header and first rows, and whether that is all of it."""
    head = b""
    while block := read(stream.BLOCK_BYTES):
        head += block
        if len(head) >= stream.BLOCK_BYTES and (head.count(b"\n") > SAMPLE_ROWS or len(head) > 2 * RECORD_BYTES_MAX):
            return head, False
    return head, True


def _decoded(name: str, head: bytes, *, whole: bool) -> str:
    if not whole:  # the last character may be cut
        head = head[: head.rfind(b"\n") + 1]
    header = head[: head.find(b"\n") + 1] or head
    try:
        header.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"the header of {name} is not UTF-8 text; give its encoding, for example --encoding cp1252"
        raise BadData(message) from error
    return records.decoded(head, 0)


def _delimiter(text: str, *, whole: bool) -> str:
    """Of those that give header and first row as many fields, the one that gives most."""

    first = text.partition("\n")[0]

    def fit(delimiter: str) -> tuple[bool, int]:
        try:
            found = [record for record, _ in itertools.islice(records.walk(text, delimiter, 0, last=whole), 2)]
        except BadData:
            return False, 1 + first.count(delimiter)
        width = len(found[0]) if found else 0
        return width > 1 and len(found) > 1 and _width(found[0], found[1:]) == len(found[1]), width

    return max(DELIMITERS, key=fit)


def _sample(name: str, text: str, delimiter: str, *, whole: bool) -> tuple[Records, int]:
    """Header and first rows, and where the header ends. A fault in a row is told when the rows are read."""
    walked, sample, ends = records.walk(text, delimiter, 0, last=whole), [], 0
    try:
        for record, end in itertools.islice(walked, SAMPLE_ROWS + 1):
            ends = ends or end
            sample.append(record)
    except BadData as error:
        if not sample:
            raise BadData(f"the header of {name} cannot be read as CSV: {error.__cause__}") from error
    if not sample:
        raise BadData(f"the header of {name} is longer than {RECORD_BYTES_MAX:,} bytes, or has an open quotation mark")
    if not text[ends:].strip("\r\n"):
        raise BadData(f"{name} has a header but no rows: nothing to compute")
    return sample, ends


def _width(names: Sequence[str], rows: Records) -> int:
    """Of the table: one more than it has names where every row ends with a delimiter."""
    full = [row for row in rows if row]
    more = bool(full) and all(len(row) == len(names) + 1 and not row[-1].strip() for row in full)
    return len(names) + more


def _names(file: str, sample: Records, decimal: str) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in sample[0])
    if not any(columns):
        raise BadData(f"{file} has no names in its first line; the first line must name the columns")
    if any(decimal in name and records.as_number(name, decimal) is not None for name in columns):
        raise BadData(f"{file} has no header; its first line must name the columns")
    return columns + ("",) * (_width(columns, sample[1:]) - len(columns))


def _numeric(sample: Records, form: Form) -> tuple[str, ...]:
    """Columns whose first value that is not missing is a number."""

    def is_numeric(position: int) -> bool:
        fields = (row[position] for row in sample[1:] if len(row) > position)
        values = (records.as_number(each, form.decimal) for each in fields)
        return next((value is not None for value in values if value is None or not math.isnan(value)), True)

    return tuple(name for position, name in enumerate(form.columns) if name and is_numeric(position))


def _chunks(read: stream.Read, form: Form, skipped: int) -> Iterator[records.Chunk]:
    """Whole records, about a mebibyte at a time. Empty lines at the end are dropped."""
    carry, row = b"", 1
    while True:
        block = read(stream.BLOCK_BYTES)
        passed = min(skipped, len(block))
        skipped, carry = skipped - passed, carry + block[passed:]
        chunk, taken = records.split(carry, form, row, last=not block)
        if taken:
            yield chunk
            carry, row = carry[taken:], row + records.count(chunk)
        if not block:
            return
        if len(carry) > RECORD_BYTES_MAX:
            raise BadData(
                f"row {row} is longer than {RECORD_BYTES_MAX:,} bytes; look for an open quotation mark", row=row
            )
