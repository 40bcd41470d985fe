"""Whether what was taken is all there is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nodes.partner.protocol.records import Taken


def covers(taken: Sequence[Taken], rows: int) -> bool:
    """Whether the batches hold every row from 0 to `rows` exactly once."""
    end = 0
    for each in sorted(taken, key=lambda each: each.first_row):
        if each.first_row != end:
            return False
        end += each.rows
    return end == rows
