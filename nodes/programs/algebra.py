"""Operators that add, multiply and contract: linear while at most one factor depends on the input. Pure.

The one operator that may combine rows is ReduceSum.
"""

from __future__ import annotations

import itertools
import math
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from onnx import TensorProto

from nodes.programs.call import ROWS_FIXED, Call, Function
from nodes.programs.tensors import widened
from nodes.programs.values import Array, Forms, Kind, Value, constant, joined_kind
from schemas.errors import BadProgram


def aligned(forms: Forms, values: Sequence[Value]) -> tuple[list[Array], Kind]:
    """Arrays that NumPy broadcasts as ONNX does, by trailing axes; of a result with forms, each with a leading axis.

    Raises BadProgram where rows would not line up.
    """
    kind, rank = joined_kind(values), max(value.rank for value in values)
    forms.admit(np.broadcast_shapes(*(value.shape for value in values)), variable=kind is not Kind.CONSTANT)
    if kind is Kind.CONSTANT:
        return [value.array for value in values], kind
    if kind is Kind.ROWS and not all(
        value.rank == rank if value.variable else value.rank < rank or value.shape[0] == 1 for value in values
    ):
        raise BadProgram("its operands' axes of rows do not line up; rows must stay independent of each other")
    leads = [forms.size if value.variable else 1 for value in values]
    return [
        value.array.reshape(lead, *(1,) * (rank - value.rank), *value.shape)
        for value, lead in zip(values, leads, strict=True)
    ], kind


def added(forms: Forms, values: Sequence[Value]) -> Value:
    """The sum. Constants belong to the constant part of a form."""
    arrays, kind = aligned(forms, values)
    if kind is Kind.CONSTANT:
        return Value(reduce(np.add, arrays), kind)
    total = np.zeros((forms.size, *np.broadcast_shapes(*(array.shape[1:] for array in arrays))))
    for value, array in zip(values, arrays, strict=True):
        part = total if value.variable else total[-1:]
        part += array
    return Value(total, kind)


def scaled(value: Value, factor: float) -> Value:
    """The value times a number."""
    return value if factor == 1.0 else value.with_array(value.array * factor)


def add(call: Call) -> tuple[Value, ...]:
    """Add and Sum."""
    return (added(call.forms, call.all()),)


def subtract(call: Call) -> tuple[Value, ...]:
    """Sub."""
    left, right = call.all()
    return (added(call.forms, [left, right.with_array(np.negative(right.array))]),)


def mean(call: Call) -> tuple[Value, ...]:
    """Mean of its operands."""
    total = added(call.forms, call.all())
    return (total.with_array(total.array / len(call.operands)),)


def multiply(call: Call) -> tuple[Value, ...]:
    """Mul."""
    (left, right), kind = aligned(call.forms, call.all())
    if all(value.variable for value in call.all()):
        return (Value(call.forms.multiply(call.node.operator, left, right), kind),)
    return (Value(left * right, kind),)


def divide(call: Call) -> tuple[Value, ...]:
    """Div: integers are cut towards zero, as the specification of Div says since version 7."""
    (left, right), kind = aligned(call.forms, call.all())
    if left.dtype.kind == right.dtype.kind == "i":
        return (Value(np.trunc(left / right).astype(np.int64), kind),)
    return (Value(np.true_divide(left, right), kind),)


def power(call: Call) -> tuple[Value, ...]:
    """Pow; of forms by constants."""
    (base, exponent), kind = aligned(call.forms, call.all())
    if kind is Kind.CONSTANT:
        return (Value(np.power(base.astype(np.float64), exponent), kind),)
    return (Value(call.forms.power(call.node.operator, base, exponent), kind),)


def unary(function: Callable[[Array], Array]) -> Function:
    """One operand, number by number."""

    def run(call: Call) -> tuple[Value, ...]:
        value = call.given(0)
        return (value.with_array(function(value.array)),)

    return run


def where(call: Call) -> tuple[Value, ...]:
    """Where: of each place one of two, by a constant condition if it is to be linear."""
    (condition, *branches), kind = aligned(call.forms, call.all())
    chosen = condition.astype(bool)
    if kind is Kind.CONSTANT:
        return (Value(np.where(chosen, *branches), kind),)
    given = zip(call.all()[1:], branches, strict=True)
    yes, no = (branch if value.variable else call.forms.lift(branch[0]) for value, branch in given)
    return (Value(np.where(chosen, yes, no), kind),)


FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})
CASTS: dict[int, type] = dict.fromkeys(FLOATS, np.float64) | {
    TensorProto.INT32: np.int64,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}


