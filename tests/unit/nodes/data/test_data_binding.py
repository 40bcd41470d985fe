"""Which columns feed a program: by name where it names any, else by position, and always as the user chooses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from onnx import TensorProto, helper

from nodes.data.binding import Binding, bind, require_chain, require_width
from nodes.data.header import Header
from nodes.programs.build import aggregate_sum, linear, linear_from_csv
from nodes.programs.check import check
from nodes.programs.program import Program
from schemas.errors import BadData, BadProgram


def header(*columns: str, text: tuple[str, ...] = ()) -> Header:
    return Header("data.csv", columns, tuple(c for c in columns if c not in text))


def matrix(width: int) -> Program:
    return program({"x": width})


def program(inputs: dict[str, int], named: str = "") -> Program:
    """A program of these inputs, whose metadata names its columns."""
    graph = helper.make_graph(
        [helper.make_node("Neg", [name], [f"minus_{name}"]) for name in inputs],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in inputs.items()],
        [helper.make_tensor_value_info(f"minus_{name}", TensorProto.FLOAT, None) for name in inputs],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if named:
        made.metadata_props.add(key="columns", value=named)
    return check(made.SerializeToString())


def by_position(*columns: str) -> Binding:
    return Binding(columns, "position")


def by_name(*columns: str) -> Binding:
    return Binding(columns, "name")


def test_a_matrix_takes_all_columns_but_the_id() -> None:
    assert bind(matrix(2), header("id", "a", "b"), "id") == by_position("a", "b")


def test_a_matrix_takes_the_numeric_columns_when_there_are_others() -> None:
    assert bind(matrix(2), header("id", "a", "note", "b", text=("id", "note")), "id") == by_position("a", "b")


def test_a_matrix_keeps_a_column_whose_first_value_is_text_when_it_is_needed() -> None:
    assert bind(matrix(2), header("id", "a", "b", text=("a",)), "id") == by_position("a", "b")


def test_columns_that_the_model_names_are_taken_by_name() -> None:
    program = check(linear_from_csv("name,weight\nb,1\na,2\n"))
    assert bind(program, header("a", "note", "b", text=("note",))) == by_name("b", "a")


def test_a_named_input_takes_its_column() -> None:
    assert bind(check(aggregate_sum("b")), header("id", "a", "b"), "id") == by_name("b")


@pytest.mark.parametrize("inputs", [{"u": 3, "v": 3}, {"u": 1, "v": 5}, {"u": 2, "v": 2, "w": 2}])
def test_blocks_take_their_columns_by_position(inputs: dict[str, int]) -> None:
    columns = ("a", "b", "c", "d", "e", "f")
    assert bind(program(inputs), header(*columns)) == by_position(*columns)
    assert bind(program(inputs), header("id", *columns), "id") == by_position(*columns)


def test_a_single_input_takes_the_single_column_whatever_its_name() -> None:
    assert bind(matrix(1), header("id", "a"), "id") == by_position("a")


@pytest.mark.parametrize(
    ("made", "columns"),
    [
        (check(linear({"a": [2.0]}, [1.0])), ("a",)),
        (program({"X": 1}, named='["b"]'), ("b",)),
        (program({"b": 1}), ("b",)),
        (program({"b": 1, "a": 1}), ("b", "a")),
    ],
)
def test_a_program_of_few_columns_finds_them_by_name_among_others(made: Program, columns: tuple[str, ...]) -> None:
    assert bind(made, header("a", "b", "columns")) == by_name(*columns)


def test_inputs_of_several_columns_take_them_by_position() -> None:
    assert bind(program({"u": 2, "v": 1}), header("id", "a", "b", "c"), "id") == by_position("a", "b", "c")


def test_one_column_without_a_name_is_not_guessed_among_several() -> None:
    with pytest.raises(BadData, match=r"takes 1 column \(its input is 'X'\), but .* 2 with numbers: a, b; choose with"):
        bind(program({"X": 1}), header("a", "b"))


def test_a_sum_never_takes_another_column() -> None:
    with pytest.raises(BadData, match="no column 'z'; its columns are: a"):
        bind(check(aggregate_sum("z")), header("a"))


def test_chosen_columns_are_taken_in_the_order_chosen_whatever_the_program_names() -> None:
    for made in (matrix(2), program({"X": 2}, named="x,y"), program({"x": 1, "y": 1})):
        assert bind(made, header("id", "b", "a", "target"), "id", ["a", "b"]) == Binding(("a", "b"), "choice")


def test_chosen_columns_must_exist_and_be_as_many_as_the_program_takes() -> None:
    with pytest.raises(BadData, match="--columns names 3 columns, but the program takes 2"):
        bind(matrix(2), header("a", "b", "c"), chosen=["a", "b", "c"])
    with pytest.raises(BadData, match="no column 'z'"):
        bind(matrix(2), header("a", "b"), chosen=["a", "z"])


def test_one_number_too_many_asks_for_a_choice_and_names_what_there_is() -> None:
    with pytest.raises(BadData, match="takes 2 columns, but the data has 3 with numbers: a, b, target; choose"):
        bind(matrix(2), header("id", "a", "b", "target"), "id")


@pytest.mark.parametrize(("width_in", "width_out", "word"), [(4097, 1, "takes"), (1, 4097, "gives")])
def test_a_program_wider_than_what_travels_is_refused_before_any_work(width_in: int, width_out: int, word: str) -> None:
    require_width(check(linear({"a": [1.0]}, [0.0])))
    wide = replace(matrix(width_in), width_out=width_out)
    with pytest.raises(BadProgram, match=f"{word} 4,097 columns; at most 4,096"):
        require_width(wide)


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
