"""The partner's columns as the integers that a model is fitted with: made once per job, in its folder."""

from __future__ import annotations

from nodes.joint.columns import Columns, Floats, scaled
from nodes.joint.encoding import Chosen
from nodes.joint.files import IntegerFiles
from nodes.joint.guards import Limits
from nodes.joint.outliers import Making, Moves, safe
from nodes.joint.precision import partner_bits
from schemas.joint import Algorithm, Outliers


def make_columns(files: IntegerFiles, chosen: Chosen, algorithm: Algorithm, outliers: Outliers) -> int:
    """Make the integers of the chosen rows; how many of them were moved.

    Raises:
        TooRevealing: what the columns would show, with counts, for this partner's eyes.
        BadData: a column cannot be used.
    """
    rows = chosen.table.rows if chosen.places is None else len(chosen.places)
    bits = partner_bits(algorithm, rows)

    def make(moves: Moves) -> Columns:
        def quantise(columns: range, read: Floats) -> Columns:
            return scaled(moves.applied(chosen.usable(columns, read)), bits)

        return files.make(chosen.table, chosen.places, quantise)

    return safe(Making(chosen.column, make), algorithm.penalty_per_row, Limits(), move=outliers == "move").count
