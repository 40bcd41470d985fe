"""Programs as exporters write them, each of operators that only the engine runs, with rows that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from tests.unit.nodes.programs.models import data, model, node
from tests.unit.nodes.programs.trees import ML, Listed, classifier, random_trees, regressor

COUNT = 23
VECTOR = np.array([0.5, -1.0, 2.0])


def typed(made: ModelProto, *kinds: int) -> ModelProto:
    """The model with inputs of these types."""
    for info, kind in zip(made.graph.input, kinds, strict=True):
        info.type.tensor_type.elem_type = kind
    return made


def ml(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    """A node of ai.onnx.ml."""
    return node(operator, inputs, outputs, domain=ML, **attributes)


def shared_children() -> Listed:
    """A split on the categories 1 and 4, as LightGBM's are exported."""
    listed = Listed()
    listed.node(0, 0, "BRANCH_EQ", 1.0, 0, 2, 1)
    listed.node(0, 1, "BRANCH_EQ", 4.0, 0, 2, 3)
    listed.node(0, 2, "LEAF")
    listed.node(0, 3, "LEAF")
    listed.leaves += [(0, 2, 0, 10.0), (0, 3, 0, 20.0)]
    return listed


def zipped(labels: dict[str, Any]) -> ModelProto:
    """Trees with a dictionary per row at the end, which is the default of scikit-learn's exporter."""
    made = classifier(random_trees(np.random.default_rng(4), targets=3), [1, 2, 3])
    score = made.graph.output[1].name
    made.graph.node.append(ml("ZipMap", [score], ["output_probability"], **labels))
    made.graph.output[1].CopyFrom(ValueInfoProto(name="output_probability"))
    return made


@cache
def exported() -> dict[str, ModelProto]:
    """By what is special about them."""
    f, i64 = TensorProto.FLOAT, TensorProto.INT64
    per_column = model(
        [ml("FeatureVectorizer", ["a", "b"], ["v"], inputdimensions=[1, 1]), node("Softmax", ["v"], ["y"])],
        inputs={"a": 1, "b": 1},
    )
    blocks = model([node("Concat", ["a", "b"], ["c"], axis=1), node("Elu", ["c"], ["y"])], inputs={"a": 3, "b": 2})
    categories = model(
        [ml("OneHotEncoder", ["c"], ["o"], cats_int64s=[0, 1, 2], zeros=1), node("Reshape", ["o", "s"], ["y"])],
        inputs={"c": 1},
        constants={"s": np.array([-1, 3], np.int64)},
    )
    mixed = model(
        [node("Cast", ["n"], ["m"], to=f), node("Concat", ["m", "x"], ["c"], axis=1), node("Selu", ["c"], ["y"])],
        inputs={"n": 1, "x": 1},
    )
    support = {
        "coefficients": [0.5, -0.5],
        "kernel_params": [0.3, 0.0, 3.0],
        "kernel_type": "RBF",
        "rho": [0.1],
        "support_vectors": [1.0, 0.0, 0.5, -1.0, 0.25, 2.0],
        "n_supports": 2,
    }
    nearest = [
        node("MatMul", ["x", "w"], ["d"]),
        node("ArgMin", ["d"], ["i"], axis=1, keepdims=0),
        ml("ArrayFeatureExtractor", ["labels", "i"], ["l"]),
        node("Reshape", ["l", "s"], ["y"]),
    ]
    dynamic = [
        node("Shape", ["x"], ["h"]),
        node("Gather", ["h", "zero"], ["n"], axis=0),
        node("Concat", ["n", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["r"]),
        node("Tanh", ["r"], ["y"]),
    ]
    return {
        "trees with a dictionary": zipped({"classlabels_int64s": [1, 2, 3]}),
        "trees with a dictionary of text": zipped({"classlabels_strings": ["a", "b", "c"]}),
        "shared children": regressor(shared_children()),
        "an input per column": per_column,
        "blocks": blocks,
        "categories": typed(categories, i64),
        "mixed types": typed(mixed, i64, f),
        "imputer": model(
            [ml("Imputer", ["x"], ["y"], imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=float("nan"))]
        ),
        "binarizer": model([ml("Binarizer", ["x"], ["y"], threshold=0.5)]),
        "normalizer": model([ml("Normalizer", ["x"], ["y"], norm="L2")]),
        "support vectors": model([ml("SVMRegressor", ["x"], ["y"], **support)]),
        "nearest centre": model(
            nearest,
            outputs={"y": i64},
            constants={
                "w": np.outer(VECTOR, [1.0, -2.0]),
                "labels": np.array([7, 9], np.int64),
                "s": np.array([-1], np.int64),
            },
        ),
        "gelu": model([node("Gelu", ["x"], ["y"])], opset=20),
        "layer normalisation": model([node("LayerNormalization", ["x", "w"], ["y"], axis=-1)], constants={"w": VECTOR}),
        "hard swish and mish": model([node("HardSwish", ["x"], ["h"]), node("Mish", ["h"], ["y"])], opset=18),
        "log of a sum": model([node("ReduceLogSumExp", ["x"], ["y"], axes=[1], keepdims=0)]),
        "best two": model(
            [node("TopK", ["x", "k"], ["y", "z"])], outputs={"y": f, "z": i64}, constants={"k": np.array([2], np.int64)}
        ),
        "shape of the batch": model(
            dynamic, constants={"zero": np.array([0], np.int64), "rest": np.array([3, 1], np.int64)}
        ),
    }


def rows_for(made: ModelProto) -> NDArray[np.float64]:
    """Rows of the model's declared types, as float64."""
    random, blocks = np.random.default_rng(3), []
    for info in made.graph.input:
        width = info.type.tensor_type.shape.dim[1].dim_value
        whole = info.type.tensor_type.elem_type == TensorProto.INT64
        blocks.append(random.integers(0, 4, (COUNT, width)) if whole else random.normal(scale=2.0, size=(COUNT, width)))
    return np.concatenate(blocks, axis=1).astype(np.float32).astype(np.float64)


def outside(made: ModelProto, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a plain session gives, dictionaries as columns."""
    feeds, first = {}, 0
    for info in made.graph.input:
        width = info.type.tensor_type.shape.dim[1].dim_value
        kind = np.int64 if info.type.tensor_type.elem_type == TensorProto.INT64 else np.float32
        feeds[info.name] = rows[:, first : first + width].astype(kind)
        first += width
    session = onnxruntime.InferenceSession(data(made), providers=["CPUExecutionProvider"])
    columns = []
    for result in session.run(None, feeds):
        values = [list(each.values()) for each in result] if isinstance(result, list) else result
        columns.append(np.asarray(values, dtype=np.float64).reshape(len(rows), -1))
    return np.concatenate(columns, axis=1)
