"""The table that lessors compute on, of the rows that both sides have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.data import table as module
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import Table
from nodes.renter.activities.join import chosen


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read a few rows at a time."""
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 4)


def table(folder: Path, rows: int) -> Table:
    values, ids = np.arange(2.0 * rows).reshape(rows, 2), [f"person {row}" for row in range(rows)]
    columns = [Column("id", "text"), Column("a"), Column("b")]
    return write_table(folder, columns, [Block(values, (ids,))], id_column="id")


def test_rows_in_common_keep_order_ids_and_values(tmp_path: Path) -> None:
    whole, places = table(tmp_path / "whole", 9), np.array([0, 3, 4, 8])
    found = chosen(whole, places, tmp_path / "some")
    assert found.columns == whole.columns
    assert found.ids(0, found.rows) == [f"person {row}" for row in places]
    assert found.read(0, found.rows).tolist() == whole.read(0, 9)[places].tolist()


def test_all_rows_in_common_are_the_same_table(tmp_path: Path) -> None:
    whole = table(tmp_path / "whole", 6)
    assert chosen(whole, np.arange(6), tmp_path / "all").read(0, 6).tolist() == whole.read(0, 6).tolist()
