"""Programs made from a few numbers, on the renter's side: a linear model from weights, the sum of a column. Pure.

What is built is an ordinary ONNX model and goes through `check` like any other.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper

from nodes.programs.tensors import tensor_of
from nodes.programs.values import Array
from schemas.errors import BadProgram

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8
CONSTANT_ROWS = frozenset({"bias", "intercept"})
MOST_WEIGHT_LINES = 10_000


def linear_from_csv(text: str) -> bytes:
    """The linear model of a table of weights: a header, then a line per input column.

    The header is `name,weight` for one output, or `name,<output>,<output>…` for several. A line named `bias` or
    `intercept` holds the constants; it may be missing. Raises BadProgram naming the line (counted from 1).
    """
    lines = [line for line in csv.reader(text.removeprefix("\ufeff").splitlines()) if line]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise BadProgram("the weights need a header `name,weight` and a line for each column")
    if len(lines) > MOST_WEIGHT_LINES:
        raise BadProgram(f"the weights have {len(lines):,} lines; at most {MOST_WEIGHT_LINES:,} are allowed")
    outputs = [name.strip() for name in lines[0][1:]]
    weights: dict[str, list[float]] = {}
    bias: list[float] | None = None
    for number, line in enumerate(lines[1:], start=2):
        name, values = line[0].strip(), _numbers(line, number, len(outputs))
        if name.lower() in CONSTANT_ROWS:
            if bias is not None:
                raise BadProgram(f"line {number} of the weights gives the bias a second time")
            bias = values
        elif not name or name in weights:
            raise BadProgram(f"line {number} of the weights: the column {name!r} is empty or named twice")
        else:
            weights[name] = values
    return linear(weights, bias or [0.0] * len(outputs), outputs)


def _numbers(line: Sequence[str], number: int, expected: int) -> list[float]:
    if len(line) != expected + 1:
        raise BadProgram(f"line {number} of the weights has {len(line)} fields; the header has {expected + 1}")
    try:
        values = [float(field) for field in line[1:]]
    except ValueError as error:
        raise BadProgram(f"line {number} of the weights: {str(error).capitalize()}") from error
    if not all(math.isfinite(value) for value in values):
        raise BadProgram(f"line {number} of the weights is not finite")
    return values


def linear(
    weights: Mapping[str, Sequence[float]], bias: Sequence[float], outputs: Sequence[str] = ("weight",)
) -> bytes:
    """`result = x @ weights + bias`: a matrix input whose columns are the keys of `weights`, in their order.

    Each entry of `weights` and `bias` has one number per output. One output called `weight` is renamed `result`.
    Raises BadProgram when lengths differ.
    """
    if not weights or any(len(row) != len(bias) for row in weights.values()) or len(bias) != len(outputs):
        raise BadProgram("every column needs one weight per output")
    if not all(outputs) or len(set(outputs)) != len(outputs):
        raise BadProgram("the outputs of the weights need different names")
    names = ["result"] if list(outputs) == ["weight"] else list(outputs)
    whole = names[0] if len(names) == 1 else "results"
    constants: dict[str, Array] = {
        "bias": np.array(bias, dtype=np.float64),
        "weights": np.array(list(weights.values()), dtype=np.float64),
    }
    nodes = [helper.make_node("Gemm", ["columns", "weights", "bias"], [whole])]
    if len(names) > 1:
        constants["lengths"] = np.ones(len(names), dtype=np.int64)
        nodes.append(helper.make_node("Split", ["results", "lengths"], names, axis=1))
    return _model("columns", list(weights), nodes, constants, names)


def linear_of_text(
    numbers: Mapping[str, float],
    texts: Mapping[str, tuple[Mapping[str, float], float]],
    constant: float,
    output: str,
) -> bytes:
    """A linear model with one input [N, 1] per column: doubles, and text whose weight depends on what it is.

    `texts` has per column the weights of the texts that are known, and that of all others.
    """
    rest = sum(other for _, other in texts.values())
    constants: dict[str, Array] = {"/constant": np.array([constant + rest], dtype=np.float64)}
    nodes, terms = [], ["/constant"]
    if numbers:
        constants["/weights"] = np.array(list(numbers.values()), dtype=np.float64)[:, None]
        nodes.append(helper.make_node("Concat", list(numbers), ["/numbers"], axis=1))
        nodes.append(helper.make_node("MatMul", ["/numbers", "/weights"], ["/of numbers"]))
        terms.append("/of numbers")
    for at, (column, (known, other)) in enumerate(texts.items()):
        rows, flags, wide, weights, made = (f"/{at}/{name}" for name in ("rows", "flags", "wide", "weights", "term"))
        constants["/each"] = np.array([-1], dtype=np.int64)
        constants[weights] = np.array([each - other for each in known.values()], dtype=np.float64)[:, None]
        one_hot = {"domain": "ai.onnx.ml", "cats_strings": list(known), "zeros": 1}
        nodes += [
            helper.make_node("Reshape", [column, "/each"], [rows]),
            helper.make_node("OneHotEncoder", [rows], [flags], **one_hot),
            helper.make_node("Cast", [flags], [wide], to=TensorProto.DOUBLE),
            helper.make_node("MatMul", [wide, weights], [made]),
        ]
        terms.append(made)
    sums = [*(f"/{at}/sum" for at in range(len(terms) - 2)), output]
    for before, term, after in zip([terms[0], *sums], terms[1:], sums, strict=False):
        nodes.append(helper.make_node("Add", [before, term], [after]))
    inputs = {**dict.fromkeys(numbers, TensorProto.DOUBLE), **dict.fromkeys(texts, TensorProto.STRING)}
    return _serialised({name: (kind, 1) for name, kind in inputs.items()}, nodes, constants, [output], {})


def identity(columns: Sequence[str]) -> bytes:
    """The named columns as they are."""
    nodes = [helper.make_node("Identity", ["columns"], ["same"])]
    return _model("columns", list(columns), nodes, {}, ["same"])


def aggregate_sum(column: str) -> bytes:
    """The sum of one named column over all rows: an input [N, 1] with the column's name, a result [1, 1]."""
    if not column:
        raise BadProgram("the column to sum needs a name")
    axes: Array = np.array([0], dtype=np.int64)
    node = helper.make_node("ReduceSum", [column, f"{column}/axes"], [f"sum_{column}"], keepdims=1)
    return _model(column, [column], [node], {f"{column}/axes": axes}, [f"sum_{column}"])


def _model(
    name: str, columns: list[str], nodes: Sequence[NodeProto], constants: Mapping[str, Array], outputs: Sequence[str]
) -> bytes:
    """The serialised model of doubles, with one input [N, columns]."""
    inputs = {name: (TensorProto.DOUBLE, len(columns))}
    return _serialised(inputs, nodes, constants, outputs, {"columns": json.dumps(columns)})


def _serialised(
    inputs: Mapping[str, tuple[int, int]],
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array],
    outputs: Sequence[str],
    said: Mapping[str, str],
) -> bytes:
    """A model of inputs of some type and width, whose outputs are doubles."""
    graph = helper.make_graph(
        nodes,
        "program",
        [helper.make_tensor_value_info(name, kind, ["N", width]) for name, (kind, width) in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.DOUBLE, None) for output in outputs],
        [tensor_of(array, constant) for constant, array in constants.items()],
    )
    domains = sorted({"", *(node.domain for node in nodes)})
    opsets = [helper.make_opsetid(domain, ML_OPSET if domain else OPSET) for domain in domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sublet")
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True))
