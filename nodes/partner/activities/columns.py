"""The partner's columns as the integers that a model is fitted with: made once per job, in its folder.

Columns are read some at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.joint import guards
from nodes.joint.columns import Columns, Floats, filled, scaled
from nodes.joint.errors import TooRevealing
from nodes.joint.guards import Limits
from nodes.partner.activities.services import PartFolder
from nodes.whole import write_whole
from schemas.errors import BadData
from schemas.joint import Algorithm, Outliers

VALUES_AT_A_TIME: Final = 1 << 22
"""Read together: 32 MiB."""

Places = NDArray[np.int64]


class Scales(Struct, frozen=True):
    """What the integers stand for."""

    units: tuple[float, ...]
    offsets: tuple[float, ...]


def make_columns(
    folder: PartFolder, table: Table, places: Places | None, algorithm: Algorithm, outliers: Outliers
) -> int:
    """Write the integers of the table's rows, or of those at `places` in their order; how many rows were moved.

    Raises:
        TooRevealing: what the columns would show, with counts, for this partner's eyes.
        BadData: a column cannot be used.
    """
    rows = table.rows if places is None else len(places)
    penalty, bits = algorithm.penalty_per_row * rows, algorithm.partner_bits
    folder.integers.parent.mkdir(parents=True, exist_ok=True)
    made, moved = _quantised(folder, table, places, bits), 0
    try:
        guards.require_safe(made, penalty, Limits())
    except TooRevealing as error:
        if error.code != "high-leverage" or outliers != "move":
            raise
        values, moved = guards.pulled(_read(table, places, range(len(table.columns))), penalty, Limits())
        made = _kept(folder, scaled(values, bits))
        guards.require_safe(made, penalty, Limits())
    return moved


def read_columns(folder: PartFolder) -> Columns:
    """What was made; the integers stay in their file."""
    scales = msgspec.json.decode(folder.scales.read_bytes(), type=Scales)
    integers = np.load(folder.integers, mmap_mode="r")
    return Columns(integers, np.array(scales.units), np.array(scales.offsets))


def _quantised(folder: PartFolder, table: Table, places: Places | None, bits: int) -> Columns:
    rows, width = table.rows if places is None else len(places), len(table.columns)
    aside = _aside(folder.integers)
    kind = np.int16 if bits <= 16 else np.int32
    integers = np.lib.format.open_memmap(aside, mode="w+", dtype=kind, shape=(rows, width))
    units, offsets = np.empty(width), np.empty(width)
    at_once = max(1, VALUES_AT_A_TIME // max(1, table.rows))
    for first in range(0, width, at_once):
        chunk = range(first, min(width, first + at_once))
        made = scaled(filled(_read(table, places, chunk)), bits)
        integers[:, chunk.start : chunk.stop] = made.integers
        units[chunk.start : chunk.stop], offsets[chunk.start : chunk.stop] = made.units, made.offsets
    integers.flush()
    return _put(folder, aside, Scales(tuple(units.tolist()), tuple(offsets.tolist())))


def _kept(folder: PartFolder, made: Columns) -> Columns:
    aside = _aside(folder.integers)
    with aside.open("wb") as file:
        np.save(file, made.integers)
    folder.scales.unlink()
    return _put(folder, aside, Scales(tuple(made.units.tolist()), tuple(made.offsets.tolist())))


def _put(folder: PartFolder, aside: Path, scales: Scales) -> Columns:
    aside.rename(folder.integers)
    write_whole(folder.scales, msgspec.json.encode(scales))
    return read_columns(folder)


def _read(table: Table, places: Places | None, columns: Sequence[int]) -> Floats:
    """[rows, columns] of those rows, in their order."""
    found = np.empty((table.rows, len(columns)))
    at_once = max(1, VALUES_AT_A_TIME // len(table.columns))
    for first in range(0, table.rows, at_once):
        count = min(at_once, table.rows - first)
        found[first : first + count] = table.read(first, count)[:, columns]
    return found if places is None else found[places]


def _aside(path: Path) -> Path:
    return path.with_suffix(f".{os.getpid()}.tmp")


def require_numbers(names: Sequence[str]) -> None:
    """Raises BadData: there is no column of numbers."""
    if not names:
        raise BadData("the dataset has no column of numbers beside its ids")