def cast(call: Call) -> tuple[Value, ...]:
    """Cast. float and double are float64 here, so a cast between them changes nothing; one to float16 rounds."""
    value, target = call.given(0), call.node.integer("to", 0)
    if target == TensorProto.FLOAT16:
        return (value.with_array(value.array.astype(np.float16).astype(np.float64)),)
    if target not in CASTS:
        raise BadProgram(f"casts to data type {target}; use float, double, int32, int64 or bool")
    return (value.with_array(value.array.astype(CASTS[target], copy=False)),)


def constant_node(call: Call) -> tuple[Value, ...]:
    """Constant: `check` has turned its attribute into an array."""
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = call.node.attributes.get(name)
        if isinstance(value, np.ndarray):
            return (constant(widened(value)),)
        if value is not None:
            return (constant(np.array(value, dtype=np.float64 if "float" in name else np.int64)),)
    raise BadProgram("a Constant without numbers")


def shape_of(call: Call) -> tuple[Value, ...]:
    """Shape: a constant. The number of rows is none."""
    shape: list[int | None] = [*call.given(0).shape]
    if call.rows:
        shape[0] = None
    cut = shape[call.node.integer("start", 0) : call.node.integer("end", len(shape))]
    if None in cut:
        raise BadProgram("the number of rows differs from batch to batch and cannot be used; begin at axis 1")
    return (constant(np.array(cut, dtype=np.int64)),)


# Reductions -----------------------------------------------------------------------------------------------------------


def reduction(function: Callable[..., Any], *, rows: bool = False) -> Function:
    """A reduction over axes. Over the rows only with `rows`."""

    def run(call: Call) -> tuple[Value, ...]:
        value, kind = call.given(0), call.given(0).kind
        axes = call.integers("axes")
        if not axes and call.node.integer("noop_with_empty_axes", 0):
            return (value,)
        positions = {call.axis(axis, rows_too=True) for axis in (axes or range(value.rank))}
        if kind is Kind.ROWS and 0 in positions:
            if not rows:
                raise BadProgram(
                    "is over the rows, so batches of rows do not add up; use ReduceSum and divide afterwards"
                )
            value, kind = value.with_array(call.forms.total(value.array)), Kind.SUMMED
        places = tuple(position + (1 if value.variable else 0) for position in positions)
        longer = tuple(place for place in places if value.array.shape[place] != 1)
        array = function(value.array, axis=longer, keepdims=True) if longer else value.array
        return (Value(array if call.node.integer("keepdims", 1) else np.squeeze(array, axis=places), kind),)

    return run


def cumulative_sum(call: Call) -> tuple[Value, ...]:
    """CumSum along a constant axis other than the rows."""
    value = call.given(0)
    axis = call.axis(call.required_integers("axis")[0]) + (1 if value.variable else 0)
    reverse = bool(call.node.integer("reverse", 0))
    array = np.flip(value.array, axis) if reverse else value.array
    total = np.cumsum(array, axis=axis)
    total = total - array if call.node.integer("exclusive", 0) else total
    return (value.with_array(np.flip(total, axis) if reverse else total),)


# Contractions ---------------------------------------------------------------------------------------------------------


def contracted(forms: Forms, equation: str, values: Sequence[Value]) -> Value:
    """Einsum. The label of the rows stays first and alone."""
    kind = joined_kind(values)
    inputs, output, spread, lead = _labels(equation, [value.rank for value in values])
    sizes: dict[str, int] = {}
    shapes = itertools.chain.from_iterable(value.shape for value in values)
    for label, length in zip("".join(inputs), shapes, strict=True):
        if length != sizes.setdefault(label, length) and (label not in spread or 1 not in (length, sizes[label])):
            raise BadProgram("its operands' axes differ in length")
        sizes[label] = max(length, sizes[label])
    if kind is Kind.ROWS:
        _require_rows_alone(values, inputs, output)
    shape = [sizes[label] for label in output]
    forms.admit(shape, variable=kind is not Kind.CONSTANT)
    forms.spend(math.prod(sizes.values()))
    terms = [lead + labels if value.variable else labels for value, labels in zip(values, inputs, strict=True)]
    text = f"{','.join(terms)}->{'' if kind is Kind.CONSTANT else lead}{output}"
    # Of more than two operands NumPy would make intermediate results, of sizes that nobody has looked at; and what it
    # does for two costs more than it saves when there is a single result.
    optimised = len(values) == 2 and math.prod(shape) > 1
    return Value(np.asarray(np.einsum(text, *(value.array for value in values), optimize=optimised)), kind)


def _require_rows_alone(values: Sequence[Value], inputs: Sequence[str], output: str) -> None:
    first = [labels[:1] for value, labels in zip(values, inputs, strict=True) if value.variable]
    rows, labels = first[0], "".join((*inputs, output))
    if not rows or {*first, output[:1]} != {rows} or labels.count(rows) != len(first) + 1:
        raise BadProgram(f"this {ROWS_FIXED}")


