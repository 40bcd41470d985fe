"""Part files, their join, and which columns feed a program."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nodes.data.binding import bind, require_chain
from nodes.data.results import Parts, write_csv
from nodes.data.table import Header
from nodes.programs.build import aggregate_sum, linear, linear_from_csv
from nodes.programs.check import check
from nodes.programs.program import Program
from schemas.errors import BadData, BadProgram, JobFailed


def rows(first: int, count: int, width: int = 2) -> np.ndarray:
    return np.arange(first * width, (first + count) * width, dtype=np.float64).reshape(count, width)


def test_parts_written_in_any_order_are_read_in_the_order_of_the_rows(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    for first, count in [(7, 3), (0, 4), (4, 3)]:
        parts.write(first, rows(first, count))
    assert [first for first, _ in parts.read(10)] == [0, 4, 7]
    np.testing.assert_array_equal(np.concatenate([values for _, values in parts.read(10)]), rows(0, 10))


def test_a_part_written_again_replaces_itself(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 1)
    parts.write(0, np.array([[1.0]]))
    parts.write(0, np.array([[2.0]]))
    assert [values.tolist() for _, values in parts.read(1)] == [[[2.0]]]


def test_parts_are_for_their_owner_only(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    path = parts.write(0, rows(0, 1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_gaps_are_known_and_refused(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    assert parts.missing(10) == [(0, 10)]
    parts.write(2, rows(2, 3))
    parts.write(8, rows(8, 1))
    assert parts.missing(10) == [(0, 2), (5, 3), (9, 1)]
    with pytest.raises(JobFailed, match="row 1 of 10"):
        list(parts.read(10))


def test_overlapping_parts_are_refused(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    parts.write(0, rows(0, 5))
    parts.write(3, rows(3, 5))
    with pytest.raises(JobFailed, match="row 6 of 8"):
        list(parts.read(8))


def test_a_part_cut_short_is_refused(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    path = parts.write(0, rows(0, 5))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JobFailed, match="79 bytes instead of 80"):
        list(parts.read(5))


def test_a_part_of_another_width_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        Parts(tmp_path / "parts", 2).write(0, rows(0, 2, width=3))


def test_parts_are_discarded_with_their_folder(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", 2)
    parts.write(0, rows(0, 1))
    parts.discard()
    parts.discard()
    assert not parts.folder.exists()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_are_written_so_that_they_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("out") / "out.csv"
    ids = [f"r{i}" for i in range(len(values))]
    assert write_csv(path, ["id", "y"], [(ids, np.array(values).reshape(-1, 1))]) == len(values)
    lines = path.read_text().splitlines()
    assert lines[0] == "id,y"
    assert [float(line.split(",")[1]) for line in lines[1:]] == values


def test_ids_that_need_it_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id", "y"], [(["a,b", 'c"d'], np.array([[1.0], [2.5]]))])
    assert path.read_text() == 'id,y\n"a,b",1.0\n"c""d",2.5\n'


def test_an_output_that_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def chunks():  # type: ignore[no-untyped-def]
        yield ["1"], np.array([[1.0]])
        raise JobFailed("half way")

    with pytest.raises(JobFailed, match="half way"):
        write_csv(path, ["id", "y"], chunks())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot write"):
        write_csv(tmp_path / "none" / "out.csv", ["id"], [])


# Binding --------------------------------------------------------------------------------------------------------------


def header(*columns: str, text: tuple[str, ...] = ()) -> Header:
    return Header(Path("data.csv"), columns, tuple(c for c in columns if c not in text), 0)


def matrix(width: int) -> Program:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return check(made.SerializeToString())


def test_a_matrix_takes_all_columns_but_the_id() -> None:
    assert bind(matrix(2), header("id", "a", "b"), "id") == ("a", "b")


def test_a_matrix_takes_the_numeric_columns_when_there_are_others() -> None:
    assert bind(matrix(2), header("id", "a", "note", "b", text=("id", "note")), "id") == ("a", "b")


def test_a_matrix_keeps_a_column_whose_first_value_is_text_when_it_is_needed() -> None:
    assert bind(matrix(2), header("id", "a", "b", text=("a",)), "id") == ("a", "b")


def test_columns_that_the_model_names_are_taken_by_name() -> None:
    program = check(linear_from_csv("name,weight\nb,1\na,2\n"))
    assert bind(program, header("a", "note", "b", text=("note",))) == ("b", "a")


def test_a_named_input_takes_its_column() -> None:
    assert bind(check(aggregate_sum("b")), header("id", "a", "b"), "id") == ("b",)


def test_a_single_input_takes_the_single_column_whatever_its_name() -> None:
    assert bind(matrix(1), header("id", "a"), "id") == ("a",)


def test_a_missing_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadData, match="no column 'c'; its columns are: id, a, b"):
        bind(check(aggregate_sum("c")), header("id", "a", "b"), "id")


def test_a_missing_id_column_is_refused() -> None:
    with pytest.raises(BadData, match="no column 'key'"):
        bind(matrix(1), header("id", "a"), "key")


def test_a_matrix_of_another_width_is_refused_with_both_numbers() -> None:
    with pytest.raises(BadData, match=r"takes 5 columns, but the data has 2 with numbers \(no number in row 1 of: c\)"):
        bind(matrix(5), header("id", "a", "b", "c", text=("c",)), "id")


def test_a_matrix_that_is_one_column_short_suggests_the_id_column() -> None:
    with pytest.raises(BadData, match="--id-column"):
        bind(matrix(2), header("id", "a", "b"))


def test_a_local_program_must_take_what_the_program_gives() -> None:
    program = check(linear({"a": [1.0, 2.0]}, [0.0, 0.0], ["p", "q"]))
    require_chain(program, matrix(2))
    with pytest.raises(BadProgram, match="takes 3 columns, but the program gives 2"):
        require_chain(program, matrix(3))
