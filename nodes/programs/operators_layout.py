"""Operators that move numbers without changing them. The rows stay axis 0; none of them touches that axis. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nodes.programs.operands import Operands, all_given, constant_integers, given, integers
from nodes.programs.program import Node
from nodes.programs.tensors import widened
from nodes.programs.values import Array, Context, Kind, Value, constant, joined_kind
from schemas.errors import BadProgram

ROWS_FIXED = "would move or cut the rows; rows must stay the first axis and independent of each other"


def inner_axis(value: Value, axis: int) -> int:
    """The array's axis for ONNX's `axis`. Raises BadProgram when that is the axis of rows."""
    position = value.axis(axis)
    if value.variable and position == 0:
        raise BadProgram(f"axis {axis} is the axis of rows: this {ROWS_FIXED}")
    return position


def identity(_: Context, __: Node, operands: Operands) -> tuple[Value, ...]:
    """Identity, and Dropout at inference."""
    return (given(operands, 0),)


def constant_node(_: Context, node: Node, __: Operands) -> tuple[Value, ...]:
    """Constant: `check` has turned its attribute into an array."""
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = node.attributes.get(name)
        if isinstance(value, np.ndarray):
            return (constant(widened(value)),)
        if isinstance(value, int | float | tuple):
            return (constant(np.array(value, dtype=np.float64 if "float" in name else np.int64)),)
    raise BadProgram("a Constant without a value")


def concat(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Concat along an axis other than the rows."""
    values = all_given(operands)
    kind = joined_kind(values)
    first = next((v for v in values if v.variable), values[0])
    position = inner_axis(first, node.integer("axis", 0))
    if any(v.rank != first.rank for v in values):
        raise BadProgram("its operands have different numbers of axes")
    arrays = [_as_rows(context, v, first) for v in values]
    inner = list(arrays[0].shape)
    inner[position] = sum(a.shape[position] for a in arrays)
    context.admit(inner[1:] if kind is not Kind.CONSTANT else inner, variable=kind is not Kind.CONSTANT)
    return (Value(np.concatenate(arrays, axis=position), kind),)


def _as_rows(context: Context, value: Value, like: Value) -> Array:
    """The array of a variable or constant with the same leading axis as `like`."""
    if value.variable or not like.variable:
        return value.array
    array = value.array
    if like.kind is not Kind.FLAT:
        if like.kind is Kind.ROWS or array.shape[0] != 1:
            raise BadProgram("a constant with rows of its own cannot be joined to the input's rows")
        array = array[0]
    return np.broadcast_to(context.rows.lift(array), (like.array.shape[0], *array.shape))


