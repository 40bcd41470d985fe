"""A model's rows as enclaves get them: integers of the renter's columns, and of the target that its label becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import ROWS_AT_ONCE
from nodes.joint import guards
from nodes.joint.columns import Columns, Floats, scaled, zero_sum
from nodes.joint.encoding import Chosen
from nodes.joint.errors import TooRevealing
from nodes.joint.files import IntegerFiles, values_of
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from nodes.renter.protocol.records import Joined, Target
from schemas.joint import Fitting


def quantised(chosen: Chosen, fitting: Fitting, files: IntegerFiles, folder: Path) -> Joined:
    """Make `folder` and in it the integers as a table.

    Raises:
        TooRevealing: rows would show in what is computed of the columns.
        BadData: a column or the label cannot be used.
    """
    table, last = chosen.table, len(chosen.table.columns) - 1
    label = values_of(table, chosen.places, [last])[:, 0]
    target = MODELS[fitting.algorithm.name].target(label)
    values, moved = _safe(chosen, fitting)
    bits = fitting.algorithm.renter_bits

    def quantise(chunk: range, read: Floats) -> Columns:
        found = chosen.usable(chunk, read)
        if values is not None:
            found = np.column_stack([values, label])[:, chunk.start : chunk.stop]
        if last in chunk:
            found = np.column_stack([found[:, :-1], target.values])
        return zero_sum(found, bits)

    made = files.make(table, chosen.places, quantise)
    written = write_table(folder, [Column(name) for name in table.columns], _blocks(made), id_column=None)
    noted = Target(intercept=target.intercept, mean=float(label.mean()), moved=moved)
    return Joined(data=written.digest, rows=written.rows, target=noted)


def _safe(chosen: Chosen, fitting: Fitting) -> tuple[Floats | None, int]:
    """The renter's columns where rows of them had to be moved, and how many; None where they are as they came."""
    columns, bits = range(len(chosen.table.columns) - 1), fitting.algorithm.renter_bits
    parts = [scaled(chosen.values(range(each, each + 1)), bits) for each in columns]
    made = Columns(
        np.column_stack([each.integers for each in parts]),
        np.concatenate([each.units for each in parts]),
        np.concatenate([each.offsets for each in parts]),
    )
    penalty = fitting.algorithm.penalty_per_row * made.rows
    try:
        guards.require_safe(made, penalty, Limits())
    except TooRevealing as error:
        if error.code != "high-leverage" or fitting.outliers != "move":
            raise
    else:
        return None, 0
    values, moved = guards.pulled(chosen.values(columns), penalty, Limits())
    guards.require_safe(scaled(values, bits), penalty, Limits())
    return values, moved


def _blocks(made: Columns) -> Iterator[Block]:
    for first in range(0, made.rows, ROWS_AT_ONCE):
        yield Block(made.integers[first : first + ROWS_AT_ONCE].astype(np.float64))
