"""Which operators a program may use besides those that the compiler knows, and with which operands and attributes.

All of them work row by row in most uses; `probe` proves it for each use. Not here, and so refused: graphs inside
operators (Loop, If, Scan), random numbers, what keeps state or reads files, results whose length depends on values
(NonZero, Unique), strings and sequences. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from onnx import defs

from nodes.programs.operators import ML, table

_PLAIN: Final = """
    Abs Acos Acosh And ArgMax ArgMin Asin Asinh Atan Atanh CastLike Ceil Celu Clip ConstantOfShape Cos Cosh Elu Equal
    Erf Exp Floor Gelu GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax
    InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
    LpPool Max MaxPool MeanVarianceNormalization Min Mish Mod Not OneHot Or PRelu Pow RMSNormalization Range Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMin ReduceProd ReduceSumSquare Relu Round
    ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign Sqrt Swish Tan Tanh
    ThresholdedRelu TopK Xor
"""
_CLASSICAL: Final = """
    Binarizer FeatureVectorizer Imputer LabelEncoder Normalizer OneHotEncoder SVMClassifier SVMRegressor TreeEnsemble
    TreeEnsembleClassifier TreeEnsembleRegressor
"""
BEYOND: Final = frozenset(("", name) for name in _PLAIN.split()) | frozenset((ML, name) for name in _CLASSICAL.split())
"""(domain, name) of what only the engine runs."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator takes: fewest and most operands, most outputs, names of attributes."""

    operands: tuple[int, int]
    outputs: int
    attributes: frozenset[str]


def names() -> frozenset[tuple[str, str]]:
    """(domain, name) of every operator that is allowed."""
    return BEYOND | frozenset(table())


def signature(domain: str, name: str, version: int) -> Signature | None:
    """Of an allowed operator: the compiler's if it knows it, else the specification's; None when there is none."""
    known = table().get((domain, name))
    if known is not None:
        return Signature(known.operands, known.outputs, known.attributes)
    try:
        schema = defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return None
    return Signature((schema.min_input, schema.max_input), schema.max_output, frozenset(schema.attributes))