def _labels(equation: str, ranks: Sequence[int]) -> tuple[list[str], str, str, str]:
    """The equation with a label for every axis: of the operands, of the result, those under an ellipsis, a free one."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms, letters = left.split(","), set(text) - set(",.->")
    if len(terms) != len(ranks) or not all(letter in string.ascii_letters for letter in letters):
        raise BadProgram("its equation does not fit its operands")
    hidden = [rank - len(t.replace("...", "")) if "..." in t else 0 for t, rank in zip(terms, ranks, strict=True)]
    free, most = [letter for letter in string.ascii_letters if letter not in letters], max(hidden)
    if min(hidden) < 0 or most >= len(free):
        raise BadProgram("its equation does not fit its operands' axes")
    spread = "".join(free[:most])
    if not arrow:
        counts = Counter(left.replace("...", "").replace(",", ""))
        right = "..." + "".join(sorted(label for label, count in counts.items() if count == 1))
    inputs = [term.replace("...", spread[most - own :]) for term, own in zip(terms, hidden, strict=True)]
    output = right.replace("...", spread)
    if any("." in labels for labels in (*inputs, output)) or [len(labels) for labels in inputs] != list(ranks):
        raise BadProgram("its equation does not fit its operands' axes")
    if not set(output) <= set("".join(inputs)):
        raise BadProgram("its equation gives an axis that no operand has")
    return inputs, output, spread, free[most]


def einsum(call: Call) -> tuple[Value, ...]:
    """Einsum."""
    return (contracted(call.forms, call.node.text("equation", ""), call.all()),)


def matmul(call: Call) -> tuple[Value, ...]:
    """MatMul as numpy.matmul."""
    left, right = call.all()
    if not left.rank or not right.rank:
        raise BadProgram("its operands need at least one axis")
    one, other = "k" if left.rank == 1 else "...mk", "k" if right.rank == 1 else "...kn"
    return (contracted(call.forms, f"{one},{other}->...{one[-2:-1]}{other[4:]}", (left, right)),)


def gemm(call: Call) -> tuple[Value, ...]:
    """Gemm: alpha A' B' + beta C."""
    node, added_term = call.node, call.optional(2)
    one, other = "km" if node.integer("transA", 0) else "mk", "nk" if node.integer("transB", 0) else "kn"
    product = contracted(call.forms, f"{one},{other}->mn", (call.given(0), call.given(1)))
    result = scaled(product, node.number("alpha", 1.0))
    if added_term is None:
        return (result,)
    return (added(call.forms, (result, scaled(added_term, node.number("beta", 1.0)))),)


# ai.onnx.ml -----------------------------------------------------------------------------------------------------------


def _vector(node_numbers: Sequence[float] | None, length: int, default: float) -> Value:
    numbers = node_numbers or (default,)
    if len(numbers) not in (1, length):
        raise BadProgram(f"has {len(numbers)} numbers for {length} columns")
    return constant(np.array(numbers, dtype=np.float64))


def scaler(call: Call) -> tuple[Value, ...]:
    """Scaler: (x - offset) * scale."""
    value = call.given(0)
    columns = value.shape[-1] if value.rank else 1
    offset = _vector(call.node.numbers("offset"), columns, 0.0)
    moved = added(call.forms, (value, scaled(offset, -1.0)))
    (x, factor), kind = aligned(call.forms, (moved, _vector(call.node.numbers("scale"), columns, 1.0)))
    return (Value(x * factor, kind),)


def _scores(call: Call, targets: int) -> Value:
    """x @ coefficients.T + intercepts, the coefficients one row per target."""
    value, coefficients = call.given(0), call.node.numbers("coefficients") or ()
    if value.rank != 2:
        raise BadProgram("its operand must be rows of features [N, F]")
    if targets < 1 or len(coefficients) != targets * value.shape[1]:
        raise BadProgram(f"has {len(coefficients)} coefficients for {targets} targets and {value.shape[1]} columns")
    weights = constant(np.array(coefficients, dtype=np.float64).reshape(targets, value.shape[1]))
    result, intercepts = contracted(call.forms, "nf,tf->nt", (value, weights)), call.node.numbers("intercepts")
    if intercepts and len(intercepts) != targets:
        raise BadProgram(f"has {len(intercepts)} intercepts for {targets} targets")
    return added(call.forms, (result, constant(np.array(intercepts)))) if intercepts else result


def linear_regressor(call: Call) -> tuple[Value, ...]:
    """LinearRegressor without a post-transform."""
    return (_scores(call, call.node.integer("targets", 1)),)


def linear_classifier(call: Call) -> tuple[Value, ...]:
    """LinearClassifier with a row of coefficients per class: its scores, in the place of the label too."""
    labels = call.node.integers("classlabels_ints") or call.node.attributes.get("classlabels_strings", ())
    scores = _scores(call, len(labels) if isinstance(labels, tuple) else 0)
    return scores, scores
