"""Every operator against ONNX Runtime, and every linear one against its own affine map."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.operators import TABLE
from nodes.programs.runtime import evaluate
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64
W34 = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -0.75, 3.0], [-2.0, 1.0, 0.125, -1.0]])


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=I64)


def cases() -> dict[str, tuple[ModelProto, bool]]:
    """Model, and whether it is linear."""
    found: dict[str, tuple[ModelProto, bool]] = {}

    def case(label: str, nodes: Any, *, linear: bool = False, **options: Any) -> None:
        nodes = nodes if isinstance(nodes, list) else [nodes]
        found[label] = (model(nodes, **options), linear)

    vector = {"c": [1.0, -2.0, 0.5]}
    for name in ("Add", "Sub", "Mul", "Div"):
        case(name, node(name, ["x", "c"], ["y"]), constants=vector, linear=True)
        case(f"{name}-row-constant", node(name, ["x", "c"], ["y"]), constants={"c": [vector["c"]]}, linear=True)
    for name in ("Add", "Sub", "Mul", "MatMul"):
        left = {"c": W34.T} if name == "MatMul" else vector
        inner = [node("Unsqueeze", ["x", "axes"], ["u"]), node("MatMul", ["c", "u"], ["y"])]
        nodes = inner if name == "MatMul" else node(name, ["c", "x"], ["y"])
        case(f"{name}-constant-first", nodes, constants=left | {"axes": ints(2)}, linear=True)
    for name in ("Sub", "Div"):
        case(f"{name}-reversed", node(name, ["c", "x"], ["y"]), constants=vector, linear=name == "Sub")
    for name in ("Mul", "Div", "Max", "Min"):
        case(f"{name}-two-rows", [node("Exp", ["x"], ["e"]), node(name, ["x", "e"], ["y"])])
    for name in ("Sum", "Mean"):
        case(name, node(name, ["x", "c", "x"], ["y"]), constants=vector, linear=True)
    case("Neg", node("Neg", ["x"], ["y"]), linear=True)
    case("Identity", node("Identity", ["x"], ["y"]), linear=True)
    case("Dropout", node("Dropout", ["x"], ["y"]), linear=True)
    case("Cast", node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), linear=True)
    case(
        "Cast-integers",
        [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)],
    )
    for name in ("Max", "Min"):
        case(name, node(name, ["x", "c"], ["y"]), constants=vector)
    case("Pow", node("Pow", ["x", "c"], ["y"]), constants={"c": [2.0, 1.0, 3.0]})
    for name in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"):
        case(
            name,
            [node(name, ["x", "c"], ["b"]), node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)],
            constants={"c": [0.0, 0.5, 0.25]},
        )
    for name in ("And", "Or"):
        case(
            name,
            [
                node("Greater", ["x", "c"], ["a"]),
                node("Less", ["x", "d"], ["b"]),
                node(name, ["a", "b"], ["z"]),
                node("Not", ["z"], ["n"]),
                node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
            ],
            constants={"c": [0.0], "d": [0.7]},
        )
    case(
        "Where",
        [node("Greater", ["x", "c"], ["b"]), node("Where", ["b", "x", "c"], ["y"])],
        constants=vector,
    )
    case("Clip", node("Clip", ["x", "low", "high"], ["y"]), constants={"low": np.float32(-0.5), "high": np.float32(1)})
    case("Clip-high-only", node("Clip", ["x", "", "high"], ["y"]), constants={"high": np.float32(0.25)})
    case("Clip-attributes", node("Clip", ["x"], ["y"], min=-0.5, max=0.5), opset=10)
    case("LeakyRelu", node("LeakyRelu", ["x"], ["y"], alpha=0.2))
    for name in ("Sigmoid", "Softplus", "Relu", "Tanh", "Exp", "Abs", "Sign", "Floor", "Ceil", "Round", "Reciprocal"):
        case(name, node(name, ["x"], ["y"]))
    for name in ("Log", "Sqrt"):
        case(name, [node("Abs", ["x"], ["a"]), node(name, ["a"], ["y"])])

    made = node("Constant", [], ["k"], value_floats=[1.0, 2.0, 3.0])
    case("Constant", [made, node("Add", ["x", "k"], ["y"])], linear=True)
    case("Concat", node("Concat", ["x", "x"], ["y"], axis=-1), linear=True)
    case(
        "Slice",
        node("Slice", ["x", "s", "e", "a"], ["y"]),
        linear=True,
        constants={"s": ints(1), "e": ints(3), "a": ints(1)},
    )
    case(
        "Slice-backwards",
        node("Slice", ["x", "s", "e", "a", "t"], ["y"]),
        linear=True,
        constants={"s": ints(-1), "e": ints(-(2**31)), "a": ints(-1), "t": ints(-1)},
    )
    case("Slice-attributes", node("Slice", ["x"], ["y"], starts=[0], ends=[2], axes=[1]), opset=9, linear=True)
    split = node("Split", ["x", "l"], ["a", "b"], axis=1)
    case("Split", [split, node("Add", ["a", "b"], ["y"])], constants={"l": ints(1, 2)}, linear=True)
    case(
        "Split-attributes",
        [node("Split", ["x"], ["a", "b"], axis=1, split=[2, 1]), node("Identity", ["b"], ["y"])],
        opset=11,
        linear=True,
    )
    case(
        "Split-18",
        [node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), node("Identity", ["b"], ["y"])],
        opset=18,
        linear=True,
    )
    case("Gather", node("Gather", ["x", "i"], ["y"], axis=1), constants={"i": ints(2, 0, -1)}, linear=True)
    case("Gather-one", node("Gather", ["x", "i"], ["y"], axis=1), constants={"i": np.array(1, dtype=I64)}, linear=True)
    case("Reshape", node("Reshape", ["x", "s"], ["y"]), constants={"s": ints(0, 1, -1)}, linear=True)
    case("Reshape-minus-one", node("Reshape", ["x", "s"], ["y"]), constants={"s": ints(-1, 3, 1)}, linear=True)
    turned = [
        node("Reshape", ["x", "s"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("Flatten", ["t"], ["y"]),
    ]
    case("Transpose", turned, inputs={"x": 6}, constants={"s": ints(0, 2, 3)}, linear=True)
    case("Flatten", turned, inputs={"x": 4}, constants={"s": ints(0, 2, 2)}, linear=True)
    pair = [node("Unsqueeze", ["x", "a"], ["u"]), node("Squeeze", ["u", "a"], ["y"])]
    case("Squeeze", pair, constants={"a": ints(1)}, linear=True)
    case("Unsqueeze", [node("Unsqueeze", ["x"], ["y"], axes=[2])], opset=11, linear=True)
    case("Expand", node("Expand", ["x", "s"], ["y"]), inputs={"x": 1}, constants={"s": ints(1, 4)}, linear=True)

    case("MatMul", node("MatMul", ["x", "w"], ["y"]), constants={"w": W34}, linear=True)
    case("MatMul-vector", node("MatMul", ["x", "w"], ["y"]), constants={"w": W34[:, 0]}, linear=True)
    case(
        "Gemm",
        node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0),
        linear=True,
        constants={"w": W34, "b": [1.0, 2.0, 3.0, 4.0]},
    )
    case("Gemm-transposed", node("Gemm", ["x", "w"], ["y"], transB=1), constants={"w": W34.T}, linear=True)
    case(
        "Gemm-added-rows",
        [node("Gemm", ["x", "w"], ["g"]), node("Gemm", ["x", "w", "g"], ["y"])],
        constants={"w": W34},
        linear=True,
    )
    for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"):
        linear = name in ("ReduceSum", "ReduceMean")
        case(name, node(name, ["x", "a"], ["y"]), constants={"a": ints(1)}, opset=18, linear=linear)
        case(f"{name}-attribute", node(name, ["x"], ["y"], axes=[-1], keepdims=0), opset=11, linear=linear)
    case("Softmax", node("Softmax", ["x"], ["y"]))
    case(
        "Softmax-11",
        [node("Reshape", ["x", "s"], ["r"]), node("Softmax", ["r"], ["y"], axis=1)],
        inputs={"x": 4},
        constants={"s": ints(0, 2, 2)},
        opset=11,
    )
    case("LogSoftmax", node("LogSoftmax", ["x"], ["y"], axis=1))
    case("ArgMax", node("ArgMax", ["x"], ["y"], axis=1), outputs={"y": TensorProto.INT64})

    ml = {"domain": "ai.onnx.ml"}
    weights = [float(v) for v in W34.T.reshape(-1)]
    case("Scaler", node("Scaler", ["x"], ["y"], offset=[1.0, 2.0, 3.0], scale=[0.5, 2.0, -1.0], **ml), linear=True)
    case(
        "LinearRegressor",
        node("LinearRegressor", ["x"], ["y"], coefficients=weights, targets=4, intercepts=[1.0, 2.0, 3.0, 4.0], **ml),
        linear=True,
    )
    for norm in ("L1", "L2"):
        case(f"Normalizer-{norm}", node("Normalizer", ["x"], ["y"], norm=norm, **ml))
    case("Normalizer-MAX", [node("Abs", ["x"], ["a"]), node("Normalizer", ["a"], ["y"], norm="MAX", **ml)])
    for transform in ("NONE", "LOGISTIC", "SOFTMAX"):
        classifier = node(
            "LinearClassifier",
            ["x"],
            ["label", "y"],
            coefficients=weights,
            intercepts=[0.5, 0, 0, 1.0],
            classlabels_ints=[3, 5, 7, 9],
            post_transform=transform,
            **ml,
        )
        outputs = {"label": TensorProto.INT64, "y": TensorProto.FLOAT}
        case(f"LinearClassifier-{transform}", classifier, outputs=outputs)
        case(f"LinearClassifier-{transform}-scores", classifier, linear=transform == "NONE")
    linear_cases(case)
    return found


def linear_cases(case: Any) -> None:
    """Operators that pick, repeat, pad, add up and average by constants."""
    image = node("Reshape", ["x", "s"], ["i"])
    square, deep = {"s": ints(0, 2, 4, 4)}, {"s": ints(0, 4, 2, 2)}
    kernel = np.linspace(-1, 1, 36).reshape(2, 2, 3, 3)

    def on_image(
        label: str, made: Any, constants: dict[str, Any] | None = None, width: int = 32, **options: Any
    ) -> None:
        shape = {32: square, 16: deep}[width]
        nodes = [image, made]
        case(label, nodes, inputs={"x": width}, constants=shape | (constants or {}), linear=True, **options)

    on_image("Conv", node("Conv", ["i", "w", "b"], ["y"], pads=[1, 1, 1, 1]), {"w": kernel, "b": [0.5, -2.0]})
    on_image("Conv-strides", node("Conv", ["i", "w"], ["y"], strides=[2, 1], auto_pad="SAME_LOWER"), {"w": kernel})
    on_image("Conv-groups", node("Conv", ["i", "w"], ["y"], group=2, dilations=[1, 1]), {"w": kernel[:, :1]})
    on_image("AveragePool", node("AveragePool", ["i"], ["y"], kernel_shape=[2, 2], pads=[1, 0, 0, 1]))
    counted = node("AveragePool", ["i"], ["y"], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1, strides=[2, 2])
    on_image("AveragePool-padding", counted)
    on_image("GlobalAveragePool", node("GlobalAveragePool", ["i"], ["y"]))
    parameters = {"scale": [1.0, -2.0], "shift": [0.5, 1.0], "mean": [3.0, 0.25], "variance": [1.0, 4.0]}
    on_image("BatchNormalization", node("BatchNormalization", ["i", *parameters], ["y"]), parameters)
    on_image("Pad", node("Pad", ["i", "p", "v"], ["y"]), {"p": ints(0, 0, 1, 0, 0, 0, 2, -1), "v": np.float32(1.5)})
    on_image("Pad-reflect", node("Pad", ["i", "p"], ["y"], mode="reflect"), {"p": ints(0, 0, 1, 2, 0, 0, 1, 0)})
    on_image("DepthToSpace", node("DepthToSpace", ["i"], ["y"], blocksize=2, mode="CRD"), width=16)
    on_image("SpaceToDepth", node("SpaceToDepth", ["i"], ["y"], blocksize=2))
    on_image("Trilu", node("Trilu", ["i", "k"], ["y"], upper=0), {"k": np.array(-1, dtype=I64)})
    on_image("Einsum", node("Einsum", ["i", "w"], ["y"], equation="bchw,hk->bkc"), {"w": W34.T[:, :2]})
    on_image("Einsum-ellipsis", node("Einsum", ["i", "w"], ["y"], equation="b...w,wk->b...k"), {"w": W34.T})
    case("Tile", node("Tile", ["x", "r"], ["y"]), constants={"r": ints(1, 3)}, linear=True)
    case("CumSum", node("CumSum", ["x", "a"], ["y"]), constants={"a": np.array(1, dtype=I64)}, linear=True)
    reverse = node("CumSum", ["x", "a"], ["y"], exclusive=1, reverse=1)
    case("CumSum-reverse", reverse, constants={"a": np.array(-1, dtype=I64)}, linear=True)
    condition = np.array([[True, False, True]])
    case("Compress", node("Compress", ["x", "k"], ["y"], axis=1), constants={"k": condition[0]}, linear=True)
    chosen = node("Where", ["k", "x", "c"], ["y"])
    case("Where-constant", chosen, constants={"k": condition, "c": [1.0, -2.0, 0.5]}, linear=True)
    picked = node("ArrayFeatureExtractor", ["x", "i"], ["y"], domain="ai.onnx.ml")
    case("ArrayFeatureExtractor", picked, constants={"i": ints(2, 0)}, linear=True)
    turned = [node("Shape", ["x"], ["h"], start=1), node("Expand", ["c", "h"], ["e"]), node("Add", ["x", "e"], ["y"])]
    case("Shape", turned, constants={"c": [2.5]}, opset=18, linear=True)


CASES = cases()


def oracle(made: ModelProto, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(data(made), providers=["CPUExecutionProvider"])
    inputs = made.graph.input
    feeds = {inputs[0].name: rows.astype(np.float32)}
    results = session.run(None, feeds)
    return np.concatenate([np.asarray(r, dtype=np.float64).reshape(len(rows), -1) for r in results], axis=1)


def rows_for(made: ModelProto) -> NDArray[np.float64]:
    width = made.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    rows = np.random.default_rng(7).normal(scale=2.0, size=(17, width))
    return rows.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("label", CASES)
def test_an_operator_gives_what_onnx_runtime_gives(label: str) -> None:
    made, _ = CASES[label]
    rows = rows_for(made)
    np.testing.assert_allclose(evaluate(check(data(made)), rows), oracle(made, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("label", [label for label, (_, linear) in CASES.items() if linear])
def test_the_affine_map_of_a_linear_operator_gives_what_the_program_gives(label: str) -> None:
    made, _ = CASES[label]
    program, rows = check(data(made)), rows_for(made)
    compiled = affine(program)
    np.testing.assert_allclose(rows @ compiled.weights + compiled.bias, evaluate(program, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("label", [label for label, (_, linear) in CASES.items() if not linear])
def test_an_operator_that_is_not_linear_is_refused_by_name(label: str) -> None:
    from schemas.errors import BadProgram

    made, _ = CASES[label]
    nonlinear = {n.op_type for n in made.graph.node} - {"Reshape", "Identity"}
    with pytest.raises(BadProgram, match="is not linear") as caught:
        affine(check(data(made)))
    assert caught.value.operator in nonlinear
    assert str(caught.value).startswith(str(caught.value.operator))


def test_every_operator_of_the_table_is_compared_with_onnx_runtime() -> None:
    compared = {n.op_type for made, _ in CASES.values() for n in made.graph.node}
    on_sums_only = {"GatherElements", "GatherND"}  # never on rows: compared in the backend cases
    assert {name for _, name in TABLE} <= compared | on_sums_only
