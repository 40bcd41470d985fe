"""CSV files as tables: what is read, by which row ranges, and the message for each way a file can be wrong."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nodes.data import csv_source, table
from nodes.data.making import make_table
from nodes.data.manifest import ENDS, MANIFEST, TEXTS, VALUES
from nodes.data.reading import Missing, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table, open_table
from nodes.programs.check import check
from schemas.errors import BadData, BadInput
from tests.support.tables import table_of

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(content: str | bytes) -> Path:
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return run


def opened(path: Path, *columns: str, id_column: str | None = None) -> Table:
    return table_of(path, *columns, reading=Reading(id_column))


def test_a_table_reads_the_asked_columns_in_the_asked_order(write: Write) -> None:
    data = opened(write("a,b,c\n1,2,3\n4,5,6\n"), "c", "a")
    assert data.rows == 2
    assert data.read(0, 2).tolist() == [[3.0, 1.0], [6.0, 4.0]]
    assert data.bounds.tolist() == [6.0, 4.0]
    assert data.whole.tolist() == [True, True]


@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1] * 5), (4, [2, 2, 1]), (99, [5])])
def test_all_rows_are_read_in_pieces_of_so_many_numbers(
    write: Write, monkeypatch: pytest.MonkeyPatch, at_once: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(table, "NUMBERS_AT_ONCE", at_once)
    data = opened(write("a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n"), "a", "b")
    pieces = list(data.numbers())
    assert [len(values) for _, values in pieces] == sizes
    assert [first for first, _ in pieces] == [sum(sizes[:at]) for at in range(len(sizes))]
    assert np.vstack([values for _, values in pieces]).tolist() == data.read(0, 5).tolist()


def test_a_table_knows_which_columns_are_whole_numbers(write: Write) -> None:
    content = "a,b,c,d\n1,2,True,4\n-1e3,0.5,3.0,\n"
    assert table_of(write(content), reading=Reading(missing="nan")).whole.tolist() == [True, False, True, False]


def test_text_columns_that_no_program_needs_are_left_alone(write: Write) -> None:
    data = opened(write("name,x,note\nann,1,é\nbob,-2.5,\n"), "x", id_column="name")
    assert data.read(0, 2).tolist() == [[1.0], [-2.5]]
    assert data.ids(0, 2) == ["ann", "bob"]


def test_without_an_id_column_rows_are_numbered_from_one(write: Write) -> None:
    assert opened(write("x\n5\n6\n7\n")).ids(1, 2) == ["2", "3"]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4\n",
        "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n3,4\r\n",
        "\ufeffa,b\n1,2\n3,4\n",
        'a,b\n"1",2\n3,"4"\n',
        '"a","b"\n1,2\n3,4\n',
        "a,b\n 1 ,2\n3, 4\n\n\n",
        "\n\r\na,b\n1,2\n3,4\n",
        "a,b,\n1,2,\n3,4,\n",
        "a,b\n1,2,\n3,4,\n",
        "a;b\n1;2\n3;4\n",
        "a\tb\r\n1\t2\r\n3\t4\r\n",
        "a|b\n1|2\n3|4\n",
        "sep=;\na;b\n1;2\n3;4\n",
        '"a";"b"\n"1";2\n3;"4"\n',
        'note,a,b\n"x;y;z;",1,2\n"p, q",3,4\n',
        ",a,b\n0,1,2\n1,3,4\n",
        "a,b\n1e0,+2\n3.0,.4e1\n",
    ],
)
def test_the_ways_of_writing_the_same_table_are_read_alike(write: Write, content: str) -> None:
    data = opened(write(content), "a", "b")
    assert data.rows == 2
    assert data.read(0, 2).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert data.read(1, 1).tolist() == [[3.0, 4.0]]


def test_quoted_fields_may_hold_commas_newlines_and_quotation_marks(write: Write) -> None:
    data = opened(write('id,x\n"a, b",1\n"line\nbreak",2\n"say ""hi""",3\n'), "x", id_column="id")
    assert data.ids(0, 3) == ["a, b", "line\nbreak", 'say "hi"']
    assert data.read(1, 2).tolist() == [[2.0], [3.0]]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6), st.floats(-1e300, 1e300)
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 64),
    st.data(),
)
def test_any_row_range_gives_what_the_csv_module_reads(
    tmp_path: Path, rows: list[tuple[str, float]], characters: int, data: st.DataObject
) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "x"), *((name, repr(x)) for name, x in rows)])
    path = tmp_path / "any.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "PIECE_CHARACTERS", characters)
        found = opened(path, "x", id_column="id")
        first = data.draw(st.integers(0, len(rows)))
        count = data.draw(st.integers(0, len(rows) - first))
        assert found.rows == len(rows)
        assert found.read(first, count)[:, 0].tolist() == [x for _, x in rows[first : first + count]]
        assert found.ids(first, count) == [name for name, _ in rows[first : first + count]]
        assert found.bounds[0] == max(abs(x) for _, x in rows)


