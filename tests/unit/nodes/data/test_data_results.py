"""What a job gave is written in the form that the file's name asks for, and reads back the same."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.data import table as tables
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.results import sink_for, write_csv
from nodes.data.table import Table
from schemas.errors import BadConfig

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
Y, Z = Column("y"), Column("z")


def made(folder: Path, ids: Sequence[str], values: Any, *columns: Column, each: int = 100) -> Table:
    """The result of a job: ids, and columns of numbers."""
    rows = np.array(values, dtype=np.float64)
    parts = range(0, len(ids), each)
    blocks = (Block(rows[first : first + each], (list(ids[first : first + each]),)) for first in parts)
    number = len(list(folder.iterdir()))
    return write_table(folder / str(number), [Column("id", "text"), *columns], blocks, id_column="id")


def written(table: Table, name: str = "out.csv") -> bytes:
    file = io.BytesIO()
    sink_for(Path(name))(file, table)
    return file.getvalue()


@given(
    st.lists(st.tuples(st.text(alphabet='ab ,"\r\né', max_size=3), FLOATS, FLOATS), min_size=1, max_size=20),
    st.integers(1, 20),
)
def test_ids_and_floats_are_written_so_that_they_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float, float]], each: int
) -> None:
    ids, values = [row[0] for row in rows], [row[1:] for row in rows]
    table = made(tmp_path_factory.mktemp("out"), ids, values, Y, Z, each=each)
    header, *lines = csv.reader(io.StringIO(written(table).decode(), newline=""))
    assert header == ["id", "y", "z"]
    assert [(line[0], float(line[1]), float(line[2])) for line in lines] == rows
    for name in ("out.parquet", "out.arrow"):
        found = opened(written(table, name), name)
        assert list(zip(*(found.column(column).to_pylist() for column in header), strict=True)) == rows


def opened(raw: bytes, name: str) -> pa.Table:
    read = pyarrow.parquet.read_table if name.endswith("parquet") else pyarrow.feather.read_table
    return read(pa.BufferReader(raw))


def test_a_missing_value_is_written_as_python_writes_it(tmp_path: Path) -> None:
    assert written(made(tmp_path, ["a", "b"], [[1.0], [np.nan]], Y)).decode() == "id,y\na,1.0\nb,nan\n"


@pytest.mark.parametrize("columns", [np.array([[1.0, 2.0], [3.0, 4.0]]).T, np.zeros((2, 0))])
def test_any_matrix_is_written_row_by_row(tmp_path: Path, columns: NDArray[np.float64]) -> None:
    table = made(tmp_path, ["a", "b"], columns, *(Column(f"c{i}") for i in range(columns.shape[1])))
    expected = [",".join([name, *map(repr, row)]) for name, row in zip("ab", columns.tolist(), strict=True)]
    assert written(table).decode().splitlines()[1:] == expected


def test_columns_keep_their_order_and_kind(tmp_path: Path) -> None:
    columns = [Column("p"), Column("label", "text"), Column("class", "int64"), Column("row", "text")]
    block = Block(np.array([[0.5, 3.0], [1.0, -2.0]]), (["cat", "dog, big"], ["1", "2"]))
    table = write_table(tmp_path / "table", columns, [block], id_column="row")
    assert table.ids(0, 2) == ["1", "2"]
    assert written(table).decode() == 'p,label,class,row\n0.5,cat,3,1\n1.0,"dog, big",-2,2\n'
    found = opened(written(table, "out.parquet"), "out.parquet")
    assert [str(each) for each in found.schema.types] == ["double", "string", "int64", "string"]
    assert found.column("class").to_pylist() == [3, -2]


def test_ids_and_names_that_need_it_are_quoted(tmp_path: Path) -> None:
    table = made(tmp_path, ["a,b", 'c"d'], [[1.0], [2.5]], Column("y, z"))
    assert written(table).decode() == 'id,"y, z"\n"a,b",1.0\n"c""d",2.5\n'


def test_a_sum_has_no_ids(tmp_path: Path) -> None:
    table = write_table(tmp_path / "sum", [Column("s")], [Block(np.array([[2.5]]))], id_column=None)
    assert written(table) == b"s\n2.5\n"
    assert opened(written(table, "sum.arrow"), "sum.arrow").to_pydict() == {"s": [2.5]}


def test_many_rows_are_written_in_few_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 700)
    rows = list(range(5_000))
    table = made(tmp_path, [f"r{i}" for i in rows], np.array([rows]).T, Y)
    for name in ("out.csv", "out.parquet", "out.feather"):
        raw = written(table, name)
        found = opened(raw, name).column("y").to_pylist() if name != "out.csv" else raw.decode().splitlines()[1:]
        assert found == (rows if name != "out.csv" else [f"r{i},{i}.0" for i in rows])


@pytest.mark.parametrize("name", ["out.csv", "out", "OUT.CSV", "/dev/stdout", None])
def test_csv_is_what_a_name_without_another_ending_gets(name: str | None) -> None:
    assert sink_for(name and Path(name)) is write_csv  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["out.xlsx", "out.parquet.gz", "out.csv.gz", "out.txt", "out.json"])
def test_a_form_that_is_not_written_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(f"--out {name}: results are written as .csv, .parquet, ")) as refused:
        sink_for(Path(name))
    assert refused.value.field == "out"


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.feather"])
def test_without_pyarrow_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("nodes.data.extra.importlib.import_module", fail)
    with pytest.raises(BadConfig, match=r"to write \.\w+, install the extra `tables`: pip install 'sublet\[tables\]'"):
        sink_for(Path(name))
