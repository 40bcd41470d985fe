"""Operators that pick, repeat, add up or contract numbers of a row by constants; linear in what depends on the input.
Pure."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nodes.programs.operands import Operands, all_given, constant_integers, given, optional
from nodes.programs.operators_layout import ROWS_FIXED, inner_axis
from nodes.programs.program import Node
from nodes.programs.values import Array, Context, Kind, Value, aligned, constant, joined_kind
from schemas.errors import BadProgram

Signature = tuple[list[str], str]
"""The labels of every operand, and those of the result."""


def shape_of(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Shape: a constant. The number of rows is none."""
    value = given(operands, 0)
    visible: list[int | None] = list(value.inner)
    if value.kind in (Kind.ROWS, Kind.SUMMED):
        visible.insert(0, 1 if value.kind is Kind.SUMMED else None)
    cut = visible[node.integer("start", 0) : node.integer("end", len(visible))]
    known = [length for length in cut if length is not None]
    if len(known) != len(cut):
        raise BadProgram("the number of rows differs from batch to batch and cannot be used; begin at axis 1")
    return (constant(np.array(known, dtype=np.int64)),)


def tile(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
    """Tile by constant repeats; rows are not repeated."""
    value = given(operands, 0)
    repeats = list(constant_integers(given(operands, 1), "repeats"))
    if len(repeats) != value.rank or any(r < 0 for r in repeats):
        raise BadProgram("its repeats do not fit its operand's axes")
    if value.kind in (Kind.ROWS, Kind.SUMMED) and repeats[0] != 1:
        raise BadProgram(f"this {ROWS_FIXED}")
    full = [1, *repeats] if value.kind is Kind.FLAT else repeats
    shape = [n * r for n, r in zip(value.array.shape, full, strict=True)]
    context.admit(shape[1:] if value.variable else shape, variable=value.variable)
    return (value.with_array(np.tile(value.array, full)),)


def trilu(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Trilu: the upper or lower triangle of the last two axes."""
    value, offset = given(operands, 0), optional(operands, 1)
    if value.rank < 2:
        raise BadProgram("its operand must be a matrix")
    inner_axis(value, -2)
    k = 0 if offset is None else constant_integers(offset, "k")[0]
    keep = np.triu if node.integer("upper", 1) else np.tril
    mask = keep(np.ones(value.array.shape[-2:], dtype=bool), k=max(-(1 << 40), min(1 << 40, k)))
    return (value.with_array(np.where(mask, value.array, np.zeros((), dtype=value.array.dtype))),)


def compress(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Compress by a constant condition, along an axis other than the rows, or of all numbers in a line."""
    value, condition = given(operands, 0), given(operands, 1)
    if condition.variable or condition.rank != 1:
        raise BadProgram("its condition must be a constant list")
    chosen = np.flatnonzero(condition.array)
    if "axis" in node.attributes:
        return (value.with_array(np.take(value.array, chosen, axis=inner_axis(value, node.integer("axis", 0)))),)
    if value.kind in (Kind.ROWS, Kind.SUMMED):
        raise BadProgram(f"without an axis this {ROWS_FIXED}")
    flat = value.array.reshape(*value.array.shape[:1], -1) if value.variable else value.array.reshape(-1)
    return (value.with_array(np.take(flat, chosen, axis=-1)),)


def feature_extractor(_: Context, __: Node, operands: Operands) -> tuple[Value, ...]:
    """ArrayFeatureExtractor: columns of the last axis by constant indices, or for each row one of a list of constants.

    ONNX lays the latter out as [1, N]. Here it is [N], which broadcasts the same and is what exporters reshape it to.
    """
    value = given(operands, 0)
    chosen = given(operands, 1)
    if chosen.array.dtype.kind != "i" or (chosen.variable and (value.variable or chosen.elements != 1)):
        raise BadProgram("its indices must be constant integers, or one per row into a list of constants")
    if chosen.variable:
        if value.array.shape[-1] != value.elements:
            raise BadProgram("takes one per row of a constant that is not a list")
        return (Value(np.take(value.array.reshape(-1), chosen.array.reshape(-1)), chosen.kind),)
    return (value.with_array(np.take(value.array, chosen.array.reshape(-1), axis=inner_axis(value, -1))),)


def gather_elements(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """GatherElements by constant indices. On rows the indices have length 1 there: the same for each row."""
    value, indices = given(operands, 0), given(operands, 1)
    if indices.variable or indices.array.dtype.kind != "i" or indices.rank != value.rank:
        raise BadProgram("its indices must be constant integers with as many axes as its operand")
    position = inner_axis(value, node.integer("axis", 0))
    chosen = indices.array
    if value.kind is Kind.FLAT:
        chosen = chosen[np.newaxis]
    elif value.variable:
        raise BadProgram("its indices have rows of their own; use Gather on columns")
    context.admit(chosen.shape[1:] if value.variable else chosen.shape, variable=value.variable)
    cut = tuple(
        slice(None) if axis == position or (value.variable and axis == 0) else slice(0, chosen.shape[axis])
        for axis in range(chosen.ndim)
    )
    return (value.with_array(np.take_along_axis(value.array[cut], chosen, axis=position)),)


def gather_nd(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """GatherND by constant indices, of a constant or of a sum over rows."""
    value, indices = given(operands, 0), given(operands, 1)
    if indices.variable or indices.array.dtype.kind != "i" or indices.rank < 1:
        raise BadProgram("its indices must be constant integers")
    if value.kind in (Kind.ROWS, Kind.SUMMED):
        raise BadProgram(f"this {ROWS_FIXED}; use Gather on columns")
    array = value.array if value.variable else value.array[np.newaxis]
    data, where, batch = np.moveaxis(array, 0, -1), indices.array, node.integer("batch_dims", 0)
    depth = where.shape[-1]
    if not 0 <= batch < min(value.rank, where.ndim) or depth + batch > value.rank:
        raise BadProgram("its indices and batch_dims do not fit its operand")
    context.admit((*where.shape[:-1], *data.shape[batch + depth : -1]), variable=value.variable)
    grid = np.meshgrid(*(np.arange(n) for n in where.shape[:-1]), indexing="ij")[:batch]
    picked = np.moveaxis(data[(*grid, *(where[..., i] for i in range(depth)))], -1, 0)
    return (value.with_array(picked if value.variable else picked[0]),)


def cumulative_sum(_: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """CumSum along a constant axis other than the rows."""
    value = given(operands, 0)
    position = inner_axis(value, constant_integers(given(operands, 1), "axis")[0])
    array = np.flip(value.array, position) if node.integer("reverse", 0) else value.array
    total = np.cumsum(array, axis=position)
    total = total - array if node.integer("exclusive", 0) else total
    return (value.with_array(np.flip(total, position) if node.integer("reverse", 0) else total),)


def where(context: Context, _: Node, operands: Operands) -> tuple[Value, ...]:
    """Where. With a constant condition it is linear: each place has one of the two."""
    values = all_given(operands)
    if values[0].variable or joined_kind(values) is Kind.CONSTANT:
        (condition, yes, no), kind = aligned(context, values, lift=False)
        return (Value(np.where(condition.astype(bool), yes, no), kind),)
    (condition, yes, no), kind = aligned(context, values, lift=True)
    return (Value(np.where(condition[-1:].astype(bool), yes, no), kind),)


def where_is_linear(_: Node, variable: tuple[bool, ...]) -> bool:
    """While the condition is constant."""
    return not variable[0]


def einsum(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """Einsum; linear while at most one operand depends on the input. The label of the rows stays first and alone."""
    values = all_given(operands)
    kind = joined_kind(values)
    inputs, output = _signature(node.text("equation", ""), [value.rank for value in values])
    sizes: dict[str, int] = {}
    for value, labels in zip(values, inputs, strict=True):
        shown = value.array.shape[1:] if value.kind is Kind.FLAT else value.array.shape
        for label, length in zip(labels, shown, strict=True):
            sizes[label] = max(sizes.get(label, 1), length)
    if kind is Kind.FLAT:
        rows = next((letter for letter in string.ascii_letters if letter not in sizes), "")
        if not rows:
            raise BadProgram("its equation leaves no letter for the rows")
        inputs = [rows + labels if value.variable else labels for value, labels in zip(values, inputs, strict=True)]
        output = rows + output
    elif kind is not Kind.CONSTANT:
        rows = _rows_label(values, inputs, output)
        sizes.pop(rows)
    shape = [sizes[label] for label in output if label in sizes]
    context.admit(shape, variable=kind is not Kind.CONSTANT)
    context.spend(math.prod(sizes.values()))
    result: Array = np.einsum(f"{','.join(inputs)}->{output}", *(value.array for value in values), optimize=False)
    return (Value(np.asarray(result), kind),)


def _rows_label(values: Sequence[Value], inputs: Sequence[str], output: str) -> str:
    labels = {terms[:1] for value, terms in zip(values, inputs, strict=True) if value.variable}
    rows = labels.pop()
    counts = Counter("".join(inputs))
    alone = counts[rows] == sum(value.variable for value in values)
    if labels or not rows or output[:1] != rows or output.count(rows) != 1 or not alone:
        raise BadProgram(f"this {ROWS_FIXED}")
    return rows


def _signature(equation: str, ranks: Sequence[int]) -> Signature:
    """The equation with a label for every axis: those under an ellipsis get letters of their own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    letters = set(text) - set(",.->")
    if len(terms) != len(ranks) or not all(letter in string.ascii_letters for letter in letters):
        raise BadProgram("its equation does not fit its operands")
    hidden = [
        rank - len(term.replace("...", "")) if "..." in term else 0 for term, rank in zip(terms, ranks, strict=True)
    ]
    free = [letter for letter in string.ascii_letters if letter not in letters]
    most = max(hidden)
    if min(hidden) < 0 or most >= len(free):
        raise BadProgram("its equation does not fit its operands' axes")
    spread = "".join(free[:most])
    if not arrow:
        counts = Counter(label for term in terms for label in term.replace("...", ""))
        right = "..." + "".join(sorted(label for label, count in counts.items() if count == 1))
    inputs = [term.replace("...", spread[most - own :]) for term, own in zip(terms, hidden, strict=True)]
    output = right.replace("...", spread)
    if any("." in labels for labels in (*inputs, output)) or [len(labels) for labels in inputs] != list(ranks):
        raise BadProgram("its equation does not fit its operands' axes")
    if not set(output) <= set("".join(inputs)):
        raise BadProgram("its equation gives an axis that no operand has")
    return inputs, output
