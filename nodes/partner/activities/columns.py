"""The partner's columns as the integers that a model is fitted with: made once per job, in its folder."""

from __future__ import annotations

from nodes.joint import guards
from nodes.joint.columns import scaled
from nodes.joint.encoding import Chosen
from nodes.joint.errors import TooRevealing
from nodes.joint.files import IntegerFiles
from nodes.joint.guards import Limits
from schemas.joint import Algorithm, Outliers


def make_columns(files: IntegerFiles, chosen: Chosen, algorithm: Algorithm, outliers: Outliers) -> int:
    """Make the integers of the chosen rows; how many of them were moved.

    Raises:
        TooRevealing: what the columns would show, with counts, for this partner's eyes.
        BadData: a column cannot be used.
    """
    bits = algorithm.partner_bits
    made = files.make(chosen.table, chosen.places, lambda columns, read: scaled(chosen.usable(columns, read), bits))
    penalty = algorithm.penalty_per_row * made.rows
    try:
        guards.require_safe(made, penalty, Limits())
    except TooRevealing as error:
        if error.code != "high-leverage" or outliers != "move":
            raise
    else:
        return 0
    values, moved = guards.pulled(chosen.values(range(made.width)), penalty, Limits())
    guards.require_safe(files.keep(scaled(values, bits)), penalty, Limits())
    return moved
