"""The gate for programs: bytes from anybody become a `Program`, or are refused with the reason. Pure.

The order matters: each step relies on the ones before it. Size; parse; drop what the format does not define; versions;
counts; tensors as long as their dimensions say and never in another file; inputs; operators from the table and no
graphs inside them; a trial run of three rows, which is this package's shape inference: it runs on the very engine that
will run the batches, under bounds that operators apply before they make a value; then the model is written again from
what was understood, and only that (`canonical`) is hashed and sent on.

It runs inside the enclave's locked child process: no files, threads or other processes, and no import after the first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from nodes.programs.canonical import canonical_model
from nodes.programs.graph import constants_of, is_name, nodes_of
from nodes.programs.interpret import Run, input_values, run
from nodes.programs.limits import ProgramLimits
from nodes.programs.operators import ML
from nodes.programs.program import Input, Node, Program
from nodes.programs.tensors import widened
from nodes.programs.values import Array, Context, Kind, PlainRows, Value
from schemas.errors import BadProgram

TRIAL_ROWS = 3
INPUT_TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT64: "int64",
    TensorProto.INT32: "int32",
    TensorProto.BOOL: "bool",
}


def check(data: bytes, *, limits: ProgramLimits | None = None) -> Program:
    """The program that `data` (a serialised ONNX ModelProto) holds.

    Raises BadProgram, and nothing else, for every `data`; `operator` names the operator at fault, if one is.
    `check(program.canonical)` gives the same program and digest again.
    """
    limits = limits or ProgramLimits()
    model = _parsed(data, limits)
    versions = _versions(model, limits)
    graph = model.graph
    _require_counts(model, graph, limits)
    constants = constants_of(graph, limits)
    inputs = _inputs(graph, constants, limits)
    names, width = tuple(each.name for each in inputs), sum(each.width for each in inputs)
    matrix = width > len(inputs)
    outputs = _output_names(graph, limits)
    nodes = nodes_of(graph, versions, frozenset(names) | frozenset(constants), outputs, limits)
    used = {name for node in nodes for name in node.inputs} | set(outputs)
    typed = {name: array for name, array in constants.items() if name in used}
    constants = {name: widened(array) for name, array in typed.items()}
    zeros = input_values(inputs, np.zeros((TRIAL_ROWS, width)))
    trial = _trial(nodes, constants, zeros, outputs, limits)
    columns = _column_names(model, width) if matrix else ()
    canonical = canonical_model(nodes, typed, graph, versions, columns)
    return Program(
        canonical=canonical,
        digest=hashlib.sha256(canonical).hexdigest(),
        input_names=names,
        inputs=inputs,
        matrix=matrix,
        column_names=columns,
        width_in=width,
        width_out=sum(value.elements for value in trial.outputs),
        output_names=_element_names(outputs, trial.outputs),
        sum_rows=trial.outputs[0].kind is not Kind.ROWS,
        operators=frozenset(node.operator for node in nodes),
        live_row_elements=max(1, trial.live_row_elements),
        nodes=nodes,
        constants=constants,
        outputs=outputs,
        limits=limits,
    )


def _parsed(data: bytes, limits: ProgramLimits) -> ModelProto:
    if not data:
        raise BadProgram("the program is empty")
    if len(data) > limits.program_bytes_max:
        raise BadProgram(f"the program has {len(data):,} bytes; at most {limits.program_bytes_max:,} are allowed")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError, ValueError) as error:
        raise BadProgram("the program is not an ONNX file") from error
    model.DiscardUnknownFields()
    if not model.HasField("graph"):
        raise BadProgram("the program is not an ONNX file: it has no graph")
    return model


def _versions(model: ModelProto, limits: ProgramLimits) -> Mapping[str, int]:
    """Operator set version per domain, "" for ai.onnx."""
    if not limits.ir_version_min <= model.ir_version <= limits.ir_version_max:
        low, high = limits.ir_version_min, limits.ir_version_max
        raise BadProgram(f"the program has IR version {model.ir_version}; {low} to {high} are read")
    ranges = {"": (limits.opset_min, limits.opset_max), ML: (limits.ml_opset_min, limits.ml_opset_max)}
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if domain not in ranges:
            continue  # its operators are not in the table; a domain that is imported and never used does no harm
        low, high = ranges[domain]
        if versions.get(domain, entry.version) != entry.version or not low <= entry.version <= high:
            raise BadProgram(f"operator set {entry.version} of {domain or 'ai.onnx'}: one of {low} to {high} is read")
        versions[domain] = entry.version
    if not versions:
        raise BadProgram("the program does not say which operator set it uses")
    return versions


def _require_counts(model: ModelProto, graph: GraphProto, limits: ProgramLimits) -> None:
    if len(model.functions) or len(model.training_info):
        raise BadProgram("the program brings functions or training information; export it for inference, inlined")
    if len(graph.sparse_initializer):
        raise BadProgram("the program has sparse weights; store them dense")
    for count, most, what in (
        (len(graph.node), limits.nodes_max, "operators"),
        (len(graph.initializer), limits.initialisers_max, "initialisers"),
        (len(graph.input), limits.inputs_max + limits.initialisers_max, "inputs"),
        (len(graph.output), limits.outputs_max, "outputs"),
    ):
        if count > most:
            raise BadProgram(f"the program has {count:,} {what}; at most {most:,} are allowed")


def _inputs(graph: GraphProto, constants: Mapping[str, Array], limits: ProgramLimits) -> tuple[Input, ...]:
    infos = [info for info in graph.input if info.name not in constants]
    if not infos:
        raise BadProgram("the program has no input")
    names = tuple(info.name for info in infos)
    if len(set(names)) != len(names) or not all(is_name(name, limits) for name in names):
        raise BadProgram("the program's inputs need different names")
    if len(infos) > limits.inputs_max:
        raise BadProgram(f"the program has {len(infos):,} inputs; at most {limits.inputs_max:,} are allowed")
    inputs = tuple(map(_input, infos))
    width = sum(each.width for each in inputs)
    if any(each.width < 1 for each in inputs) or width > limits.columns_max:
        raise BadProgram(f"the program has {width:,} columns; 1 to {limits.columns_max:,} are allowed")
    return inputs


def _input(info: ValueInfoProto) -> Input:
    shape = _row_shape(info)
    dtype = np.dtype(INPUT_TYPES[info.type.tensor_type.elem_type])
    return Input(info.name, shape[0] if shape else 1, len(shape) + 1, dtype)


def _row_shape(info: ValueInfoProto) -> tuple[int, ...]:
    """Shape of one row: () or (columns,). The first axis must be free, because batches differ in length."""
    name = info.name[:64]
    if not info.type.HasField("tensor_type") or info.type.tensor_type.elem_type not in INPUT_TYPES:
        raise BadProgram(f"the input {name} must be a tensor of float, double, float16, int64, int32 or bool")
    if not info.type.tensor_type.HasField("shape"):
        raise BadProgram(f"the input {name} does not say its shape; declare it as [N, columns]")
    dims = info.type.tensor_type.shape.dim
    if len(dims) not in (1, 2):
        raise BadProgram(f"the input {name} has {len(dims)} axes; a table has rows and columns: [N, F], [N, 1] or [N]")
    if dims[0].HasField("dim_value"):
        raise BadProgram(f"the input {name} has a fixed number of rows; export it with a free first axis")
    if len(dims) == 2 and not dims[1].HasField("dim_value"):
        raise BadProgram(f"the input {name} does not say its number of columns; declare it as [N, columns]")
    return tuple(dim.dim_value for dim in dims[1:])


def _output_names(graph: GraphProto, limits: ProgramLimits) -> tuple[str, ...]:
    names = tuple(info.name for info in graph.output)
    if not names or len(set(names)) != len(names) or not all(is_name(name, limits) for name in names):
        raise BadProgram("the program needs outputs with different names")
    return names


def _trial(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    inputs: Mapping[str, Value],
    outputs: Sequence[str],
    limits: ProgramLimits,
) -> Run:
    """Run rows of zeros. What every operator admits there it admits for any number of rows: rows are independent."""
    trial = run(nodes, constants, inputs, outputs, Context(PlainRows(), limits))
    kinds = {value.kind for value in trial.outputs}
    if Kind.CONSTANT in kinds:
        raise BadProgram("an output of the program does not depend on its input")
    if Kind.ROWS in kinds and len(kinds) > 1:
        raise BadProgram("the program gives both a result per row and a sum over rows; make it two programs")
    _require_results(trial.outputs, limits)
    return trial


def _require_results(outputs: Sequence[Value], limits: ProgramLimits) -> None:
    width = sum(value.elements for value in outputs)
    if not 1 <= width <= limits.columns_max:
        raise BadProgram(f"the program gives {width:,} results per row; 1 to {limits.columns_max:,} are allowed")


def _element_names(outputs: Sequence[str], values: Sequence[Value]) -> tuple[str, ...]:
    """One name per column of the result: the output's, numbered from 0 when it has several elements."""
    names: list[str] = []
    for name, value in zip(outputs, values, strict=True):
        names += [name] if value.elements == 1 else [f"{name}_{i}" for i in range(math.prod(value.inner))]
    return tuple(names)


def _column_names(model: ModelProto, width: int) -> tuple[str, ...]:
    """The columns of a matrix input that the model's metadata names under "columns": a JSON list, or with commas."""
    texts = [entry.value for entry in model.metadata_props if entry.key == "columns"]
    if not texts:
        return ()
    if not isinstance(texts[0], str):
        raise BadProgram('the program\'s metadata "columns" is not UTF-8 text')
    try:
        parsed = json.loads(texts[0]) if texts[0].lstrip().startswith("[") else texts[0].split(",")
    except (ValueError, RecursionError) as error:
        raise BadProgram('the program\'s metadata "columns" is neither a JSON list nor names with commas') from error
    names = tuple(name.strip() for name in parsed if isinstance(name, str))
    if len(names) != len(parsed) or len(names) != width or len(set(names)) != width or not all(names):
        raise BadProgram(
            f'the program\'s metadata "columns" must name {width} different columns; it names {len(parsed)}'
        )
    return names
