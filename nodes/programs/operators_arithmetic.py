"""Operators that work number by number. Each function is one operator of the ONNX specification. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from onnx import TensorProto

from nodes.programs.operands import Operands, all_given, given, optional
from nodes.programs.program import Node
from nodes.programs.values import Array, Context, Value, aligned
from schemas.errors import BadProgram

Function = Callable[[Context, Node, Operands], tuple[Value, ...]]


def terms(function: Callable[[Array, Array], Array]) -> Function:
    """Add, Sub, Sum: constants are added to every row."""

    def run(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
        arrays, kind = aligned(context, all_given(operands), lift=True)
        return (Value(reduce(function, arrays), kind),)

    return run


def factors(function: Callable[[Array, Array], Array]) -> Function:
    """Mul, Max, And, Less and the like: constants act on every row alike."""

    def run(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
        arrays, kind = aligned(context, all_given(operands), lift=False)
        return (Value(reduce(function, arrays), kind),)

    return run


def unary(function: Callable[[Array], Array]) -> Function:
    """One operand, number by number."""

    def run(_: Context, __: Node, operands: Operands) -> tuple[Value, ...]:
        value = given(operands, 0)
        return (value.with_array(function(value.array)),)

    return run


def divide(dividend: Array, divisor: Array) -> Array:
    """Div: integers are cut towards zero, as the specification of Div says since version 7."""
    if dividend.dtype.kind == "i" and divisor.dtype.kind == "i":
        return np.trunc(dividend / divisor).astype(np.int64)
    return np.true_divide(dividend, divisor)


def mean(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
    """Mean of its operands."""
    arrays, kind = aligned(context, all_given(operands), lift=True)
    return (Value(reduce(np.add, arrays) / len(arrays), kind),)


def cast(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Cast. All float types are float64 here, so a cast between them changes nothing."""
    value = given(operands, 0)
    target = node.integer("to", 0)
    if target in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        return (value.with_array(value.array.astype(np.float64, copy=False)),)
    if target in (TensorProto.INT32, TensorProto.INT64):
        return (value.with_array(value.array.astype(np.int64)),)
    if target == TensorProto.BOOL:
        return (value.with_array(value.array.astype(bool)),)
    raise BadProgram(f"casts to data type {target}; use float, double, int32, int64 or bool")


def cast_is_linear(node: Node, _: tuple[bool, ...]) -> bool:
    """A cast to a float type is the identity; one to integers cuts."""
    return node.integer("to", 0) in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def clip(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Clip: bounds are attributes before version 11, operands from then on."""
    value = given(operands, 0)
    if node.version < 11:
        low, high = node.number("min", -np.inf), node.number("max", np.inf)
        return (value.with_array(np.clip(value.array, low, high)),)
    result = value
    for bound, function in ((optional(operands, 1), np.maximum), (optional(operands, 2), np.minimum)):
        if bound is not None:
            (left, right), kind = aligned(context, [result, bound], lift=False)
            result = Value(function(left, right), kind)
    return (result,)


def leaky_relu(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """LeakyRelu."""
    value = given(operands, 0)
    return (value.with_array(np.where(value.array < 0, node.number("alpha", 0.01) * value.array, value.array)),)


def sigmoid(x: Array) -> Array:
    """Sigmoid; exp overflows to infinity for x below -709, which gives the right 0."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def softplus(x: Array) -> Array:
    """Softplus, ln(1 + e^x), without overflow."""
    return np.asarray(np.logaddexp(0.0, x))


def relu(x: Array) -> Array:
    """Relu."""
    return np.maximum(x, 0)


def power(base: Array, exponent: Array) -> Array:
    """Pow, in float64."""
    return np.power(base.astype(np.float64), exponent)