def test_a_table_longer_than_a_block_is_read_from_the_middle(write: Write) -> None:
    rows = 40_000
    body = "".join(f"row{i},{i / 7!r},{-i}\n" for i in range(rows))
    data = opened(write("id,x,y\n" + body), "y", "x", id_column="id")
    assert data.rows == rows
    for first, count in [(0, 1), (1023, 2), (1024, 1024), (20_000, 5_000), (rows - 1, 1), (rows, 0)]:
        expected = [[-float(i), i / 7] for i in range(first, first + count)]
        assert data.read(first, count).tolist() == expected
        assert data.ids(first, count) == [f"row{i}" for i in range(first, first + count)]
    assert data.bounds.tolist() == [rows - 1, (rows - 1) / 7]


def test_rows_that_do_not_exist_are_an_error(write: Write) -> None:
    data = opened(write("x\n1\n"))
    for first, count in [(0, 2), (-1, 1), (2, 0)]:
        with pytest.raises(IndexError):
            data.read(first, count)


@pytest.mark.parametrize("name", [VALUES, TEXTS.format(0), ENDS.format(0)])
@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda raw: b""])
def test_files_that_changed_since_they_were_opened_are_refused(
    write: Write, name: str, change: Callable[[bytes], bytes]
) -> None:
    data = opened(write("id,x\na,1\nb,2\n"), "x", id_column="id")
    file = data.folder / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BadData, match=f"the job's {name} has changed since the job began: .* submit it again"):
        (data.read if name == VALUES else data.ids)(0, 2)
    with pytest.raises(BadData, match=f"{name} has changed"):
        open_table(data.folder, data.digest)


def test_a_table_is_opened_only_by_its_own_digest(write: Write) -> None:
    data = opened(write("id,x\na,1\nb,2\n"), "x", id_column="id")
    again = open_table(data.folder, data.digest)
    assert (again.read(0, 2).tolist(), again.ids(0, 2)) == ([[1.0], [2.0]], ["a", "b"])
    with pytest.raises(BadData, match=r"table.json has changed"):
        open_table(data.folder, "0" * 64)
    (data.folder / MANIFEST).write_text("{}")
    with pytest.raises(BadData, match=r"table.json is damaged"):
        open_table(data.folder, data.digest)


def test_the_same_file_gives_the_same_table(write: Write) -> None:
    path = write("id,x\na,1\nb,2\n")
    assert opened(path, "x", id_column="id").digest == opened(path, "x", id_column="id").digest
    assert opened(path, "x", id_column="id").digest != opened(path, "x").digest


def test_ids_are_exactly_the_texts_of_the_file(write: Write) -> None:
    data = opened(write('id,x\n007,1\n 1.50 ,2\nNA,3\n,4\n"a ""b""\r\n",5\né,6\n'), "x", id_column="id")
    assert data.ids(0, 6) == ["007", " 1.50 ", "NA", "", 'a "b"\r\n', "é"]
    assert [data.ids(row, 1)[0] for row in range(6)] == data.ids(0, 6)
    assert data.ids(3, 0) == []


# Missing values -------------------------------------------------------------------------------------------------------


