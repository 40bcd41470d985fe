"""OUT.csv: the id column, then one column per output element, in the order of the rows."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadData

Rows = NDArray[np.float64]


def write_csv(path: Path, header: Sequence[str], chunks: Iterable[tuple[Sequence[str], Rows]]) -> int:
    """Write OUT.csv: `header` (id column, then one name per output), then each chunk's ids and values [count, width].

    Floats are written as the shortest text that reads back as the same float. The file appears whole or not at all.
    Returns the number of rows. Raises BadData when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                rows = _write(file, header, chunks)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    return rows


def _write(file: TextIO, header: Sequence[str], chunks: Iterable[tuple[Sequence[str], Rows]]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    rows = 0
    for ids, values in chunks:
        writer.writerows([row_id, *row] for row_id, row in zip(ids, values.tolist(), strict=True))
        rows += len(values)
    return rows
