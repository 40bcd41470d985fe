"""The operators that the compiler knows: one table from name to function, with arity, attributes and the linear rule.

The section of the specification is the operator's own page, `https://onnx.ai/onnx/operators/onnx__<Name>.html` for the
domain ai.onnx and `onnx_aionnxml_<Name>.html` for ai.onnx.ml. What else a program may use, `allowed` says. Functions
that are not linear are here for constants. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from nodes.programs import operators_algebra as algebra
from nodes.programs import operators_arithmetic as arithmetic
from nodes.programs import operators_layout as layout
from nodes.programs import operators_select as select
from nodes.programs import operators_windows as windows
from nodes.programs.operators_arithmetic import Function
from nodes.programs.program import Node

Linear = Callable[[Node, tuple[bool, ...]], bool]
ML = "ai.onnx.ml"
VARIADIC = 1_000


@dataclass(frozen=True, slots=True)
class Operator:
    """One row of the table."""

    name: str
    domain: str
    run: Function
    linear: Linear  # whether the outputs are affine in the operands that depend on the input
    operands: tuple[int, int]  # fewest and most
    outputs: int  # most
    attributes: frozenset[str]


def always(_: Node, __: tuple[bool, ...]) -> bool:
    """Linear in all operands together."""
    return True


def never(_: Node, __: tuple[bool, ...]) -> bool:
    """Not linear."""
    return False


@cache
def table() -> Mapping[tuple[str, str], Operator]:
    """All operators by (domain, name)."""
    rows = (
        *_arithmetic(),
        *_functions(),
        *_layout(),
        *_algebra(),
        *_classical(),
        *_selection(),
        *_windows(),
    )
    return MappingProxyType({(row.domain, row.name): row for row in rows})


def operator_of(node: Node) -> Operator | None:
    """What the compiler has for a node: nothing for most operators that are not linear."""
    found = table().get((node.domain, node.operator))
    return None if node.operator == "LinearClassifier" and not algebra.classifier_is_linear(node, (True,)) else found


def _row(
    name: str,
    run: Function,
    linear: Linear,
    operands: tuple[int, int] = (1, 1),
    *attributes: str,
    outputs: int = 1,
    domain: str = "",
) -> Operator:
    return Operator(name, domain, run, linear, operands, outputs, frozenset(attributes))


def _arithmetic() -> tuple[Operator, ...]:
    terms, factors = arithmetic.terms, arithmetic.factors
    two, many, first, product = (2, 2), (1, VARIADIC), layout.is_first_linear, algebra.product_is_linear
    return (
        _row("Add", terms(np.add), always, two),
        _row("Sub", terms(np.subtract), always, two),
        _row("Sum", terms(np.add), always, many),
        _row("Mean", arithmetic.mean, always, many),
        _row("Neg", arithmetic.unary(np.negative), always),
        _row("Mul", factors(np.multiply), product, two),
        _row("Div", factors(arithmetic.divide), first, two),
        _row("Cast", arithmetic.cast, arithmetic.cast_is_linear, (1, 1), "to", "saturate", "round_mode"),
        _row("Pow", factors(arithmetic.power), never, two),
    )


def _functions() -> tuple[Operator, ...]:
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "Exp": np.exp,
        "Log": np.log,
        "Sqrt": np.sqrt,
        "Abs": np.abs,
        "Reciprocal": np.reciprocal,
    }
    return tuple(_row(name, arithmetic.unary(function), never) for name, function in functions.items())


def _layout() -> tuple[Operator, ...]:
    first = layout.is_first_linear
    values = ("value", "value_float", "value_int", "value_floats", "value_ints")
    return (
        _row("Identity", layout.identity, always),
        _row("Dropout", layout.identity, always, (1, 2), "ratio", "seed"),
        _row("Constant", layout.constant_node, always, (0, 0), *values),
        _row("Concat", layout.concat, always, (1, VARIADIC), "axis"),
        _row("Slice", layout.slice_, first, (1, 5), "starts", "ends", "axes"),
        _row("Split", layout.split, first, (1, 2), "axis", "split", "num_outputs", outputs=VARIADIC),
        _row("Gather", layout.gather, first, (2, 2), "axis"),
        _row("Reshape", layout.reshape, first, (2, 2), "allowzero"),
        _row("Transpose", layout.transpose, always, (1, 1), "perm"),
        _row("Squeeze", layout.squeeze, first, (1, 2), "axes"),
        _row("Unsqueeze", layout.unsqueeze, first, (1, 2), "axes"),
        _row("Expand", layout.expand, first, (2, 2)),
        _row("Flatten", layout.flatten, always, (1, 1), "axis"),
    )


def _algebra() -> tuple[Operator, ...]:
    reduction, first = algebra.reduction, layout.is_first_linear
    axes = ("axes", "keepdims", "noop_with_empty_axes")
    return (
        _row("MatMul", algebra.matmul, algebra.product_is_linear, (2, 2)),
        _row("Gemm", algebra.gemm, algebra.gemm_is_linear, (2, 3), "alpha", "beta", "transA", "transB"),
        _row("ReduceSum", reduction(np.sum, 13, rows=True), first, (1, 2), *axes),
        _row("ReduceMean", reduction(np.mean, 18), first, (1, 2), *axes),
    )


def _classical() -> tuple[Operator, ...]:
    classifier = (
        "coefficients",
        "intercepts",
        "classlabels_ints",
        "classlabels_strings",
        "post_transform",
        "multi_class",
    )
    regressor = ("coefficients", "intercepts", "targets", "post_transform")
    return (
        _row("Scaler", algebra.scaler, always, (1, 1), "offset", "scale", domain=ML),
        _row("LinearRegressor", algebra.linear_regressor, always, (1, 1), *regressor, domain=ML),
        _row(
            "LinearClassifier",
            algebra.linear_classifier,
            algebra.classifier_is_linear,
            (1, 1),
            *classifier,
            outputs=2,
            domain=ML,
        ),
    )


def _selection() -> tuple[Operator, ...]:
    first = layout.is_first_linear
    return (
        _row("Where", select.where, select.where_is_linear, (3, 3)),
        _row("Shape", select.shape_of, always, (1, 1), "start", "end"),
        _row("Tile", select.tile, first, (2, 2)),
        _row("Trilu", select.trilu, first, (1, 2), "upper"),
        _row("Compress", select.compress, first, (2, 2), "axis"),
        _row("GatherElements", select.gather_elements, first, (2, 2), "axis"),
        _row("GatherND", select.gather_nd, first, (2, 2), "batch_dims"),
        _row("CumSum", select.cumulative_sum, first, (2, 2), "exclusive", "reverse"),
        _row("Einsum", select.einsum, algebra.product_is_linear, (1, VARIADIC), "equation"),
        _row("ArrayFeatureExtractor", select.feature_extractor, first, (2, 2), domain=ML),
    )


def _windows() -> tuple[Operator, ...]:
    first = layout.is_first_linear
    window = ("kernel_shape", "strides", "dilations", "pads", "auto_pad")
    return (
        _row("Conv", windows.conv, first, (2, 3), *window, "group"),
        _row("AveragePool", windows.average_pool, always, (1, 1), *window, "ceil_mode", "count_include_pad"),
        _row("GlobalAveragePool", windows.global_average_pool, always),
        _row("BatchNormalization", windows.batch_normalization, first, (5, 5), "epsilon", "momentum", "training_mode"),
        _row("Pad", windows.pad, first, (1, 4), "mode", "pads", "value"),
        _row("DepthToSpace", windows.depth_to_space, always, (1, 1), "blocksize", "mode"),
        _row("SpaceToDepth", windows.space_to_depth, always, (1, 1), "blocksize", "mode"),
    )
