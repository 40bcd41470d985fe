"""Operators that combine the numbers of a row: products with constant matrices, reductions, and the classical models of
ai.onnx.ml. The one operator that may combine rows is ReduceSum. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nodes.programs.operands import Operands, given, integers, optional
from nodes.programs.operators_arithmetic import Function
from nodes.programs.program import Node
from nodes.programs.values import Array, Context, Kind, Value, aligned, constant, joined_kind
from schemas.errors import BadProgram

MIXES_ROWS = "multiplies rows with each other; rows must stay independent of each other"


def matmul(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
    """MatMul as numpy.matmul; at least one operand is constant, or both have a matrix per row."""
    left, right = given(operands, 0), given(operands, 1)
    return (_product(context, left, right),)


def _product(context: Context, left: Value, right: Value) -> Value:
    if Kind.FLAT in (left.kind, right.kind):
        return _flat_product(context, left, right)
    if left.variable and right.variable:
        if left.kind is not Kind.ROWS or right.kind is not Kind.ROWS or left.rank != right.rank or left.rank < 3:
            raise BadProgram(MIXES_ROWS)
    elif (left.variable and right.rank not in (1, 2)) or (right.variable and left.rank not in (1, 2)):
        raise BadProgram("its constant operand must have one or two axes")
    if left.variable and not right.variable and (left.array.ndim < 2):
        raise BadProgram(MIXES_ROWS)
    if right.variable and not left.variable and not _matrix_per_row(right):
        raise BadProgram(MIXES_ROWS)
    if not left.inner or not right.inner:
        raise BadProgram("its operands need at least one axis besides the rows")
    _admit_product(context, left, right)
    return Value(np.matmul(left.array, right.array), left.kind if left.variable else right.kind)


def _flat_product(context: Context, left: Value, right: Value) -> Value:
    """A product with a sum over rows, whose leading axis ONNX does not see; behind it as numpy.matmul."""
    if not left.rank or not right.rank or joined_kind((left, right)) is not Kind.FLAT:
        raise BadProgram("its operands need at least one axis")
    arrays = [value.array if value.variable else value.array[np.newaxis] for value in (left, right)]
    a = arrays[0][:, np.newaxis, :] if left.rank == 1 else arrays[0]
    b = arrays[1][:, :, np.newaxis] if right.rank == 1 else arrays[1]
    width = max(a.ndim, b.ndim)
    a, b = (x.reshape(x.shape[0], *(1,) * (width - x.ndim), *x.shape[1:]) for x in (a, b))
    batch = np.broadcast_shapes(a.shape[1:-2], b.shape[1:-2])
    context.spend(math.prod(batch) * a.shape[-2] * a.shape[-1] * b.shape[-1])
    context.admit((*batch, a.shape[-2], b.shape[-1]), variable=True)
    product = np.matmul(a, b)
    product = product[..., 0, :] if left.rank == 1 else product
    return Value(product[..., 0] if right.rank == 1 else product, Kind.FLAT)


def _matrix_per_row(value: Value) -> bool:
    return value.rank >= 3


def _admit_product(context: Context, left: Value, right: Value) -> None:
    """Multiplications and size of the product, from the shapes for one row."""
    inner_length = left.inner[-1]
    columns = right.inner[-1] if len(right.inner) > 1 else 1
    left_rows = left.elements // inner_length if inner_length else 0
    batches = math.prod(right.inner[:-2])
    variable = left.variable or right.variable
    if right.variable and not left.variable:
        context.spend(left.elements * columns * batches)
        context.admit((left_rows, columns, batches), variable=variable)
        return
    context.spend(left.elements * columns)
    context.admit((left_rows, columns), variable=variable)


def product_is_linear(_: Node, variable: tuple[bool, ...]) -> bool:
    """A product is linear while at most one factor depends on the input."""
    return sum(variable) <= 1


def gemm_is_linear(_: Node, variable: tuple[bool, ...]) -> bool:
    """alpha A B + beta C is linear while A or B is constant."""
    return sum(variable[:2]) <= 1


def gemm(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Gemm: alpha A' B' + beta C; rows are A's, so B is constant and A is not transposed."""
    left, right, added = given(operands, 0), given(operands, 1), optional(operands, 2)
    if left.rank != 2 or right.rank != 2:
        raise BadProgram("its operands A and B must have two axes")
    for factor, across in ((left, node.integer("transA", 0)), (right, 1)):
        if factor.kind in (Kind.ROWS, Kind.SUMMED) and across:
            raise BadProgram(MIXES_ROWS)
    a = left.with_array(left.array.swapaxes(-1, -2)) if node.integer("transA", 0) else left
    b = right.with_array(right.array.swapaxes(-1, -2)) if node.integer("transB", 0) else right
    result = _product(context, a, b)
    result = result.with_array(result.array * node.number("alpha", 1.0))
    if added is None:
        return (result,)
    scaled = added.with_array(added.array * node.number("beta", 1.0))
    (left_term, right_term), kind = aligned(context, [result, scaled], lift=True)
    return (Value(left_term + right_term, kind),)


