"""Integers in files are those of the table's rows, made in parts and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import Table
from nodes.joint import files
from nodes.joint.columns import scaled
from nodes.joint.files import IntegerFile, IntegerFiles
from schemas.errors import BadData

VALUES = np.random.default_rng(1).normal(size=(50, 7)) * 10


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return write_table(tmp_path / "table", [Column(f"c{at}") for at in range(7)], [Block(VALUES)], id_column=None)


@pytest.mark.parametrize("at_a_time", [1, 120, 1 << 22], ids=["one column", "two columns", "all columns"])
@pytest.mark.parametrize("places", [None, np.array([4, 3, 40])], ids=["all rows", "some rows"])
def test_columns_are_the_same_however_many_are_made_at_a_time(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, at_a_time: int, places: np.ndarray | None
) -> None:
    monkeypatch.setattr(files, "VALUES_AT_A_TIME", at_a_time)
    there = IntegerFiles(tmp_path)
    made = there.make(table, places, lambda _, values: scaled(values, 12))
    expected = scaled(VALUES if places is None else VALUES[places], 12)
    for found in (made, there.read()):
        assert found.integers[:, :].tolist() == expected.integers[:, :].tolist()
        assert found.units.tolist() == expected.units.tolist()
        assert found.offsets.tolist() == expected.offsets.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["integers.npy", "scales.json", "table"]


def test_files_that_are_gone_are_a_fault_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="gone or damaged"):
        IntegerFiles(tmp_path).read()


def test_of_a_file_is_read_what_an_array_would_give(tmp_path: Path, table: Table) -> None:
    made = IntegerFiles(tmp_path).make(table, None, lambda _, values: scaled(values, 12)).integers
    assert isinstance(made, IntegerFile)
    whole = scaled(VALUES, 12).integers[:, :]
    assert made.shape == whole.shape
    every = slice(None)
    asked: list[Any] = [(slice(3, 9), every), (slice(40, 99), slice(2, 5)), (every, 6), (np.array([7, 2]), every)]
    for at in asked:
        assert made[at].tolist() == whole[at].tolist()


@pytest.mark.parametrize("harm", ["shorter", "gone"])
def test_a_file_that_is_cut_short_while_it_is_read_is_a_fault_of_the_data(
    tmp_path: Path, table: Table, harm: str
) -> None:
    there = IntegerFiles(tmp_path)
    made = there.make(table, None, lambda _, values: scaled(values, 12))
    if harm == "gone":
        there.remove()
    else:
        with there.integers.open("r+b") as file:
            file.truncate(there.integers.stat().st_size - 1)
    with pytest.raises(BadData, match="gone or damaged"):
        made.column(6)
    with pytest.raises(BadData, match="gone or damaged"):
        there.read()
