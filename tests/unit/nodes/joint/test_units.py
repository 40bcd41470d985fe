"""How the pass is cut."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.joint.units import BLOCK_ROWS, CHUNK_COLUMNS, units


@pytest.mark.parametrize(
    ("rows", "columns", "count"),
    [(1, 1, 1), (569, 20, 2), (32_768, 64, 2), (32_769, 129, 6), (100_000, 300, 20)],
)
def test_units_hold_every_entry_once_and_are_about_equally_large(rows: int, columns: int, count: int) -> None:
    found, seen = units(rows, columns), np.zeros((rows, columns), dtype=np.int8)
    assert [each.number for each in found] == list(range(count))
    for each in found:
        seen[each.first_row : each.first_row + each.rows, each.first_column : each.first_column + each.columns] += 1
    assert (seen == 1).all()
    assert max(each.rows for each in found) <= min(BLOCK_ROWS, min(each.rows for each in found) + 1)
    assert max(each.columns for each in found) <= min(CHUNK_COLUMNS, min(each.columns for each in found) + 1)


def test_a_chunk_of_columns_has_its_blocks_one_after_the_other() -> None:
    firsts = [(each.first_column, each.first_row) for each in units(70_000, 130)]
    assert firsts == sorted(firsts)
