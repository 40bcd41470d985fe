"""The partner's columns as the integers that a model is fitted with: made once per job, in its folder."""

from __future__ import annotations

from nodes.data.table import Table
from nodes.joint import guards
from nodes.joint.alignment import Places
from nodes.joint.columns import filled, scaled
from nodes.joint.errors import TooRevealing
from nodes.joint.files import IntegerFiles, values_of
from nodes.joint.guards import Limits
from schemas.joint import Algorithm, Outliers


def make_columns(
    files: IntegerFiles, table: Table, places: Places | None, algorithm: Algorithm, outliers: Outliers
) -> int:
    """Make the integers of the table's rows, or of those at `places` in their order; how many rows were moved.

    Raises:
        TooRevealing: what the columns would show, with counts, for this partner's eyes.
        BadData: a column cannot be used.
    """
    bits = algorithm.partner_bits
    made = files.make(table, places, lambda _, values: scaled(filled(values), bits))
    penalty = algorithm.penalty_per_row * made.rows
    try:
        guards.require_safe(made, penalty, Limits())
    except TooRevealing as error:
        if error.code != "high-leverage" or outliers != "move":
            raise
    else:
        return 0
    values = filled(values_of(table, places, range(made.width)))
    values, moved = guards.pulled(values, penalty, Limits())
    guards.require_safe(files.keep(scaled(values, bits)), penalty, Limits())
    return moved
