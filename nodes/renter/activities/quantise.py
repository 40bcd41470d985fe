"""A model's rows as enclaves get them: integers of the renter's columns, and of the target that its label becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.joint.columns import Columns, Floats, scaled, zero_sum
from nodes.joint.encoding import Chosen
from nodes.joint.files import IntegerFiles, label_of
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from nodes.joint.outliers import Making, Moves, safe
from nodes.joint.precision import renter_bits
from nodes.renter.protocol.records import Joined, Target
from schemas.joint import Fitting


def quantised(chosen: Chosen, fitting: Fitting, files: IntegerFiles, folder: Path) -> Joined:
    """Make `folder` and in it the integers as a table.

    Raises:
        TooRevealing: rows would show in what is computed of the columns.
        BadData: a column or the label cannot be used.
    """
    table, last = chosen.table, len(chosen.table.columns) - 1
    label = label_of(table, chosen.places)
    target = MODELS[fitting.algorithm.name].target(label)
    bits = renter_bits(fitting.algorithm, fitting.key_bits, len(table.columns))
    moves = _moves(chosen, fitting, bits)

    def quantise(chunk: range, read: Floats) -> Columns:
        found = moves.applied(chosen.usable(chunk, read))
        if last in chunk:
            found = np.column_stack([found[:, :-1], target.values])
        return zero_sum(found, bits)

    made = files.make(table, chosen.places, quantise)
    written = write_table(folder, [Column(name) for name in table.columns], _blocks(made), id_column=None)
    noted = Target(intercept=target.intercept, mean=float(label.mean()), moved=moves.count)
    return Joined(data=written.digest, rows=written.rows, target=noted)


def _moves(chosen: Chosen, fitting: Fitting, bits: int) -> Moves:
    """Which rows of the renter's columns have to be moved."""
    columns = range(len(chosen.table.columns) - 1)

    def make(moves: Moves) -> Columns:
        parts = [scaled(moves.applied(chosen.column(at)[:, None]), bits) for at in columns]
        return Columns(
            np.column_stack([each.integers[:, :] for each in parts]),
            np.concatenate([each.units for each in parts]),
            np.concatenate([each.offsets for each in parts]),
        )

    return safe(
        Making(chosen.column, make), fitting.algorithm.penalty_per_row, Limits(), move=fitting.outliers == "move"
    )


def _blocks(made: Columns) -> Iterator[Block]:
    for _, block in made.blocks():
        yield Block(block.astype(np.float64))
