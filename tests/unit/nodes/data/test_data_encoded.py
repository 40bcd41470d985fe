"""Columns of text become numbers when a job's table is made, and what cannot is said with row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from onnx import ModelProto
from pyarrow import parquet

from nodes.data.making import make_table
from nodes.data.reading import Reading
from nodes.data.table import Table
from nodes.programs import encoder
from schemas.errors import BadData, BadProgram
from tests.unit.nodes.programs.exported import ml
from tests.unit.nodes.programs.models import data, model, node
from tests.unit.nodes.programs.test_programs_encoder import texts


def people(zeros: int = 0) -> ModelProto:
    nodes = [
        ml("OneHotEncoder", ["sex"], ["o"], cats_strings=["F", "M"], zeros=zeros),
        node("Reshape", ["o", "k"], ["f"]),
        node("Concat", ["age", "f"], ["y"], axis=1),
    ]
    shape = {"k": np.array([-1, 2], np.int64)}
    return texts(model(nodes, {"sex": 1, "age": 1}, constants=shape), "sex")


def made(folder: Path, rows: str, program: ModelProto | None = None, **reading: str) -> Table:
    (folder / "people.csv").write_text(rows)
    checked, front = encoder.read(data(program or people()))
    return make_table(folder / "table", folder / "people.csv", checked, Reading("id", **reading), front)  # type: ignore[arg-type]


def test_text_is_encoded_and_is_not_in_the_table(tmp_path: Path) -> None:
    table = made(tmp_path, "age,id,note,sex\n30,p1,x,M\n41.5,p2,y,F\n")
    assert (table.columns, table.known.taken, table.known.by) == (("age", "o_0", "o_1"), ("sex", "age"), "name")
    assert table.read(0, 2).tolist() == [[30, 0, 1], [41.5, 1, 0]]
    assert table.ids(0, 2) == ["p1", "p2"]
    assert table.known.texts == ("id",)


def test_the_same_from_a_file_of_typed_columns(tmp_path: Path) -> None:
    sexes = pa.array(["M", "F", "F"]).dictionary_encode()
    parquet.write_table(pa.table({"sex": sexes, "age": [1, 2, 3]}), tmp_path / "people.parquet")
    checked, front = encoder.read(data(people()))
    table = make_table(tmp_path / "table", tmp_path / "people.parquet", checked, Reading(), front)
    assert table.read(0, 3).tolist() == [[1, 0, 1], [2, 1, 0], [3, 1, 0]]


@pytest.mark.parametrize("bad", [1, 2, 37, 200])
def test_an_unknown_text_is_named_with_its_row(tmp_path: Path, bad: int) -> None:
    rows = "".join(f"p{row},{row},{'X' if row >= bad else 'FM'[row % 2]}\n" for row in range(1, 201))
    with pytest.raises(BadData, match=rf"row {bad}: the program knows no number for its text \(sex 'X'\)") as refused:
        made(tmp_path, "id,age,sex\n" + rows)
    assert refused.value.row == bad


def test_a_missing_text_is_refused_unless_the_program_is_given_it(tmp_path: Path) -> None:
    rows = "id,age,sex\np1,1,M\np2,2,\n"
    with pytest.raises(
        BadData, match="row 2, column 'sex': the text is missing; fill it in, or give --missing nan"
    ) as refused:
        made(tmp_path, rows, people(zeros=1))
    assert (refused.value.row, refused.value.column) == (2, "sex")
    (tmp_path / "again").mkdir()
    assert made(tmp_path / "again", rows, people(zeros=1), missing="nan").read(1, 1).tolist() == [[2, 0, 0]]


def test_columns_may_be_chosen(tmp_path: Path) -> None:
    rows = "id,years,who\np1,7,F\n"
    (tmp_path / "people.csv").write_text(rows)
    checked, front = encoder.read(data(people()))
    reading = Reading("id", columns=("who", "years"))
    table = make_table(tmp_path / "table", tmp_path / "people.csv", checked, reading, front)
    assert (table.columns, table.read(0, 1).tolist()) == (("years", "o_0", "o_1"), [[7, 1, 0]])


def test_what_mixes_rows_of_text_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["sex", "k"], ["first"], axis=0),
        node("Equal", ["sex", "first"], ["e"]),
        node("Cast", ["e"], ["y"], to=1),
    ]
    mixing = texts(model(nodes, {"sex": 1}, constants={"k": np.array([0], np.int64)}, opset=19), "sex")
    with pytest.raises(BadProgram, match="depends on other rows"):
        made(tmp_path, "id,sex\n1,F\n2,M\n3,M\n", mixing)
