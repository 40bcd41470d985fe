"""The operators that the compiler knows: one table from name to function, with the rule when it is linear.

The section of the specification is the operator's own page, `https://onnx.ai/onnx/operators/onnx__<Name>.html` for the
domain ai.onnx and `onnx_aionnxml_<Name>.html` for ai.onnx.ml. What else a program may use, `allowed` says. Functions
that are not linear are here for constants. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from nodes.programs import algebra, moves, windows
from nodes.programs.algebra import reduction, unary
from nodes.programs.call import Call, Function
from nodes.programs.moves import moving
from nodes.programs.program import Node

Linear = Callable[[Node, tuple[bool, ...]], bool]
"""Whether the outputs are affine in the operands that depend on the input; of each operand, whether it does."""
ML: Final = "ai.onnx.ml"


@dataclass(frozen=True, slots=True)
class Operator:
    """One row of the table."""

    run: Function
    linear: Linear


def always(_: Node, __: tuple[bool, ...]) -> bool:
    """In all operands together."""
    return True


def in_first(_: Node, variable: tuple[bool, ...]) -> bool:
    """In the first operand, while the others (shapes, axes, indices, weights) are constant."""
    return not any(variable[1:])


def product(_: Node, variable: tuple[bool, ...]) -> bool:
    """While at most one factor depends on the input."""
    return sum(variable) <= 1


def never(_: Node, __: tuple[bool, ...]) -> bool:
    """Not linear."""
    return False


def _gemm(_: Node, variable: tuple[bool, ...]) -> bool:
    """alpha A B + beta C, while A or B is constant."""
    return sum(variable[:2]) <= 1


def _where(_: Node, variable: tuple[bool, ...]) -> bool:
    """While the condition is constant."""
    return not variable[0]


def _cast(node: Node, _: tuple[bool, ...]) -> bool:
    """A cast to float or double is the identity; one to integers cuts, one to float16 rounds."""
    return node.integer("to", 0) in algebra.FLOATS


def _regressor(node: Node, _: tuple[bool, ...]) -> bool:
    """While no transform comes after it."""
    return node.text("post_transform", "NONE") == "NONE"


def _classifier(node: Node, variable: tuple[bool, ...]) -> bool:
    """Its scores are; the label, and the scores after a post-transform, are not."""
    return not node.wanted[0] and _regressor(node, variable)


TABLE: Final[Mapping[tuple[str, str], Operator]] = {
    (domain, name): Operator(run, linear)
    for domain, name, run, linear in (
        ("", "Add", algebra.add, always),
        ("", "Sub", algebra.subtract, always),
        ("", "Sum", algebra.add, always),
        ("", "Mean", algebra.mean, always),
        ("", "Neg", unary(np.negative), always),
        ("", "Mul", algebra.multiply, product),
        ("", "Div", algebra.divide, in_first),
        ("", "Cast", algebra.cast, _cast),
        ("", "Constant", algebra.constant_node, always),
        ("", "Shape", algebra.shape_of, always),
        ("", "Pow", algebra.power, never),
        ("", "Exp", unary(np.exp), never),
        ("", "Log", unary(np.log), never),
        ("", "Sqrt", unary(np.sqrt), never),
        ("", "Abs", unary(np.abs), never),
        ("", "Reciprocal", unary(np.reciprocal), never),
        ("", "MatMul", algebra.matmul, product),
        ("", "Gemm", algebra.gemm, _gemm),
        ("", "Einsum", algebra.einsum, product),
        ("", "ReduceSum", reduction(np.sum, rows=True), in_first),
        ("", "ReduceMean", reduction(np.mean), in_first),
        ("", "CumSum", algebra.cumulative_sum, in_first),
        (ML, "Scaler", algebra.scaler, always),
        (ML, "LinearRegressor", algebra.linear_regressor, _regressor),
        (ML, "LinearClassifier", algebra.linear_classifier, _classifier),
        ("", "Identity", moves.identity, always),
        ("", "Dropout", moves.identity, always),
        ("", "Concat", moving(moves.concat, Call.all), always),
        ("", "Slice", moving(moves.slice_), in_first),
        ("", "Split", moving(moves.split), in_first),
        ("", "Gather", moving(moves.gather), in_first),
        ("", "GatherElements", moving(moves.gather_elements), in_first),
        ("", "GatherND", moving(moves.gather_nd), in_first),
        (ML, "ArrayFeatureExtractor", moving(moves.feature_extractor), in_first),
        ("", "Compress", moving(moves.compress), in_first),
        ("", "Reshape", moving(moves.reshape), in_first),
        ("", "Transpose", moving(moves.transpose), always),
        ("", "Squeeze", moving(moves.squeeze), in_first),
        ("", "Unsqueeze", moving(moves.unsqueeze), in_first),
        ("", "Expand", moving(moves.expand), in_first),
        ("", "Tile", moving(moves.tile), in_first),
        ("", "Flatten", moving(moves.flatten), always),
        ("", "Trilu", moving(moves.trilu), in_first),
        ("", "Where", algebra.where, _where),
        ("", "Pad", moving(moves.pad, moves.padded), in_first),
        ("", "DepthToSpace", moving(moves.depth_to_space), always),
        ("", "SpaceToDepth", moving(moves.space_to_depth), always),
        ("", "Conv", windows.conv, in_first),
        ("", "AveragePool", windows.average_pool, always),
        ("", "GlobalAveragePool", windows.global_average_pool, always),
        ("", "BatchNormalization", windows.batch_normalization, in_first),
    )
}
"""All operators by (domain, name)."""


def operator_of(node: Node) -> Operator | None:
    """What the compiler has for a node: nothing for most operators that are not linear, nor for labels of classes or
    what a transform makes of scores."""
    found = TABLE.get((node.domain, node.operator))
    scores = node.operator in ("LinearClassifier", "LinearRegressor")
    return None if found is None or (scores and not found.linear(node, (True,))) else found
