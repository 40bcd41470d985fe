"""Random programs over random data give exactly what integers give, and stay within the proved error of real numbers.

Every program here goes the whole way of a job: ONNX, gate, compiler, fixed point, encryption, evaluation without the
key, decryption. Expected values are computed with Python's integers and fractions, not with NumPy.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nodes.homomorphic.encoding import decode, encode, integer_program, quantise
from nodes.homomorphic.errors import BadCiphertext, Overflow, TooCoarse
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.affine import AffineMap
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.runtime import evaluate
from schemas.errors import BadData, BadProgram

Floats = NDArray[np.float64]
WIDTH = 4
number = st.floats(-8, 8, width=32)


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    """A chain of linear operators on [N, WIDTH] with random constants, perhaps over the sum of the rows."""
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}
    current = "x"
    if draw(st.booleans()):
        constants["rows"] = np.array([0], dtype=np.int64)
        nodes.append(helper.make_node("ReduceSum", ["x", "rows"], ["sum"], keepdims=1))
        current = "sum"
    for step in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["Add", "Sub", "Mul", "MatMul", "Neg", "CumSum", "Where", "Einsum", "Gather"]))
        name, made = f"c{step}", f"v{step}"
        square = (WIDTH, WIDTH) if kind in ("MatMul", "Einsum") else (WIDTH,)
        drawn = draw(st.lists(number, min_size=WIDTH * WIDTH, max_size=WIDTH * WIDTH))
        constants[name] = np.array(drawn, dtype=np.float32)[: int(np.prod(square))].reshape(square)
        operands = [current, name]
        attributes: dict[str, Any] = {}
        if kind == "Neg":
            operands = [current]
        elif kind == "CumSum":
            constants[name] = np.array(1, dtype=np.int64)
            attributes = {"reverse": draw(st.integers(0, 1)), "exclusive": draw(st.integers(0, 1))}
        elif kind == "Where":
            constants[f"{name}b"] = constants[name] > 0
            operands = [f"{name}b", current, name]
        elif kind == "Einsum":
            attributes = {"equation": "nf,fk->nk"}
        elif kind == "Gather":
            constants[name] = np.array(draw(st.permutations(range(WIDTH))), dtype=np.int64)
            attributes = {"axis": 1}
        nodes.append(helper.make_node(kind, operands, [made], **attributes))
        current = made
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info(current, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def exactly(mapped: AffineMap, rows: Floats) -> list[list[Fraction]]:
    """The affine map in fractions."""
    table = [[Fraction(value) for value in row] for row in rows.tolist()]
    if mapped.sum_rows:
        table = [[sum(column, Fraction(0)) for column in zip(*table, strict=True)]]
    columns = [[Fraction(weight) for weight in column] for column in mapped.weights.T.tolist()]
    bias = [Fraction(value) for value in mapped.bias.tolist()]
    return [
        [sum((x * w for x, w in zip(row, column, strict=True)), b) for column, b in zip(columns, bias, strict=True)]
        for row in table
    ]


def on_integers(program: IntegerProgram, values: NDArray[np.int64]) -> list[list[int]]:
    """The integer program in Python's integers."""
    table = values.tolist()
    if program.sum_rows:
        table = [[sum(column) for column in zip(*table, strict=True)]]
    return [
        [
            sum(x * w for x, w in zip(row, weights, strict=True)) + b
            for weights, b in zip(program.weights, program.bias, strict=True)
        ]
        for row in table
    ]


@settings(max_examples=20, deadline=None)
@given(data=programs(), rows=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_a_random_program_is_exact_on_integers_and_within_the_proved_error(
    secret: PaillierSecret, data: bytes, rows: int, seed: int
) -> None:
    program = check(data)
    mapped = affine(program)
    values = np.random.default_rng(seed).normal(scale=50, size=(rows, WIDTH))
    bounds = np.abs(values).max(axis=0)
    size = float((np.abs(mapped.weights) * bounds[:, None]).sum() * rows + np.abs(mapped.bias).max() + 1)
    fixed, bound = quantise(mapped, bounds, rows, secret.public.slots, size * 1e-6)
    integers, sent = integer_program(mapped, fixed), encode(values, fixed)
    body = secret.public.evaluate(secret.public.encrypt(sent), rows, integers)
    result = secret.decrypt(body, rows, mapped.width_out, sum_rows=mapped.sum_rows)
    assert result.tolist() == on_integers(integers, sent)
    expected = exactly(mapped, values)
    decoded = decode(result, fixed).tolist()
    for got, wanted in zip(decoded, expected, strict=True):
        assert all(abs(Fraction(a) - b) <= Fraction(bound) for a, b in zip(got, wanted, strict=True))
    np.testing.assert_allclose(evaluate(program, values), np.array(expected, dtype=np.float64), atol=size * 1e-6)


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(-(2**64), 2**64), min_size=1, max_size=5),
    bias=st.integers(-(2**64), 2**64),
    input_max=st.integers(0, 2**52),
    rows=st.integers(1, 1000),
    sum_rows=st.booleans(),
)
def test_a_program_is_refused_exactly_when_a_result_could_leave_its_slot(
    secret: PaillierSecret, weights: list[int], bias: int, input_max: int, rows: int, sum_rows: bool
) -> None:
    program = IntegerProgram((tuple(weights),), (bias,), sum_rows, input_max)
    reached = sum(abs(weight) for weight in weights) * input_max * (rows if sum_rows else 1) + abs(bias)
    if reached < 2**63:
        program.require_room(rows)
        return
    with pytest.raises(Overflow) as caught:
        secret.public.evaluate(b"", rows, program)
    assert caught.value.reached == reached


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 2 * 512 - 1), flip=st.integers(1, 255), cut=st.booleans())
def test_a_body_with_any_byte_changed_or_cut_is_refused(
    secret: PaillierSecret, place: int, flip: int, cut: bool
) -> None:
    body = bytearray(secret.public.encrypt(np.arange(62, dtype=np.int64).reshape(62, 1)))
    if cut:
        del body[place:]
    else:
        body[place] ^= flip
    with pytest.raises(BadCiphertext):
        secret.decrypt(bytes(body), 62, 1)


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_no_weight_or_value_that_is_not_finite_or_too_large_is_encrypted(place: int, bad: float) -> None:
    weights, rows = np.ones((4, 2)), np.ones((2, 4))
    fixed, _ = quantise(AffineMap(weights, np.zeros(2)), np.ones(4), 1, 31, 1e-6)
    weights.reshape(-1)[place] = rows.reshape(-1)[place] = bad
    with pytest.raises((BadProgram, TooCoarse)):
        quantise(AffineMap(weights, np.zeros(2)), np.ones(4), 1, 31, 1e-6)
    with pytest.raises(BadProgram):
        integer_program(AffineMap(weights, np.zeros(2)), fixed).require_room(1)
    with pytest.raises(BadData):
        encode(rows, fixed)
