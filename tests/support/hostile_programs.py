"""Programs that want to hang, crash, fill or leave whoever runs them, and how each ends in an enclave child.

What is refused is refused by the gate, in words of ours; what ends the child is told apart by its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from onnx import ModelProto, TensorProto, helper

from tests.unit.nodes.programs.models import data, model, node

REFUSED: Final = "bad-program"
RUNS: Final = "runs"
MEMORY: Final = "enclave-memory"
CPU: Final = "enclave-cpu"
ML: Final = "ai.onnx.ml"
MANY: Final = 1 << 26


def _ints(*values: int) -> Any:
    return np.array(values, np.int64)


def _chain(count: int, operator: str, **attributes: Any) -> ModelProto:
    names = ["x", *(f"v{number}" for number in range(count - 1)), "y"]
    pairs = pairwise(names)
    return model([node(operator, [one], [other], **attributes) for one, other in pairs])


def _doubling(count: int, operator: str = "Concat", **attributes: Any) -> ModelProto:
    """Every node has its operand twice: 2 to the count."""
    names = ["x", *(f"v{number}" for number in range(count - 1)), "y"]
    pairs = pairwise(names)
    return model([node(operator, [one, one], [other], **attributes) for one, other in pairs])


def _filled(operator: str, *operands: Any, **attributes: Any) -> ModelProto:
    """One operator that makes much of little, and a sum of it with the input."""
    constants = {f"c{number}": np.asarray(value) for number, value in enumerate(operands)}
    made = node(operator, list(constants), ["big"], **attributes)
    number = node("Cast", ["big"], ["f"], to=TensorProto.FLOAT)
    total = node("ReduceMax", ["f"], ["m"], keepdims=0)
    return model([made, number, total, node("Add", ["x", "m"], ["y"])], constants=constants)


def _grown(operator: str, second: Any, **attributes: Any) -> ModelProto:
    nodes = [node(operator, ["x", "c"], ["e"], **attributes), node("Relu", ["e"], ["r"]), node("Abs", ["r"], ["y"])]
    return model(nodes, constants={"c": second})


def _subgraph(operator: str, inputs: list[str], **more: Any) -> ModelProto:
    body = helper.make_graph(
        [node("Identity", ["x"], ["b"])], "body", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    )
    name = {"If": "then_branch"}.get(operator, "body")
    graphs = {name: body} | ({"else_branch": body} if operator == "If" else {})
    return model(
        [node(operator, inputs, ["y"], **graphs, **more)], constants={"n": _ints(1 << 62), "t": np.array(True)}
    )


def _functions(levels: int) -> ModelProto:
    """Each calls the one before it twice."""
    made = model([node(f"f{levels - 1}", ["x"], ["y"], domain="own")])
    made.opset_import.add(domain="own", version=1)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for level in range(levels):
        inner, domain = ("Relu", "") if level == 0 else (f"f{level - 1}", "own")
        nodes = [node(inner, ["a"], ["b"], domain=domain), node(inner, ["b"], ["c"], domain=domain)]
        made.functions.append(helper.make_function("own", f"f{level}", ["a"], ["c"], nodes, imports))
    return made


def _external(location: str) -> ModelProto:
    made = model([node("Add", ["x", "w"], ["y"])], constants={"w": np.ones(3, np.float32)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return made


def _divided(divisor: Any, operator: str = "Div", **attributes: Any) -> ModelProto:
    """Whole numbers, of which the least by -1 ends a process."""
    least = np.full(3, np.iinfo(np.int64).min, np.int64)
    nodes = [
        node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        node("Add", ["i", "least"], ["l"]),
        node(operator, ["l", "d"], ["q"], **attributes),
        node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes, constants={"least": least, "d": divisor})


def _divided_by_data(operator: str = "Div") -> ModelProto:
    nodes = [
        node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        node(operator, ["i", "i"], ["q"]),
        node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes)


def _trees(**lists: Any) -> ModelProto:
    """A regressor of one split, with these lists in place of its own."""
    fields: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    return model([node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **(fields | lists))])


def _deep_tree(depth: int) -> ModelProto:
    """A path: every left child splits again."""
    inner, count = range(depth), 2 * depth + 1
    return _trees(
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_modes=["BRANCH_LEQ"] * depth + ["LEAF"] * (depth + 1),
        nodes_values=[0.5] * count,
        nodes_truenodeids=[number + 1 for number in inner] + [0] * (depth + 1),
        nodes_falsenodeids=[depth + 1 + number for number in inner] + [0] * (depth + 1),
        target_treeids=[0] * (depth + 1),
        target_nodeids=list(range(depth, count)),
        target_ids=[0] * (depth + 1),
        target_weights=[1.0] * (depth + 1),
    )


def _slow() -> ModelProto:
    """Hundreds of millions of powers per row, and few numbers."""
    nodes = [
        node("Expand", ["x", "w"], ["e"]),
        node("Reshape", ["e", "s"], ["r"]),
        node("LpPool", ["r"], ["p"], kernel_shape=[1 << 14], p=3),
        node("ReduceMax", ["p"], ["y"], axes=[2]),
    ]
    return model(nodes, inputs={"x": 1}, constants={"w": _ints(1, 1 << 15), "s": _ints(0, 1, 1 << 15)})


def _reshaped(operator: str, *shape: int, **attributes: Any) -> ModelProto:
    nodes = [node("Reshape", ["x", "s"], ["r"]), node(operator, ["r"], ["o"], **attributes), node("Relu", ["o"], ["y"])]
    return model(nodes, inputs={"x": 4}, constants={"s": _ints(0, *shape)})


def _scattered(index: int) -> ModelProto:
    """Writes where it likes."""
    nodes = [
        node("Mul", ["x", "o"], ["u"]),
        node("ScatterElements", ["x", "i", "u"], ["s"], axis=1),
        node("Relu", ["s"], ["y"]),
    ]
    return model(nodes, inputs={"x": 1}, constants={"o": np.ones(1), "i": np.full((1, 1), index, np.int64)})


def _sliced(begin: int, end: int, step: int) -> ModelProto:
    nodes = [node("Slice", ["x", "b", "e", "a", "t"], ["s"]), node("Relu", ["s"], ["y"])]
    return model(nodes, constants={"b": _ints(begin), "e": _ints(end), "a": _ints(1), "t": _ints(step)})


def _support_vectors(**lists: Any) -> ModelProto:
    fields: dict[str, Any] = {
        "coefficients": [1.0, 1.0],
        "kernel_params": [0.1, 0.0, 3.0],
        "kernel_type": "RBF",
        "n_supports": 2,
        "rho": [0.0],
        "support_vectors": [1.0] * 6,
    }
    return model([node("SVMRegressor", ["x"], ["y"], domain=ML, **(fields | lists))])


def _zipped(outputs: int = 1) -> bytes:
    nodes = [
        node("Relu", ["x"], ["scores"]),
        node("ZipMap", ["scores"], ["z"], domain=ML, classlabels_int64s=[0, 1, 2]),
    ]
    made = model(nodes, outputs=["z"])
    for _ in range(1, outputs):
        made.graph.output.add().CopyFrom(made.graph.output[0])
    return data(made)


def _changed(change: Callable[[ModelProto], Any]) -> ModelProto:
    made = model([node("Add", ["x", "w"], ["s"]), node("Relu", ["s"], ["y"])], constants={"w": np.ones(3)})
    change(made)
    return made


def _tensor(change: Callable[[TensorProto], Any]) -> ModelProto:
    return _changed(lambda made: change(made.graph.initializer[0]))


def _mixed() -> ModelProto:
    return model([node("Relu", ["x"], ["r"]), node("Add", ["r", "i"], ["y"])], constants={"i": _ints(1)})


def _gathered(index: int) -> ModelProto:
    nodes = [node("Gather", ["x", "i"], ["g"], axis=1), node("Relu", ["g"], ["y"])]
    return model(nodes, constants={"i": _ints(index)})


def _pooled(**attributes: Any) -> ModelProto:
    nodes = [
        node("Reshape", ["x", "s"], ["r"]),
        node("MaxPool", ["r"], ["p"], **attributes),
        node("Relu", ["p"], ["y"]),
    ]
    return model(nodes, constants={"s": _ints(0, 1, 3)})


def _one_hot(depth: int) -> ModelProto:
    nodes = [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("OneHot", ["i", "d", "v"], ["y"], axis=-1)]
    return model(nodes, inputs={"x": 1}, constants={"d": _ints(depth), "v": np.array([0.0, 1.0])})


HOSTILE: Final[Mapping[str, tuple[str, Callable[[], ModelProto | bytes]]]] = MappingProxyType(
    {
        # what never ends, or grows by itself
        "an endless loop": (REFUSED, lambda: _subgraph("Loop", ["n", "t", "x"])),
        "a branch": (REFUSED, lambda: _subgraph("If", ["t"])),
        "a scan": (REFUSED, lambda: _subgraph("Scan", ["x"], num_scan_inputs=1)),
        "a map over a sequence": (REFUSED, lambda: _subgraph("SequenceMap", ["x"])),
        "functions that double 40 times": (REFUSED, lambda: _functions(40)),
        "operands that double 30 times": (REFUSED, lambda: _doubling(30, axis=1)),
        "operands that double 11 times": (RUNS, lambda: _doubling(11, axis=1)),
        "sums that double 1,000 times": (RUNS, lambda: _doubling(1000, "Sum")),
        "rows that double": (REFUSED, lambda: _doubling(3, axis=0)),
        "two thousand operators": (RUNS, lambda: _chain(2000, "Relu")),
        "more operators than allowed": (REFUSED, lambda: _chain(2001, "Relu")),
        "a cycle": (
            REFUSED,
            lambda: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])], outputs=["b"]),
        ),
        "powers that take minutes": (CPU, _slow),
        # what makes much of little
        "an expanded row": (
            MEMORY,
            lambda: model(
                [node("Expand", ["x", "c"], ["e"]), node("Relu", ["e"], ["y"])],
                {"x": 1},
                constants={"c": _ints(1, MANY)},
            ),
        ),
        "an expanded row of many axes": (REFUSED, lambda: _grown("Expand", _ints(*[1 << 31] * 7, 3))),
        "a tiled row": (REFUSED, lambda: _grown("Tile", _ints(1, MANY))),
        "rows tiled": (REFUSED, lambda: _grown("Tile", _ints(MANY, 1))),
        "a row tiled past the largest number": (REFUSED, lambda: _grown("Tile", _ints(1, 1 << 62))),
        "padding": (MEMORY, lambda: _grown("Pad", _ints(0, 0, 0, MANY))),
        "negative padding": (REFUSED, lambda: _grown("Pad", _ints(0, -(1 << 62), 0, 0))),
        "a filled tensor": (MEMORY, lambda: _filled("ConstantOfShape", _ints(MANY, 8))),
        "a tensor filled past the largest number": (REFUSED, lambda: _filled("ConstantOfShape", _ints(1 << 62, 8))),
        "a tensor filled with negative dimensions": (REFUSED, lambda: _filled("ConstantOfShape", _ints(-1, 4))),
        "a range": (MEMORY, lambda: _filled("Range", _ints(0)[0], _ints(1 << 30)[0], _ints(1)[0])),
        "a range without an end": (REFUSED, lambda: _filled("Range", _ints(0)[0], _ints(8)[0], _ints(0)[0])),
        "one column per class of many": (MEMORY, lambda: _one_hot(MANY)),
        "a negative number of classes": (REFUSED, lambda: _one_hot(-1)),
        # what ends a process
        "the least number by -1": (REFUSED, lambda: _divided(_ints(-1))),
        "the least number modulo -1": (REFUSED, lambda: _divided(_ints(-1), "Mod")),
        "the least number by 0": (REFUSED, lambda: _divided(_ints(0))),
        "a number by itself": (REFUSED, _divided_by_data),
        "a number modulo itself": (REFUSED, lambda: _divided_by_data("Mod")),
        "an index far outside": (REFUSED, lambda: _gathered(1 << 62)),
        "an index just outside": (REFUSED, lambda: _gathered(3)),
        "a kernel that is larger than its row": (REFUSED, lambda: _pooled(kernel_shape=[1 << 31])),
        "a kernel of nothing": (REFUSED, lambda: _pooled(kernel_shape=[0])),
        "strides of nothing": (REFUSED, lambda: _pooled(kernel_shape=[1], strides=[0])),
        "negative pads": (REFUSED, lambda: _pooled(kernel_shape=[1], pads=[-9, -9])),
        "blocks of nothing": (REFUSED, lambda: _reshaped("SpaceToDepth", 1, 2, 2, blocksize=0)),
        "depth in blocks of nothing": (REFUSED, lambda: _reshaped("DepthToSpace", 4, 1, 1, blocksize=0)),
        "groups of nothing": (REFUSED, lambda: _reshaped("Conv", 4, 1, group=0)),
        "neighbours of nothing": (REFUSED, lambda: _reshaped("LRN", 4, 1, 1, size=0)),
        "an average over nothing": (REFUSED, lambda: _reshaped("AveragePool", 1, 4, kernel_shape=[0])),
        "a power of nothing": (RUNS, lambda: _reshaped("LpPool", 1, 4, kernel_shape=[2], p=0)),
        "a shape past the largest number": (REFUSED, lambda: _reshaped("Relu", 1 << 62, 4)),
        "a shape that does not fit": (REFUSED, lambda: _reshaped("Relu", 1 << 40)),
        "steps of nothing": (REFUSED, lambda: _sliced(0, 3, 0)),
        "the least steps": (RUNS, lambda: _sliced(3, 0, -(1 << 63))),
        "a write far outside": (REFUSED, lambda: _scattered(1 << 60)),
        "a write before the first": (REFUSED, lambda: _scattered(-9)),
        "the largest of more than there are": (REFUSED, lambda: _grown("TopK", _ints(1 << 40))),
        "fewer support vectors than it says": (REFUSED, lambda: _support_vectors(support_vectors=[1.0])),
        "many support vectors": (REFUSED, lambda: _support_vectors(n_supports=1 << 40)),
        "fewer coefficients than support vectors": (REFUSED, lambda: _support_vectors(coefficients=[1.0])),
        "fewer parameters than a kernel has": (REFUSED, lambda: _support_vectors(kernel_params=[1.0])),
        "a normaliser of nothing": (REFUSED, lambda: model([node("Normalizer", ["x"], ["y"], domain=ML, norm="L9")])),
        "more columns than there are": (
            MEMORY,
            lambda: model([node("FeatureVectorizer", ["x"], ["y"], domain=ML, inputdimensions=[1 << 40])]),
        ),
        "as many values as no column has": (
            RUNS,
            lambda: model(
                [node("Imputer", ["x"], ["y"], domain=ML, imputed_value_floats=[0.0] * 7, replaced_value_float=0.0)]
            ),
        ),
        "fewer values than keys": (
            REFUSED,
            lambda: model([node("LabelEncoder", ["x"], ["y"], domain=ML, keys_floats=[0.0, 1.0], values_floats=[0.0])]),
        ),
        "a recurrence": (REFUSED, lambda: model([node("LSTM", ["x", "x", "x"], ["y"], hidden_size=1 << 40)])),
        # trees
        "a tree that is its own child": (REFUSED, lambda: _trees(nodes_truenodeids=[0, 0, 0])),
        "a tree of 1,000 levels": (RUNS, lambda: _deep_tree(1000)),
        "a tree of 20,000 levels": (REFUSED, lambda: _deep_tree(20_000)),
        "a child that does not exist": (REFUSED, lambda: _trees(nodes_truenodeids=[9, 0, 0])),
        "a negative child": (REFUSED, lambda: _trees(nodes_truenodeids=[-1, 0, 0])),
        "a column that does not exist": (REFUSED, lambda: _trees(nodes_featureids=[1 << 40, 0, 0])),
        "a column before the first": (REFUSED, lambda: _trees(nodes_featureids=[-1, 0, 0])),
        "a column just outside": (REFUSED, lambda: _trees(nodes_featureids=[3, 0, 0])),
        "a target that does not exist": (REFUSED, lambda: _trees(target_ids=[0, 1 << 30])),
        "many targets": (REFUSED, lambda: _trees(n_targets=1 << 40)),
        "a weight for no leaf": (REFUSED, lambda: _trees(target_nodeids=[1, 99])),
        "lists of different lengths": (REFUSED, lambda: _trees(nodes_values=[0.5])),
        "a mode that does not exist": (REFUSED, lambda: _trees(nodes_modes=["X", "LEAF", "LEAF"])),
        # what depends on other rows, on chance or on state
        "random numbers": (REFUSED, lambda: model([node("RandomNormalLike", ["x"], ["y"])])),
        "a random choice": (REFUSED, lambda: model([node("Bernoulli", ["x"], ["y"])])),
        "dropout in training": (
            REFUSED,
            lambda: model(
                [node("Dropout", ["x", "r", "t"], ["y"])], constants={"r": np.array(0.5), "t": np.array(True)}
            ),
        ),
        "normalisation in training": (
            REFUSED,
            lambda: model(
                [node("BatchNormalization", ["x", *"abcd"], ["y"], training_mode=1)],
                constants=dict.fromkeys("abcd", np.ones(3)),
            ),
        ),
        "what is not zero": (REFUSED, lambda: model([node("NonZero", ["x"], ["y"])])),
        "a sum down the rows": (
            REFUSED,
            lambda: model(
                [node("CumSum", ["x", "a"], ["s"]), node("Relu", ["s"], ["y"])], constants={"a": _ints(0)[0]}
            ),
        ),
        "softmax down the rows": (REFUSED, lambda: model([node("Softmax", ["x"], ["y"], axis=0)])),
        # what would leave
        "weights in another file": (REFUSED, lambda: _external("/etc/passwd")),
        "weights in a file above": (REFUSED, lambda: _external("../../etc/passwd")),
        "weights in memory": (REFUSED, lambda: _external("*/_ORT_MEM_ADDR_/*")),
        "an operator of another domain": (REFUSED, lambda: model([node("Gelu", ["x"], ["y"], domain="com.microsoft")])),
        "an operator of nobody": (REFUSED, lambda: model([node("Exec", ["x"], ["y"])])),
        "text": (REFUSED, lambda: model([node("StringNormalizer", ["x"], ["y"])])),
        "an expression": (REFUSED, lambda: model([node("RegexFullMatch", ["x"], ["y"], pattern="(a+)+$")], opset=20)),
        # what is not what it says
        "tensors whose dimensions lie": (REFUSED, lambda: _tensor(lambda tensor: tensor.dims.append(1 << 40))),
        "tensors of negative dimensions": (REFUSED, lambda: _tensor(lambda tensor: tensor.dims.extend([-1, -1]))),
        "tensors of a type that does not exist": (
            REFUSED,
            lambda: _tensor(lambda tensor: setattr(tensor, "data_type", 99)),
        ),
        "a tensor of texts": (
            REFUSED,
            lambda: _tensor(lambda tensor: setattr(tensor, "data_type", TensorProto.STRING)),
        ),
        "sparse weights": (REFUSED, lambda: _changed(lambda made: made.graph.sparse_initializer.add())),
        "training information": (REFUSED, lambda: _changed(lambda made: made.training_info.add())),
        "types that do not meet": (REFUSED, _mixed),
        "shapes that do not meet": (REFUSED, lambda: _grown("Add", np.ones(7))),
        "an attribute of another type": (REFUSED, lambda: model([node("LeakyRelu", ["x"], ["y"], alpha="much")])),
        "an attribute that does not exist": (REFUSED, lambda: model([node("Relu", ["x"], ["y"], consumed_inputs=[1])])),
        "an attribute twice": (
            REFUSED,
            lambda: _changed(
                lambda made: made.graph.node[1].attribute.extend([helper.make_attribute("alpha", 1.0)] * 2)
            ),
        ),
        "a graph in an attribute": (
            REFUSED,
            lambda: _changed(
                lambda made: made.graph.node[1].attribute.append(helper.make_attribute("alpha", made.graph))
            ),
        ),
        "an operator set of tomorrow": (REFUSED, lambda: model([node("Relu", ["x"], ["y"])], opset=999)),
        "a name of a megabyte": (
            REFUSED,
            lambda: model([node("Relu", ["x"], ["a" * (1 << 20)])], outputs=["a" * (1 << 20)]),
        ),
        "a label of a megabyte": (
            RUNS,
            lambda: model(
                [node("LabelEncoder", ["x"], ["y"], domain=ML, keys_floats=[0.0], values_strings=["a" * (1 << 20)])]
            ),
        ),
        "a dictionary of a name that is not text": (REFUSED, lambda: _zipped().replace(b"scores", b"sc\xffres")),
        "the same dictionary twice": (REFUSED, lambda: _zipped(2)),
        "no output": (REFUSED, lambda: _changed(lambda made: made.graph.ClearField("output"))),
        "the input as output": (REFUSED, lambda: _changed(lambda made: made.graph.output.add(name="w"))),
        "a million operators of two bytes": (REFUSED, lambda: b"\x3a\x80\x80\x80\x01" + b"\x0a\0" * (1 << 20)),
        "texts instead of a model": (REFUSED, lambda: b"#!/bin/sh\nrm -rf /\n"),
        "a pickle": (REFUSED, lambda: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."),
        "another format of the engine": (REFUSED, lambda: b"\x08\x00\x00\x00ORTM" + bytes(64)),
    }
)


def program(name: str) -> bytes:
    """Serialised."""
    made = HOSTILE[name][1]()
    return made if isinstance(made, bytes) else data(made)
