"""Inputs of programs are found by their names, wherever their columns stand."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.inputs import LOCAL, PARAMETERS, columns_of, require_inputs, widened, width_of, without
from nodes.programs.check import check
from nodes.programs.program import Program
from schemas.errors import BadProgram
from tests.unit.nodes.programs.models import data, model, node


@pytest.fixture(scope="module")
def program() -> Program:
    joined = node("Concat", ["a", PARAMETERS, "b"], ["y"], axis=1)
    return check(data(model([joined], {"a": 1, PARAMETERS: 2, "b": 3})))


def test_an_input_has_its_columns_where_it_stands_and_one_that_is_missing_has_none(program: Program) -> None:
    assert [columns_of(program, name) for name in program.input_names] == [slice(0, 1), slice(1, 3), slice(3, 6)]
    assert [width_of(program, name) for name in ("a", PARAMETERS, "b", LOCAL)] == [1, 2, 3, 0]


def test_the_same_numbers_are_put_into_every_row_where_their_columns_are(program: Program) -> None:
    rows = np.arange(8.0).reshape(2, 4)
    assert widened(program, rows, [8.0, 9.0]).tolist() == [[0, 8, 9, 1, 2, 3], [4, 8, 9, 5, 6, 7]]


def test_a_program_is_seen_without_what_others_give(program: Program) -> None:
    seen = without(program, PARAMETERS)
    assert (seen.input_names, seen.width_in) == (("a", "b"), 4)
    with pytest.raises(BadProgram, match="has no other input than 'x'"):
        without(check(data(model([node("Neg", ["x"], ["y"])]))), "x")


@pytest.mark.parametrize(("wanted", "may"), [(["a", LOCAL], [PARAMETERS, "b"]), (["a", "b"], [])])
def test_inputs_that_are_missing_or_too_many_are_named(program: Program, wanted: list[str], may: list[str]) -> None:
    require_inputs(program, ["a", "b"], [PARAMETERS, LOCAL], "the program")
    with pytest.raises(BadProgram, match=r"^the program takes the inputs a, .*; this one takes a, parameters, b$"):
        require_inputs(program, wanted, may, "the program")
