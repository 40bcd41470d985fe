"""ONNX's own backend node cases as programs of ours, for every operator that the gate allows: how one is put.

A backend case knows no rows. It is put in one of two ways, with its own nodes, attributes and types unchanged in both:

  * *rows*       inputs that share their first axis N with all outputs are N rows of one block of columns each, and the
                 case runs on each row alike; the other inputs are constants;
  * *constants*  where there are none such, or where the case mixes what would be rows, all its inputs are constants,
                 and each row of a table of zeros asks for the case's outputs, which are added to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nodes.programs.check import INPUT_TYPES
from nodes.programs.limits import ProgramLimits
from nodes.programs.tensors import FORMATS
from tests.support.onnx_backend import OPSET_WITHOUT_ONE, Case

Floats = NDArray[np.float64]
Way = Literal["rows", "constants"]

ASKING: Final = 3
"""Rows that ask for the outputs of a case of constants."""
LIMITS: Final = ProgramLimits()
ONLY_FATAL: Final = 4


@dataclass(frozen=True, slots=True)
class Plain:
    """A program made of a case, rows for it, and what must come back for each."""

    way: Way
    program: bytes
    rows: Floats
    expected: Floats


def exception(case: Case) -> str | None:
    """Why a case cannot be put as a program, found in the case alone; None when it can."""
    graph = case.model.graph
    if not all(isinstance(value, np.ndarray | None) for value in (*case.inputs, *case.outputs)) or not all(
        info.type.HasField("tensor_type") for info in (*graph.input, *graph.output)
    ):
        return "sequences, dictionaries and values that may be missing are no tables"
    kinds = {info.type.tensor_type.elem_type for info in (*graph.input, *graph.output)}
    if TensorProto.STRING in kinds:
        return "text"
    if not {info.type.tensor_type.elem_type for info in graph.input} <= FORMATS.keys():
        return "numbers of a type that tensors of programs do not have"
    if any(attribute.name == "training_mode" and attribute.i for node in graph.node for attribute in node.attribute):
        return "training"
    if any(node.op_type == "Dropout" and len(node.input) > 2 for node in graph.node):
        return "training"
    if any(entry.domain in ("", "ai.onnx") and entry.version < LIMITS.opset_min for entry in case.model.opset_import):
        return f"an operator set before {LIMITS.opset_min}"
    if any(node.op_type == "Dropout" and len(node.output) > 1 for node in graph.node):
        return "the mask of Dropout, which is training's"
    if not graph.input or any(value.size == 0 for value in case.outputs):
        return "nothing goes in, or nothing comes out"
    if not all(np.isfinite(value.astype(np.float64)).all() for value in case.outputs):
        return "its result is not finite, which is refused"
    if sum(value.size for value in case.outputs) > LIMITS.columns_max:
        return f"more than {LIMITS.columns_max:,} numbers in a result"
    if any(value is not None and value.ndim > LIMITS.tensor_rank_max for value in case.inputs):
        return f"more than {LIMITS.tensor_rank_max} axes"
    return None


def of_the_engine(case: Case) -> str | None:
    """What is ONNX Runtime's own doing: it gives something else than the case asks for, or nothing; None when not."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_FATAL
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {info.name: value for info, value in zip(session.get_inputs(), case.inputs, strict=True)}
        results = session.run(None, feeds)
    except Exception:
        return "ONNX Runtime does not run it"
    for result, expected in zip(results, case.outputs, strict=True):
        if result.shape != expected.shape or not np.allclose(
            result.astype(np.float64), expected.astype(np.float64), rtol=case.rtol, atol=case.atol
        ):
            return "ONNX Runtime gives something else"
    return None


