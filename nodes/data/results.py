"""OUT.csv: the id column, then one column per output element, in the order of the rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.errors import JobFailed

Rows = NDArray[np.float64]

WHOLE_MAX: Final = 2.0**53
"""Up to here every whole number is a float."""


def write_csv(
    path: Path,
    header: Sequence[str],
    chunks: Iterable[tuple[Sequence[str], Rows]],
    whole: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> int:
    """Write OUT.csv: `header` (id column, then one name per output), then each chunk's ids and values [count, width].

    Floats are written as the shortest text that reads back as the same float; columns in `whole` as whole numbers, or
    as the texts that these stand for, where there are any. The file appears whole or not at all.
    Returns the number of rows. Raises JobFailed when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                rows = _write(file, header, chunks, whole)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise JobFailed(f"cannot write {path}: {error.strerror or error}") from error
    return rows


def _write(
    file: TextIO,
    header: Sequence[str],
    chunks: Iterable[tuple[Sequence[str], Rows]],
    whole: Mapping[int, Sequence[str]],
) -> int:
    file.write(",".join(map(_quoted, header)) + "\n")
    rows = 0
    for ids, values in chunks:
        if len(ids) != len(values):
            raise ValueError(f"{len(ids)} ids for {len(values)} rows")
        texts, width = _texts(values), values.shape[1]
        columns = [texts[column::width] for column in range(width)]
        for column, stand_for in whole.items():
            columns[column] = _meant(values[:, column], stand_for) or columns[column]
        lines = zip(ids if _plain("".join(ids)) else map(_quoted, ids), *columns, strict=True)
        file.write("".join(",".join(line) + "\n" for line in lines))
        rows += len(values)
    return rows


def _meant(numbers: NDArray[np.float64], texts: Sequence[str]) -> list[str]:
    """Whole numbers without a fraction, or the texts at their places; nothing if they are other numbers."""
    if not (np.isfinite(numbers) & (np.rint(numbers) == numbers) & (np.abs(numbers) <= WHOLE_MAX)).all():
        return []
    found = numbers.astype(np.int64).tolist()
    if not texts:
        return list(map(str, found))
    quoted = list(map(_quoted, texts))
    return [quoted[each] if 0 <= each < len(quoted) else str(each) for each in found]


def _texts(values: Rows) -> list[str]:
    """All values, row by row."""
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    if flat.size and np.isfinite(flat).all():  # JSON's numbers; it has no others
        return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    return list(map(repr, flat.tolist()))


def _quoted(text: str) -> str:
    """As RFC 4180 quotes."""
    return text if _plain(text) else '"' + text.replace('"', '""') + '"'


def _plain(text: str) -> bool:
    """Whether it needs no quotation marks."""
    return not any(mark in text for mark in ',"\r\n')
