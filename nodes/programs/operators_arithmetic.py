"""Operators that work number by number. Each function is one operator of the ONNX specification. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from onnx import TensorProto

from nodes.programs.operands import Operands, all_given, given
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


def power(base: Array, exponent: Array) -> Array:
    """Pow, in float64."""
    return np.power(base.astype(np.float64), exponent)
