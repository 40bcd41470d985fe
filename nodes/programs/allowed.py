"""Which operators a program may use besides those that the compiler knows, and with which operands and attributes.

All of them work row by row in most uses; `probe` proves it for each use. Not here, and so refused: graphs inside
operators (Loop, If, Scan), random numbers, what keeps state or reads files, results whose length depends on values
(NonZero, Unique), strings and sequences. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from onnx import AttributeProto, defs

from nodes.programs.operators import ML, TABLE
from nodes.programs.program import Signature

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
_FOR_INFERENCE: Final = {"Dropout": (2, 1), "BatchNormalization": (5, 1)}
"""Most operands and outputs of what else could be in training."""
BEYOND: Final = frozenset(("", name) for name in _PLAIN.split()) | frozenset((ML, name) for name in _CLASSICAL.split())
"""(domain, name) of what only the engine runs."""
FIELDS: Final = {
    AttributeProto.FLOAT: "f",
    AttributeProto.INT: "i",
    AttributeProto.STRING: "s",
    AttributeProto.TENSOR: "t",
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "ints",
    AttributeProto.STRINGS: "strings",
}
"""Where attributes have their values, by type; others are not allowed."""


def names() -> frozenset[tuple[str, str]]:
    """(domain, name) of every operator that is allowed."""
    return BEYOND | frozenset(TABLE)


@cache
def signature(domain: str, name: str, version: int) -> Signature | None:
    """Of an allowed operator, as the specification has it for inference; None when it has none in this version."""
    try:
        schema = defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return None
    operands, outputs = _FOR_INFERENCE.get(name, (schema.max_input, schema.max_output))
    takes = tuple(str(each.name) for each in schema.inputs)
    attributes = {name: int(each.type.value) for name, each in schema.attributes.items()}
    return Signature((schema.min_input, min(schema.max_input, operands)), takes, outputs, attributes)