def reduction(function: Callable[..., Array], operand_since: int, *, rows: bool = False) -> Function:
    """A reduction over axes, which are an attribute before `operand_since`. Over the rows only with `rows`."""

    def run(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
        value = given(operands, 0)
        axes = integers(node, operands, "axes", position=1, operand_since=operand_since)
        if not axes and node.integer("noop_with_empty_axes", 0):
            return (value,)
        positions = {value.axis(axis) for axis in (axes or range(value.rank))}
        keep = bool(node.integer("keepdims", 1))
        if not value.variable or 0 not in positions:
            return (value.with_array(function(value.array, axis=tuple(positions), keepdims=keep)),)
        if not rows:
            raise BadProgram("is over the rows, so batches of rows do not add up; use ReduceSum and divide afterwards")
        inner = tuple(positions - {0})
        if value.kind is Kind.ROWS:
            value = Value(context.rows.total(value.array), Kind.SUMMED)
        array = function(value.array, axis=inner, keepdims=keep) if inner else value.array
        return (Value(array, Kind.SUMMED if keep else Kind.FLAT),)

    return run


# ai.onnx.ml ----------------------------------------------------------------------------------------------------------


def features(value: Value) -> Value:
    if value.kind not in (Kind.ROWS, Kind.SUMMED) or value.rank != 2:
        raise BadProgram("its operand must be rows of features [N, F]")
    return value


def _vector(node: Node, name: str, length: int | None, default: float) -> Array:
    numbers = node.numbers(name)
    if not numbers:
        return np.full(1 if length is None else length, default)
    if length is not None and len(numbers) not in (1, length):
        raise BadProgram(f"its {name} has {len(numbers)} numbers; {length} are needed")
    return np.array(numbers, dtype=np.float64)


def scaler(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Scaler: (x - offset) * scale."""
    value = features(given(operands, 0))
    offset, scale = (constant(_vector(node, n, value.inner[0], d)) for n, d in (("offset", 0.0), ("scale", 1.0)))
    (x, shift), kind = aligned(context, [value, offset], lift=True)
    (moved, factor), kind = aligned(context, [Value(x - shift, kind), scale], lift=False)
    return (Value(moved * factor, kind),)


def _scores(context: Context, value: Value, node: Node, targets: int) -> Value:
    """x @ coefficients.T + intercepts, the coefficients one row per target."""
    coefficients = node.numbers("coefficients") or ()
    if targets < 1 or len(coefficients) != targets * value.inner[0]:
        raise BadProgram(f"has {len(coefficients)} coefficients for {targets} targets and {value.inner[0]} columns")
    weights = np.array(coefficients, dtype=np.float64).reshape(targets, value.inner[0])
    result = _product(context, value, constant(weights.T))
    intercepts = node.numbers("intercepts")
    if not intercepts:
        return result
    if len(intercepts) != targets:
        raise BadProgram(f"has {len(intercepts)} intercepts for {targets} targets")
    (left, right), kind = aligned(context, [result, constant(np.array(intercepts))], lift=True)
    return Value(left + right, kind)


def linear_regressor(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """LinearRegressor without a post-transform."""
    if node.text("post_transform", "NONE") != "NONE":
        raise BadProgram("with a post_transform is not supported; append the operator itself")
    return (_scores(context, features(given(operands, 0)), node, node.integer("targets", 1)),)


def linear_classifier(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """LinearClassifier with a row of coefficients per class: its scores, in the place of the label too."""
    labels = node.integers("classlabels_ints") or node.attributes.get("classlabels_strings", ())
    classes = len(labels) if isinstance(labels, tuple) else 0
    scores = _scores(context, features(given(operands, 0)), node, classes)
    return scores, scores


def classifier_is_linear(node: Node, _: tuple[bool, ...]) -> bool:
    """Its scores are linear; the label, and the scores after a post-transform, are not."""
    return not node.wanted[0] and node.text("post_transform", "NONE") == "NONE"
