"""Polynomials of whole graphs equal the programs, and what is no polynomial of low degree is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.programs.affine import AffineMap
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.polynomial import polynomial
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.unit.nodes.programs.models import data, model, node

WIDTH = 3


def applied(mapped: AffineMap, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map in plain arithmetic: affine in columns and their products."""
    terms = np.column_stack([rows, *(rows[:, list(each)].prod(axis=1) for each in mapped.products)])
    return terms @ mapped.weights + mapped.bias


def coefficients(mapped: AffineMap, output: int) -> dict[tuple[int, ...], float]:
    """Of each monomial that one output has."""
    monomials = [*((column,) for column in range(mapped.width_in)), *mapped.products, ()]
    numbers = [*mapped.weights[:, output].tolist(), float(mapped.bias[output])]
    return {monomial: number for monomial, number in zip(monomials, numbers, strict=True) if number}


@st.composite
def polynomial_graphs(draw: st.DrawFn) -> bytes:
    """A chain of linear operators and products, of degree 4 at most; each value carries its degree."""
    constants: dict[str, Any] = {"two": np.array(2.0), "mixed": np.array([0.0, 1.0, 2.0])}
    nodes, known = [], [("x", 1)]
    for step in range(draw(st.integers(1, 7))):
        (read, degree), (other, second) = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        kind, made, c = (
            draw(st.sampled_from(["Add", "MatMul", "Mul", "Both", "Pow", "Mixed", "Sub"])),
            f"v{step}",
            f"c{step}",
        )
        numbers = draw(st.lists(st.floats(-2, 2, width=32), min_size=9, max_size=9))
        if kind == "Mul" and degree + second <= 4:
            nodes.append(node("Mul", [read, other], [made]))
            known.append((made, degree + second))
        elif kind in ("Pow", "Mixed") and degree <= 2:
            nodes.append(node("Pow", [read, "two" if kind == "Pow" else "mixed"], [made]))
            known.append((made, 2 * degree))
        elif kind == "Both":
            nodes.append(node("Sub", [read, other], [made]))
            known.append((made, max(degree, second)))
        else:
            operator = kind if kind in ("Add", "MatMul", "Sub") else "Mul"
            constants[c] = np.array(numbers).reshape(3, 3) if kind == "MatMul" else np.array(numbers[:3])
            nodes.append(node(operator, [c, read] if kind == "Sub" else [read, c], [made]))
            known.append((made, degree))
    return data(model(nodes, inputs={"x": WIDTH}, outputs=(known[-1][0],), constants=constants))


@settings(deadline=None)
@given(polynomial_graphs(), st.integers(0, 2**32 - 1))
def test_the_polynomials_of_a_graph_equal_the_program(graph: bytes, seed: int) -> None:
    program = check(graph)
    rows = np.random.default_rng(seed).uniform(-1, 1, size=(5, WIDTH))
    compiled, expected = polynomial(program), evaluate(program, rows)
    scale = 1 + np.abs(compiled.weights).sum(axis=0).max() + np.abs(compiled.bias).max()
    assert (compiled.width_in, compiled.width_out) == (WIDTH, program.width_out)
    assert compiled.degree <= 4
    assert all(len(each) > 1 for each in compiled.products)
    np.testing.assert_allclose(applied(compiled, rows) / scale, expected / scale, atol=1e-5)


def test_a_linear_program_gives_the_coefficients_of_its_affine_map() -> None:
    made = model(
        [node("Gemm", ["x", "w", "b"], ["y"])], constants={"w": np.arange(6.0).reshape(3, 2), "b": [5.0, -1.0]}
    )
    program = check(data(made))
    compiled, mapped = polynomial(program), affine(program)
    assert (compiled.degree, compiled.products) == (1, ())
    np.testing.assert_array_equal(compiled.weights, mapped.weights)
    np.testing.assert_array_equal(compiled.bias, mapped.bias)


def test_the_product_of_two_sums_is_written_out() -> None:
    made = model(
        [
            node("MatMul", ["x", "w"], ["s"]),
            node("Add", ["s", "one"], ["t"]),
            node("Mul", ["s", "t"], ["y"]),
        ],
        constants={"w": [[1.0], [2.0], [0.0]], "one": [1.0]},
    )
    found = coefficients(polynomial(check(data(made))), 0)
    assert found == {(0, 0): 1.0, (0, 1): 4.0, (1, 1): 4.0, (0,): 1.0, (1,): 2.0}


def test_a_power_of_zero_is_one() -> None:
    made = model([node("Pow", ["x", "zero"], ["p"]), node("Add", ["p", "x"], ["y"])], constants={"zero": [0.0]})
    assert coefficients(polynomial(check(data(made))), 2) == {(): 1.0, (2,): 1.0}


@pytest.mark.parametrize(
    ("nodes", "constants", "operator", "says"),
    [
        ([node("Pow", ["x", "c"], ["y"])], {"c": [5.0]}, "Pow", "degree 5; at most 4"),
        ([node("Pow", ["x", "c"], ["y"])], {"c": [0.5]}, "Pow", "0.5 makes no polynomial"),
        ([node("Pow", ["x", "c"], ["y"])], {"c": [-1.0]}, "Pow", "-1 makes no polynomial"),
        ([node("Pow", ["x", "c"], ["y"])], {"c": [1e30]}, "Pow", "at most 4"),
        ([node("Pow", ["x", "c"], ["a"]), node("Mul", ["a", "x"], ["y"])], {"c": [4.0]}, "Mul", "degree 5; at most 4"),
        ([node("Pow", ["x", "x"], ["y"])], {}, "Pow", "not linear"),
        ([node("Pow", ["x", "c"], ["a"]), node("Relu", ["a"], ["y"])], {"c": [2.0]}, "Relu", "not linear"),
        ([node("Div", ["x", "x"], ["y"])], {}, "Div", "not linear"),
        ([node("ReduceSum", ["x", "c"], ["y"])], {"c": np.array([0], np.int64)}, "ReduceSum", "adds rows up"),
    ],
)
def test_what_is_no_polynomial_of_low_degree_is_refused_by_name(
    nodes: Any, constants: Any, operator: str, says: str
) -> None:
    with pytest.raises(BadProgram, match=says) as caught:
        polynomial(check(data(model(nodes, constants=constants))))
    assert caught.value.operator == operator


def test_a_lower_bound_of_the_degree_is_kept() -> None:
    program = check(data(model([node("Pow", ["x", "c"], ["y"])], constants={"c": [3.0]})))
    assert polynomial(program, 3).degree == 3
    with pytest.raises(BadProgram, match="degree 3; at most 2"):
        polynomial(program, 2)
    for bound in (0, 5):
        with pytest.raises(BadProgram, match="1 to 4"):
            polynomial(program, bound)


def test_wide_products_are_refused_before_they_are_made() -> None:
    made = model([node("Pow", ["x", "c"], ["y"])], inputs={"x": 2000}, constants={"c": [2.0]})
    with pytest.raises(BadProgram, match="coefficients; at most"):
        polynomial(check(data(made)))
