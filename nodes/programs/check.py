"""The gate for programs: bytes from anybody become a `Program`, or are refused with the reason. Pure.

The order matters: each step relies on the ones before it. Size and number of parts; parse; drop what the format does
not define; versions; cut off what exporters put at the end; counts; tensors as long as their dimensions say, never in
another file; inputs; operators from the allow-list and no graphs inside them; that rows are independent: by the
compiler's rules where it knows every operator, else by the probe; then the model is written again from what was
understood, and only that (`canonical`) is hashed and sent on.

It runs inside the enclave's locked child process: no files, threads or other processes, and no import after the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from nodes.programs.canonical import canonical_model, canonical_names
from nodes.programs.divisors import require_divisors
from nodes.programs.exports import trim
from nodes.programs.fields import parsed, require_few
from nodes.programs.graph import constants_of, is_name, nodes_of, require_text
from nodes.programs.interpret import input_values, run
from nodes.programs.limits import ProgramLimits
from nodes.programs.operators import ML, operator_of
from nodes.programs.probe import Outcome, probe
from nodes.programs.program import Input, Node, Program
from nodes.programs.scans import write_out
from nodes.programs.tensors import widened
from nodes.programs.values import Array, Trial, sums_rows
from schemas.errors import BadProgram

INPUT_TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT64: "int64",
    TensorProto.INT32: "int32",
    TensorProto.BOOL: "bool",
}


def check(data: bytes, *, limits: ProgramLimits | None = None, engine: bool = True) -> Program:
    """The program that `data` (a serialised ONNX ModelProto) holds.

    Without `engine` nothing of it meets the engine, and a program beyond what the compiler knows is refused: so is read
    what strangers sent to be computed on ciphertexts. `check(program.canonical)` gives the same program and digest
    again. Raises BadProgram, and nothing else, for every `data`; `operator` names the operator at fault, if one is; its
    cause is a MemoryError when that was for want of memory.
    """
    limits = limits or ProgramLimits()
    model = _parsed(data, limits)
    versions = _versions(model, limits)
    graph = model.graph
    _require_counts(model, graph, limits)
    require_text(graph)
    exported = trim(graph)
    write_out(graph, versions.get("", 0), limits)
    _require_counts(model, graph, limits)
    constants = constants_of(graph, limits)
    inputs = _inputs(graph, constants, limits)
    names, width = tuple(each.name for each in inputs), sum(each.width for each in inputs)
    outputs = _output_names(graph, limits)
    nodes = nodes_of(graph, versions, frozenset(names) | frozenset(constants), outputs, limits)
    said = {entry.key: entry.value for entry in reversed(model.metadata_props)}
    del model, graph  # several times the program's size, and more is to come
    used = {name for node in nodes for name in node.inputs} | set(outputs)
    typed = {name: array for name, array in constants.items() if name in used}
    constants = {name: widened(array) for name, array in typed.items()}
    columns = _names(said, "columns", width) if len(names) == 1 else ()
    unnamed = canonical_model(nodes, typed, inputs, outputs, versions)
    if engine:
        require_divisors(unnamed, inputs, nodes, typed)
    if not engine or _compiles(nodes, names):
        outcome = _trial(nodes, constants, inputs, outputs, limits)
    else:
        outcome = probe(unnamed, inputs, nodes, outputs)
    results = _names(said, "results", sum(outcome.widths))
    _require_outcome(outcome, limits)
    canonical = unnamed + canonical_names({"columns": columns, "results": results})
    return Program(
        canonical=canonical,
        digest=hashlib.sha256(canonical).hexdigest(),
        inputs=inputs,
        column_names=columns,
        width_out=sum(outcome.widths),
        output_names=results or _element_names(outputs, outcome.widths, exported.labels),
        whole=_of_elements(outputs, outcome.widths, exported.whole),
        sum_rows=outcome.sum_rows,
        operators=frozenset(node.operator for node in nodes),
        live_row_elements=max(1, outcome.row_elements),
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
    require_few(data)
    if (model := parsed(data)) is None:
        raise BadProgram("the program is not an ONNX file")
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
    _require_names(names, "inputs", limits)
    if len(infos) > limits.inputs_max:
        raise BadProgram(f"the program has {len(infos):,} inputs; at most {limits.inputs_max:,} are allowed")
    inputs = tuple(map(_input, infos))
    width = sum(each.width for each in inputs)
    if any(each.width < 1 for each in inputs) or width > limits.columns_max:
        raise BadProgram(f"the program has {width:,} columns; 1 to {limits.columns_max:,} are allowed")
    return inputs


def _input(info: ValueInfoProto) -> Input:
    """[N, columns] or [N]. The first axis must be free, because batches differ in length."""
    name, tensor = info.name[:64], info.type.tensor_type
    if not info.type.HasField("tensor_type") or tensor.elem_type not in INPUT_TYPES:
        raise BadProgram(f"the input {name} must be a tensor of float, double, float16, int64, int32 or bool")
    if not tensor.HasField("shape"):
        raise BadProgram(f"the input {name} does not say its shape; declare it as [N, columns]")
    dims = tensor.shape.dim
    if len(dims) not in (1, 2):
        raise BadProgram(f"the input {name} has {len(dims)} axes; a table has rows and columns: [N, F], [N, 1] or [N]")
    if dims[0].HasField("dim_value") and dims[0].dim_value >= 0:  # some exporters write -1 for what is free
        raise BadProgram(f"the input {name} has a fixed number of rows; export it with a free first axis")
    if len(dims) == 2 and (not dims[1].HasField("dim_value") or dims[1].dim_value < 0):
        raise BadProgram(f"the input {name} does not say its number of columns; declare it as [N, columns]")
    width = dims[1].dim_value if len(dims) == 2 else 1
    return Input(info.name, width, len(dims), np.dtype(INPUT_TYPES[tensor.elem_type]))


def _output_names(graph: GraphProto, limits: ProgramLimits) -> tuple[str, ...]:
    names = tuple(info.name for info in graph.output)
    if not names:
        raise BadProgram("the program has no output")
    _require_names(names, "outputs", limits)
    return names


def _require_names(names: Sequence[str], what: str, limits: ProgramLimits) -> None:
    if len(set(names)) != len(names) or not all(names):
        raise BadProgram(f"the program's {what} need different names")
    if not all(is_name(name, limits) for name in names):
        raise BadProgram(f"a name among the program's {what} is longer than {limits.name_bytes_max} bytes; shorten it")


def _compiles(nodes: Sequence[Node], inputs: Sequence[str]) -> bool:
    """Whether the compiler knows every operator as it is used here: it takes constant indices only."""
    varying = set(inputs)
    for node in nodes:
        indices = node.inputs[1] if node.operator in ("Gather", "GatherElements", "GatherND") else ""
        if operator_of(node) is None or indices in varying:
            return False
        if varying.intersection(node.inputs):
            varying.update(node.outputs)
    return True


def _trial(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    inputs: Sequence[Input],
    outputs: Sequence[str],
    limits: ProgramLimits,
) -> Outcome:
    """Run a row of zeros. What every operator admits there it admits for any number of rows: rows are independent."""
    zeros = input_values(inputs, np.zeros((1, sum(each.width for each in inputs))))
    trial = run(nodes, constants, zeros, outputs, Trial(1, limits))
    sum_rows = sums_rows(value.kind for value in trial.outputs)
    return Outcome(tuple(value.elements for value in trial.outputs), sum_rows, trial.live_row_elements)


def _require_outcome(outcome: Outcome, limits: ProgramLimits) -> None:
    width = sum(outcome.widths)
    if not 1 <= width <= limits.columns_max:
        raise BadProgram(f"the program gives {width:,} results per row; 1 to {limits.columns_max:,} are allowed")
    if outcome.row_elements > limits.live_row_elements_max:
        raise BadProgram(
            f"the program makes {outcome.row_elements:,} numbers for one row; at most "
            f"{limits.live_row_elements_max:,} are allowed"
        )


def _element_names(
    outputs: Sequence[str], widths: Sequence[int], labels: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """One name per column of the result: the output's; with a label or a number when it has several."""
    names: list[str] = []
    for name, width in zip(outputs, widths, strict=True):
        keys = labels.get(name, ())
        numbered = keys if len(keys) == width == len(set(keys)) else range(width)
        names += [name] if width == 1 else [f"{name}_{key}" for key in numbered]
    return tuple(names)


def _of_elements(
    outputs: Sequence[str], widths: Sequence[int], whole: Mapping[str, tuple[str, ...]]
) -> Mapping[int, tuple[str, ...]]:
    """By column of the result instead of by output."""
    names = [name for name, width in zip(outputs, widths, strict=True) for _ in range(width)]
    return {column: whole[name] for column, name in enumerate(names) if name in whole}


def _names(said: Mapping[str, object], key: str, width: int) -> tuple[str, ...]:
    """The names that the model's metadata has under `key`: a JSON list, or with commas; () when it has none."""
    text = said.get(key)
    if text is None:
        return ()
    if not isinstance(text, str):
        raise BadProgram(f'the program\'s metadata "{key}" is not UTF-8 text')
    try:
        parsed = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
    except (ValueError, RecursionError) as error:
        raise BadProgram(f'the program\'s metadata "{key}" is neither a JSON list nor names with commas') from error
    names = tuple(name.strip() for name in parsed if isinstance(name, str))
    different = len(set(filter(None, names)))
    if not len(names) == len(parsed) == different == width:
        raise BadProgram(f'the program\'s metadata "{key}" must name {width} different columns; it names {different}')
    return names