def plain(case: Case) -> Iterator[Plain]:
    """The case in the ways in which it can be put, that with rows first."""
    if (inputs := _row_inputs(case)) is not None:
        count = len(case.outputs[0])
        blocks = [case.inputs[i].reshape(count, -1).astype(np.float64) for i in inputs]
        expected = [value.reshape(count, -1).astype(np.float64) for value in case.outputs]
        yield Plain("rows", _with_rows(case, inputs), np.concatenate(blocks, 1), np.concatenate(expected, 1))
    line = np.concatenate([value.reshape(1, -1).astype(np.float64) for value in case.outputs], axis=1)
    yield Plain("constants", _of_constants(case), np.zeros((ASKING, 1)), np.repeat(line, ASKING, axis=0))


def _row_inputs(case: Case) -> Sequence[int] | None:
    """Positions of the inputs that share their first axis with every output."""
    counts = {value.shape[0] if value.ndim else 0 for value in case.outputs}
    kinds = [info.type.tensor_type.elem_type for info in case.model.graph.input]
    found = [
        position
        for position, value in enumerate(case.inputs)
        if value is not None
        and value.size
        and value.ndim
        and {value.shape[0]} == counts
        and kinds[position] in INPUT_TYPES
    ]
    width = sum(case.inputs[position].size for position in found)
    return found if found and width <= LIMITS.columns_max else None


def _with_rows(case: Case, inputs: Sequence[int]) -> bytes:
    model = _copied(case, [position for position in range(len(case.inputs)) if position not in inputs])
    graph = model.graph
    prelude, infos = [], list(case.model.graph.input)
    for position in inputs:
        info, shape = infos[position], case.inputs[position].shape[1:]
        key = f"sublet_{position}"
        _constant(graph, f"{key}_shape", np.array((-1, *shape), dtype=np.int64))
        prelude.append(helper.make_node("Reshape", [key, f"{key}_shape"], [info.name]))
        kind = info.type.tensor_type.elem_type
        graph.input.append(helper.make_tensor_value_info(key, kind, ["N", int(np.prod(shape, dtype=np.int64))]))
    nodes = [*prelude, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _of_constants(case: Case) -> bytes:
    """Each output as a row of doubles, plus the table's only column."""
    model = _copied(case, range(len(case.inputs)))
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info("sublet_row", TensorProto.FLOAT, ["N", 1]))
    _constant(graph, "sublet_line", np.array([1, -1], dtype=np.int64))
    names = [info.name for info in graph.output]
    graph.ClearField("output")
    for name in names:
        graph.node.extend(
            [
                helper.make_node("Reshape", [name, "sublet_line"], [f"{name}_line"]),
                helper.make_node("Cast", [f"{name}_line"], [f"{name}_cast"], to=TensorProto.DOUBLE),
                helper.make_node("Cast", ["sublet_row"], [f"{name}_zero"], to=TensorProto.DOUBLE),
                helper.make_node("Add", [f"{name}_cast", f"{name}_zero"], [f"{name}_row"]),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(f"{name}_row", TensorProto.DOUBLE, None))
    return bytes(model.SerializeToString())


def _copied(case: Case, constants: Sequence[int]) -> ModelProto:
    """The case's model without inputs, those at `constants` as initialisers."""
    model = ModelProto()
    model.CopyFrom(case.model)
    versions = {entry.domain for entry in model.opset_import}
    if not versions & {"", "ai.onnx"}:
        model.opset_import.append(helper.make_opsetid("", OPSET_WITHOUT_ONE))
    del model.graph.input[:]
    for position in constants:
        info, value = case.model.graph.input[position], case.inputs[position]
        kind = info.type.tensor_type.elem_type
        if info.name and value is not None and kind in FORMATS:
            _constant(model.graph, info.name, value)
        elif info.name and value is not None:  # NumPy has no such type: the case's values are in another one
            numbers = value.astype(np.float64).reshape(-1).tolist()
            model.graph.initializer.append(helper.make_tensor(info.name, kind, value.shape, numbers))
    return model


def _constant(graph: Any, name: str, value: NDArray[Any]) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))