def slice_(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Slice: bounds are attributes before version 10, operands from then on."""
    value = given(operands, 0)
    starts = integers(node, operands, "starts", position=1, operand_since=10)
    ends = integers(node, operands, "ends", position=2, operand_since=10)
    if starts is None or ends is None:
        raise BadProgram("its starts and ends are missing")
    axes = integers(node, operands, "axes", position=3, operand_since=10) or tuple(range(len(starts)))
    steps = integers(node, operands, "steps", position=4, operand_since=10) or (1,) * len(starts)
    cut: list[slice] = [slice(None)] * value.array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        position = inner_axis(value, axis)
        length = value.array.shape[position]
        cut[position] = slice(start, None if step < 0 and end < -length else end, step)
    return (value.with_array(value.array[tuple(cut)]),)


def split(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Split: given lengths, else equal parts of which the last may be shorter (Split-18)."""
    value = given(operands, 0)
    position = inner_axis(value, node.integer("axis", 0))
    length, parts = value.array.shape[position], len(node.outputs)
    lengths = integers(node, operands, "split", position=1, operand_since=13)
    if lengths is None:
        if node.integer("num_outputs", parts) != parts:
            raise BadProgram("its num_outputs is not its number of outputs")
        step = -(-length // parts)
        lengths = (*(step,) * (parts - 1), length - step * (parts - 1))
    if len(lengths) != parts or sum(lengths) != length or min(lengths) < 0:
        raise BadProgram(f"cannot split {length} into {list(lengths)[:16]}")
    pieces = np.split(value.array, np.cumsum(lengths)[:-1], axis=position)
    return tuple(value.with_array(piece) for piece in pieces)


def gather(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Gather of columns, by constant indices."""
    value, indices = given(operands, 0), given(operands, 1)
    if indices.variable or indices.array.dtype.kind != "i":
        raise BadProgram("its indices must be constant integers")
    position = inner_axis(value, node.integer("axis", 0))
    shape = (*value.array.shape[:position], *indices.array.shape, *value.array.shape[position + 1 :])
    context.admit(shape[1:] if value.variable else shape, variable=value.variable)
    return (value.with_array(np.take(value.array, indices.array, axis=position)),)


def reshape(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Reshape to a constant shape that keeps the rows."""
    value = given(operands, 0)
    shape = list(constant_integers(given(operands, 1), "shape"))
    if not node.integer("allowzero", 0):
        visible = (0, *value.inner) if value.kind in (Kind.ROWS, Kind.SUMMED) else value.inner
        shape = [_copied(visible, i) if s == 0 else s for i, s in enumerate(shape)]
    if value.kind in (Kind.ROWS, Kind.SUMMED):
        return (value.with_array(_reshaped(value.array, _inner_shape(value, shape))),)
    if value.kind is Kind.FLAT:
        return (value.with_array(_reshaped(value.array, shape)),)
    return (value.with_array(value.array.reshape(shape)),)


def _copied(visible: tuple[int, ...], position: int) -> int:
    if position >= len(visible):
        raise BadProgram("its shape copies an axis that does not exist")
    return visible[position]


def _inner_shape(value: Value, shape: Sequence[int]) -> list[int]:
    """The shape of one row, from a shape whose first entry stands for the rows (0, -1, or 1 for a sum)."""
    head = shape[0] if shape else None
    if head == 0 or (head == 1 and value.kind is Kind.SUMMED):
        return list(shape[1:])
    if head == -1 and math.prod(shape[1:]) == value.elements:
        return list(shape[1:])
    raise BadProgram(f"its shape {list(shape)[:16]} {ROWS_FIXED}; begin it with -1 or 0")


def _reshaped(array: Array, inner: Sequence[int]) -> Array:
    """One row's axes changed to `inner`; worked out by hand because NumPy cannot infer -1 when there are no rows."""
    elements = math.prod(array.shape[1:])
    inner = list(inner)
    if inner.count(-1) == 1:
        known = math.prod(s for s in inner if s != -1)
        inner[inner.index(-1)] = elements // known if known > 0 else 0
    if min(inner, default=0) < 0 or math.prod(inner) != elements:
        raise BadProgram(f"cannot reshape {elements} numbers per row to {inner[:16]}")
    return array.reshape(array.shape[0], *inner)


def transpose(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Transpose that leaves the rows in place."""
    value = given(operands, 0)
    order = node.integers("perm") or tuple(reversed(range(value.rank)))
    if sorted(order) != list(range(value.rank)):
        raise BadProgram(f"its perm {list(order)[:16]} is not an order of {value.rank} axes")
    positions = [value.axis(axis) for axis in order]
    if value.kind is Kind.FLAT:
        positions = [0, *positions]
    if value.variable and positions[0] != 0:
        raise BadProgram(f"this {ROWS_FIXED}")
    return (value.with_array(value.array.transpose(positions)),)


def squeeze(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Squeeze; without axes it drops every axis of length 1 but that of the rows."""
    value = given(operands, 0)
    axes = integers(node, operands, "axes", position=1, operand_since=13)
    if axes is None:
        first = 1 if value.variable else 0
        positions = [i for i in range(first, value.array.ndim) if value.array.shape[i] == 1]
    else:
        positions = [value.axis(axis) for axis in axes]
    if value.kind is Kind.SUMMED and 0 in positions:  # the sum's own axis of length 1: from now on ONNX does not see it
        rest = tuple(p for p in positions if p != 0)
        return (Value(np.squeeze(value.array, axis=rest), Kind.FLAT),)
    if value.variable and 0 in positions:
        raise BadProgram(f"this {ROWS_FIXED}")
    return (value.with_array(np.squeeze(value.array, axis=tuple(positions))),)


def unsqueeze(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Unsqueeze; new axes come after the rows."""
    value = given(operands, 0)
    axes = integers(node, operands, "axes", position=1, operand_since=13)
    if axes is None:
        raise BadProgram("its axes are missing")
    context.admit((1,) * (value.rank + len(axes)), variable=False)
    rank = value.rank + len(axes)
    if any(not -rank <= axis < rank for axis in axes):
        raise BadProgram(f"its axes {list(axes)[:16]} do not exist in a result of rank {rank}")
    positions = [axis % rank for axis in axes]
    if value.kind is Kind.FLAT:
        positions = [p + 1 for p in positions]
    if value.kind in (Kind.ROWS, Kind.SUMMED) and 0 in positions:
        raise BadProgram(f"a new axis before the rows: this {ROWS_FIXED}")
    return (value.with_array(np.expand_dims(value.array, tuple(positions))),)


def expand(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
    """Expand to a constant shape; an entry of 1 leaves an axis as it is."""
    value = given(operands, 0)
    shape = constant_integers(given(operands, 1), "shape")
    if any(s < 0 for s in shape):
        raise BadProgram("its shape has a negative entry")
    if value.kind in (Kind.ROWS, Kind.SUMMED):
        if len(shape) > value.rank or (len(shape) == value.rank and shape[0] != 1):
            raise BadProgram(f"its shape {list(shape)[:16]} {ROWS_FIXED}; begin it with 1")
        shape = shape[1:] if len(shape) == value.rank else shape
    inner = np.broadcast_shapes(value.inner, shape)
    context.admit(inner, variable=value.variable)
    if not value.variable:
        return (constant(np.broadcast_to(value.array, inner)),)
    padded = value.array.reshape(value.array.shape[0], *(1,) * (len(inner) - len(value.inner)), *value.inner)
    return (value.with_array(np.broadcast_to(padded, (value.array.shape[0], *inner))),)


def flatten(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Flatten of each row (axis 1)."""
    value = given(operands, 0)
    axis = node.integer("axis", 1)
    axis = axis + value.rank if axis < 0 else axis
    if value.kind is Kind.CONSTANT:
        if not 0 <= axis <= value.array.ndim:
            raise BadProgram(f"its axis {axis} does not exist")
        return (constant(value.array.reshape(math.prod(value.array.shape[:axis]), -1)),)
    if value.kind is Kind.FLAT and 0 <= axis <= value.rank:
        shape = value.inner
        return (value.with_array(_reshaped(value.array, (math.prod(shape[:axis]), math.prod(shape[axis:])))),)
    if axis != 1:
        raise BadProgram(f"with axis {axis} this {ROWS_FIXED}; use axis 1")
    return (value.with_array(value.array.reshape(value.array.shape[0], value.elements)),)


def is_first_linear(_: Node, variable: tuple[bool, ...]) -> bool:
    """Linear in the first operand while the others (shapes, axes, indices) are constant."""
    return not any(variable[1:])