def test_missing_values_are_given_on_as_nan_when_the_user_says_so(write: Write) -> None:
    data = table_of(write("a,b\n3,0\n,0\nNA,nan\n"), reading=Reading(missing="nan"))
    np.testing.assert_array_equal(data.read(0, 3), [[3.0, 0.0], [math.nan, 0.0], [math.nan, math.nan]])
    assert data.bounds.tolist() == [3.0, 0.0]
    assert data.gaps == "values are missing in 2 of 3 rows (by column: a 2, b 1)"


def test_missing_values_are_refused_with_all_there_are(write: Write) -> None:
    with pytest.raises(
        BadData, match="row 2, column 'a': the value is missing; values are missing in 2 of 3 rows"
    ) as no:
        opened(write("a,b\n3,0\n,0\nNA,nan\n"))
    assert "(by column: a 2, b 1); fill them in, or give --missing nan" in str(no.value)


# Types ----------------------------------------------------------------------------------------------------------------


def typed(folder: Path, kind: int, *fields: str, missing: Missing = "refuse") -> list[float]:
    """What a program of one column of this type is given."""
    info = [helper.make_tensor_value_info(name, kind, ["N", 1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", info[:1], info[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "data.csv").write_text("x\n" + "".join(f"{field}\n" for field in fields))
    table = make_table(folder / "table", folder / "data.csv", check(made.SerializeToString()), Reading(missing=missing))
    return [float(value) for value in table.read(0, table.rows)[:, 0]]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (TensorProto.INT64, ("9007199254740991", "-9007199254740991", "1e3")),
        (TensorProto.INT32, ("2147483647", "-2147483648")),
        (TensorProto.BOOL, ("0", "True", "false", "1")),
        (TensorProto.FLOAT, ("0.1", "3.4e38", "123456789.123")),
        (TensorProto.DOUBLE, ("9007199254740993", "1e308")),
    ],
)
def test_numbers_that_fit_the_programs_type_stay_as_they_are(tmp_path: Path, kind: int, fields: tuple[str]) -> None:
    truths = {"True": 1.0, "false": 0.0}
    assert typed(tmp_path, kind, *fields) == [truths.get(field) or float(truths.get(field, field)) for field in fields]


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        (
            TensorProto.INT64,
            "9007199254740993",
            "int64, whole numbers from -9007199254740991 to 9007199254740991",
        ),
        (TensorProto.INT64, "-1e30", "-1e\\+30 does not fit; the program takes int64"),
        (TensorProto.INT64, "1.5", "1.5 does not fit; the program takes int64"),
        (TensorProto.INT64, "NA", "nan does not fit; the program takes int64"),
        (TensorProto.INT32, "2147483648", "takes int32, whole numbers from -2147483648 to 2147483647"),
        (TensorProto.BOOL, "2", "2.0 does not fit; the program takes bool, whole numbers from 0 to 1"),
        (TensorProto.FLOAT, "1e39", "1e\\+39 does not fit; the program takes float32, numbers from -3.4"),
        (TensorProto.FLOAT, "-3.5e38", "does not fit; the program takes float32"),
    ],
)
def test_a_number_that_does_not_fit_the_programs_type_is_refused_with_its_row(
    tmp_path: Path, kind: int, field: str, words: str
) -> None:
    with pytest.raises(BadData, match=f"row 3, column 'x': .*{words}") as refused:
        typed(tmp_path, kind, "1", "0", field, missing="nan")
    assert (refused.value.row, refused.value.column) == (3, "x")


