"""Which columns of a user's file a model has, text among them, and the file as a table of these.

Categories are counted over the whole file, before rows are matched: both sides agree on numbers of columns first. Of
the rows in common some may turn out to be too few (`nodes/joint/guards.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from nodes.data.binding import Binding
from nodes.data.header import Header
from nodes.data.making import lay_down, missing_value
from nodes.data.port import Block, Source
from nodes.data.reading import Reading
from nodes.data.table import Table
from nodes.joint import guards
from nodes.joint.alignment import Places
from nodes.joint.categories import Categories, Encoding, Omitted, categories
from nodes.joint.columns import Floats, filled
from nodes.joint.files import values_of
from nodes.whole import write_whole
from schemas.errors import BadData

FILL: Final = 'give --missing mean (at a partner: missing = "mean" of its dataset)'
TEXTS_MAX: Final = 10_000
"""Different ones of a column, which are counted in memory."""


def encoding_of(source: Source, reading: Reading, label: str | None, support: int) -> Encoding:
    """Of the columns that the user chose, else of all but ids and label; the file is read where some are text.

    Raises:
        BadData: there is no such column, or one that was chosen cannot be encoded.
    """
    header, aside = source.header, (reading.id_column, label, "")
    chosen = reading.columns or tuple(each for each in header.columns if each not in aside)
    for name in (*chosen, *filter(None, (reading.id_column, label))):
        header.position(name)
    texts = tuple(each for each in chosen if each not in header.numeric)
    found = _categories(source, texts, support)
    omitted = tuple(each for each in found if isinstance(each, Omitted))
    if omitted and reading.columns:
        raise BadData(f"{omitted[0].column!r} is text that no model can have: {omitted[0].reason}")
    made = Encoding(
        numbers=tuple(each for each in chosen if each in header.numeric),
        texts=tuple(each for each in found if isinstance(each, Categories)),
        label=() if label is None else (label,),
        omitted=omitted,
        support=support,
    )
    _require_distinct(made, header)
    return made


def laid_down(encoding: Encoding, folder: Path, source: Source, reading: Reading) -> Table:
    """Make `folder` and in it the table. Raises as `nodes.data.making.lay_down`, and BadData: a value is missing."""
    taken = encoding.taken if encoding.texts else ()
    binding = Binding(encoding.names, "choice" if reading.columns else "name", taken)
    table = lay_down(folder, Encoded(source, encoding, reading), binding, replace(reading, missing="mean"))
    lacking = table.known.gaps[-1] if encoding.label else 0
    if lacking:
        message = f"the label {encoding.label[0]!r} is missing in {lacking:,} of {table.rows:,} rows: leave those out"
        raise BadData(message, column=encoding.label[0])
    if table.gaps and reading.missing == "refuse":
        raise missing_value(table, FILL)
    return table


def one_hot(known: Categories, texts: Sequence[str]) -> Floats:
    """[rows, columns] of 0 and 1."""
    codes = {each: at for at, each in enumerate(known.kept)}
    unknown = len(known.kept) if known.rare else -1
    codes |= {} if known.baseline is None else {known.baseline: -1}
    found = np.array([codes.get(each, unknown) for each in texts], dtype=np.int64)
    return np.asarray(found[:, None] == np.arange(len(known.names)), dtype=np.float64)


def merged(encoding: Encoding, columns: range, values: Floats) -> Floats:
    """Values [rows, k] of these of the columns, of some of the rows: a category that too few of them have counts as the
    baseline, and its column holds zeros only."""
    made, least = encoding.encoded, encoding.support
    few = [at for at, each in enumerate(columns) if each in made and guards.support(values[:, at]) < least]
    found = values.copy() if few else values
    found[:, few] = 0
    return found


def _categories(source: Source, names: Sequence[str], support: int) -> list[Categories | Omitted]:
    if not names:
        return []
    counts: list[Counter[str]] = [Counter() for _ in names]
    for block in source.blocks((), names):
        for known, texts in zip(counts, block.texts, strict=True):
            if len(known) <= TEXTS_MAX:
                known.update(texts)
    return [
        Omitted(column=name, reason=f"it has more than {TEXTS_MAX:,} different texts")
        if len(known) > TEXTS_MAX
        else categories(name, known, support)
        for name, known in zip(names, counts, strict=True)
    ]


def _require_distinct(made: Encoding, header: Header) -> None:
    for name, count in Counter(made.names).items():
        if count > 1:
            raise BadData(f"{header.file} has a column {name!r}, and another whose text becomes one: rename one")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source whose columns are an encoding's of another's."""

    source: Source
    encoding: Encoding
    reading: Reading

    @property
    def header(self) -> Header:
        """The other's."""
        return self.source.header

    def blocks(self, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Block]:
        """As the port says, of all columns of the encoding."""
        known, row = self.encoding, 1
        width = len(known.numbers)
        for block in self.source.blocks(
            (*known.numbers, *known.label), (*texts, *(each.column for each in known.texts))
        ):
            given = block.texts[len(texts) :]
            self._require_text(given, row)
            made = [one_hot(each, column) for each, column in zip(known.texts, given, strict=True)]
            values = np.hstack([block.values[:, :width], *made, block.values[:, width:]])
            yield Block(values, block.texts[: len(texts)])
            row += len(values)

    def _require_text(self, given: Sequence[list[str]], row: int) -> None:
        """A missing text is a category where missing numbers become means."""
        if self.reading.missing != "refuse":
            return
        for each, column in zip(self.encoding.texts, given, strict=True):
            if "" in column:
                at = row + column.index("")
                message = f"row {at}, column {each.column!r}: the text is missing; fill it in, or {FILL}, "
                message += "which makes a category of it"
                raise BadData(message, row=at, column=each.column)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of a model: all of a table of these columns, or those at `places` in their order."""

    table: Table
    places: Places | None
    encoding: Encoding

    def values(self, columns: range) -> Floats:
        """Of these columns [rows, columns], as a model takes them."""
        return self.usable(columns, values_of(self.table, self.places, columns))

    def column(self, at: int) -> Floats:
        """Of one [rows]."""
        return self.values(range(at, at + 1))[:, 0]

    def usable(self, columns: range, read: Floats) -> Floats:
        """Of what was read of these columns."""
        return merged(self.encoding, columns, filled(read))


def write_encoding(path: Path, encoding: Encoding) -> None:
    """Keep it beside the table."""
    write_whole(path, msgspec.json.encode(encoding))


def read_encoding(path: Path) -> Encoding:
    """What was kept.

    Raises:
        BadData: it is gone or damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Encoding)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadData(f"{path.name} is gone or damaged; submit the job again") from error