def test_a_missing_whole_number_is_refused_as_missing_unless_the_program_is_given_it(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"row 1, column 'x': the value is missing; values are missing in 2 of 3 rows"):
        typed(tmp_path, TensorProto.INT64, "NA", "0", "nan")


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("\ufeff", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b", "no rows"),
        ("a,b\n\n\n", "no rows"),
        (",,\n1,2,3\n", "has no names in its first line"),
        ("1.5,2\n3,4\n", "no header"),
        ("a\0,b\n1,2\n", "is not text; or if it is UTF-16, give --encoding utf-16-le"),
        (b"a,\xff\n1,2\n", "the header is not UTF-8 text; give its encoding"),
        ('a,"b\n1,2\n', "header of data.csv cannot be read as CSV: unexpected end of data"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(write: Write, content: str | bytes, words: str) -> None:
    with pytest.raises(BadData, match=words):
        open_source(write(content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="No such file"):
        open_source(tmp_path / "none.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot read"):
        open_source(tmp_path)


def test_a_missing_column_is_refused_with_those_there_are(write: Write) -> None:
    source = open_source(write("a,b,,b\n1,2,3,4\n"))
    with pytest.raises(BadData, match="two columns named 'b'; rename one"):
        list(source.blocks(["a", "b"]))
    with pytest.raises(BadData, match="no column 'z'; its columns are: a, b, b") as caught:
        list(source.blocks(["a", "z"]))
    assert caught.value.column == "z"


@pytest.mark.parametrize(
    ("content", "row", "column", "words"),
    [
        ("a,b\n1,2\n3,nan\n", 2, "b", "the value is missing"),
        ("a,b\n1,2\n3,-Infinity\n", 2, "b", "the value is -inf"),
        ("a,b\n1,2\n3,1e999\n", 2, "b", "the value is inf"),
        ("a,b\n1,2\n3,4\nx,y\n", 3, "a", "'x' is not a number"),
        ("a,b\n1,2\n3,1_000\n", 2, "b", "'1_000' is not a number"),
        ("a,b\n1,2\n3,٣\n", 2, "b", "is not a number"),
        ("a,b\n1,2\n3,0x10\n", 2, "b", "'0x10' is not a number"),
        ("a,b\n1,2\n,4\n", 2, "a", "missing"),
        ("a,b\n1,2\n3,\n", 2, "b", "missing"),
        ('a,b\n1,2\n3,"  "\n', 2, "b", "missing"),
        ("a,b\n1,2\n3\n", 2, None, "has 1 fields, but the header names 2"),
        ("a,b\n1,2\n3,4,5\n6\n", 2, None, "has 3 fields"),
        ("a,b\n1,2\n\n3,4\n", 2, None, "row 2 is empty"),
        (b"a,b\n1,2\n3,\xff\n", 2, None, "row 2 is not UTF-8"),
        ('a,b\n1,2\n3,"4"5\n', 2, None, "cannot be read as CSV"),
    ],
)
def test_a_bad_value_is_refused_naming_its_row_and_column(
    write: Write, content: str | bytes, row: int, column: str | None, words: str
) -> None:
    with pytest.raises(BadData, match=words) as caught:
        opened(write(content))
    assert (caught.value.row, caught.value.column) == (row, column)


def test_a_bad_value_far_into_the_file_has_its_own_row_number(write: Write) -> None:
    rows = [f"{i},{i}.5" for i in range(100_000)]
    rows[77_776] = "77776,oops"
    with pytest.raises(BadData, match="row 77777, column 'x'"):
        opened(write("id,x\n" + "\n".join(rows)), "x", id_column="id")


def test_a_ragged_row_that_another_makes_up_for_is_found(write: Write) -> None:
    with pytest.raises(BadData, match="row 1 has 3 fields"):
        opened(write("a,b\n1,2,3\n4\n5,6\n"))


def test_a_stray_quotation_mark_does_not_join_rows(write: Write) -> None:
    with pytest.raises(BadData):
        opened(write('a,b\n1,2\n5" pipe,3\n4,5\n6,7" pipe\n'), "a")


def test_an_endless_row_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a,b\n1,2\n" + "3" * 5_000)
    monkeypatch.setattr(csv_source, "PIECE_CHARACTERS", 64)
    monkeypatch.setattr(csv_source, "RECORD_CHARACTERS_MAX", 1_000)
    with pytest.raises(BadData, match="row 2 is longer than 1,000 characters"):
        opened(path)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.csv"
    path.write_bytes(content)
    try:
        data = opened(path)
    except BadInput:
        return
    assert data.read(0, data.rows).shape == (data.rows, len(data.columns))
    assert np.isfinite(data.read(0, data.rows)).all()
