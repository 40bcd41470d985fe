"""ONNX's own backend node cases as programs of ours: which of them are linear, and how one is put to a scheme.

A backend case is a model with inputs and expected outputs of any shape; it knows no rows. It is put in two ways, with
the case's own nodes and attributes unchanged in both:

  * *summed*  the inputs, laid end to end, are one row of F columns; two rows that add up to it are sent. The program
              first adds the rows up (ReduceSum over axis 0), cuts the sum into the inputs and runs the case on them;
  * *rows*    where all inputs have the same first axis N, they are N rows, and the case runs on each row alike.

The inputs are the case's floating-point ones (its integers if it has none); all the others are constants. Where all of
them together are not linear (a product of two), each is put alone, the others being constants.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from nodes.programs.limits import ProgramLimits
from nodes.programs.operators import TABLE, never

Floats = NDArray[np.float64]
Way = Literal["summed", "rows"]

SHARES = 2
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16})
INTEGERS = frozenset(
    getattr(TensorProto, name) for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
)
NARROW = frozenset(
    number
    for name, number in TensorProto.DataType.items()
    if name.startswith(("FLOAT8", "FLOAT4", "INT4", "UINT4", "INT2", "UINT2"))
)
NUMBERS_MAX = ProgramLimits().columns_max
OPSET_WITHOUT_ONE = 17
"""Of ai.onnx, for cases that use ai.onnx.ml only."""


@dataclass(frozen=True, slots=True)
class Case:
    """One backend case: its model and one set of inputs and expected outputs."""

    name: str
    model: ModelProto
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    rtol: float
    atol: float

    def data_inputs(self) -> tuple[int, ...]:
        """Positions of the inputs that carry data: the floating-point ones, or else the integers."""
        kinds = [info.type.tensor_type.elem_type for info in self.model.graph.input]
        for wanted in (FLOATS, INTEGERS):
            if found := tuple(i for i, kind in enumerate(kinds) if kind in wanted):
                return tuple(position for position in found if self.inputs[position].size)
        return ()


@dataclass(frozen=True, slots=True)
class Trial:
    """A program made of a case, the rows to send, and what must come back for each row (or for their sum)."""

    case: Case
    way: Way
    secret: tuple[int, ...]
    program: bytes
    rows: Floats
    expected: Floats

    @property
    def typed(self) -> bool:
        """Whether the program has the case's own types: integers became floats."""
        kinds = {self.case.model.graph.input[position].type.tensor_type.elem_type for position in self.secret}
        return not kinds & INTEGERS

    def agrees(self, result: Floats, outputs: NDArray[np.intp] | None = None) -> bool:
        """Whether the result is the case's, or some outputs of it, within the tolerances that it states."""
        expected = self.expected if outputs is None else self.expected[:, outputs]
        return result.shape == expected.shape and np.allclose(
            result, expected, rtol=self.case.rtol, atol=self.case.atol
        )


def linear_operators() -> frozenset[tuple[str, str]]:
    """(domain, name) of every operator that may be linear."""
    return frozenset(key for key, operator in TABLE.items() if operator.linear is not never)


@cache
def cases_of(operators: frozenset[tuple[str, str]]) -> tuple[Case, ...]:
    """Every backend node case that uses no other operators, data set by data set."""
    found = []
    for case in _collected():
        names = {("" if n.domain == "ai.onnx" else n.domain, n.op_type) for n in case.model.graph.node}
        if names <= operators:
            for number, (inputs, outputs) in enumerate(case.data_sets):
                name = case.name if len(case.data_sets) == 1 else f"{case.name}-{number}"
                found.append(Case(name, case.model, _arrays(inputs), _arrays(outputs), case.rtol, case.atol))
    return tuple(found)


@cache
def _collected() -> Sequence[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX's generators overflow on purpose
        cases: Sequence[Any] = collect_testcases(None)
        return cases


def _arrays(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_array(value) for value in values)


def _array(value: Any) -> Any:
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, list | dict) or value is None:
        return value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


def exception(case: Case) -> str | None:
    """Why a case cannot be run on ciphertexts of a linear scheme, found in the case alone; None when it can."""
    graph = case.model.graph
    kinds = {info.type.tensor_type.elem_type for info in (*graph.input, *graph.output)}
    results = {info.type.tensor_type.elem_type for info in graph.output}
    data = case.data_inputs()
    names = {node.op_type for node in graph.node}
    if kinds & NARROW:
        return "numbers of 8 bits or fewer: a cast to them rounds, and one from them starts from no real number"
    if not data or any(not np.size(value) for value in case.outputs):
        return "nothing to encrypt: no number goes in, or none comes out"
    if not all(np.isfinite(case.inputs[position].astype(np.float64)).all() for position in data):
        return "the data holds NaN or infinity, which are refused before they are encrypted"
    if any(node.op_type == "Dropout" and len(node.input) > 2 for node in graph.node) or _training(case):
        return "training: random masks, or statistics of the batch"
    if graph.input[data[0]].type.tensor_type.elem_type in FLOATS and not results <= FLOATS:
        return "the result is a shape, a mask or cut to integers: not a linear function of the data"
    if graph.input[data[0]].type.tensor_type.elem_type in INTEGERS and "Div" in names:
        return "division of integers cuts the quotient"
    if max(sum(case.inputs[i].size for i in data), sum(value.size for value in case.outputs)) > NUMBERS_MAX:
        return f"more than {NUMBERS_MAX:,} numbers in a row or a result: the bound of any program"
    if all(_multiplies_data(case, secret) for secret in choices(case)):
        return "multiplies data by data, or divides by data"
    return None


def _training(case: Case) -> bool:
    return any(a.name == "training_mode" and a.i for node in case.model.graph.node for a in node.attribute)


def _multiplies_data(case: Case, secret: tuple[int, ...]) -> bool:
    """Whether a product has two factors that depend on the secret inputs, or a quotient such a divisor."""
    known = {case.model.graph.input[position].name for position in secret}
    for node in case.model.graph.node:
        tainted = [name in known for name in node.input]
        factors = tainted[:2] if node.op_type == "Gemm" else tainted
        if node.op_type in ("Mul", "MatMul", "Gemm", "Einsum", "Conv") and sum(factors) > 1:
            return True
        if node.op_type == "Div" and tainted[1]:
            return True
        if any(tainted) and node.op_type != "Shape":
            known.update(node.output)
    return False


def choices(case: Case) -> Iterator[tuple[int, ...]]:
    """Which inputs to keep secret: all that carry data, then each of them alone."""
    data = case.data_inputs()
    yield data
    if len(data) > 1:
        yield from ((position,) for position in data)


def trial(case: Case, secret: tuple[int, ...], way: Way) -> Trial | None:
    """The case as a program, or None when it has no rows to be put in that way."""
    values = [np.asarray(case.inputs[i], dtype=np.float64) for i in secret]
    outputs = [np.asarray(value, dtype=np.float64) for value in case.outputs]
    if way == "summed":
        line = np.concatenate([value.reshape(-1) for value in values])
        program = _program(case, secret, [value.shape for value in values], "summed")
        expected = np.concatenate([value.reshape(-1) for value in outputs])[np.newaxis]
        return Trial(case, way, secret, program, _shares(line), expected)
    counts = {value.shape[0] if value.ndim else 0 for value in (*values, *outputs)}
    if len(counts) != 1 or 0 in counts:
        return None
    (count,) = counts
    program = _program(case, secret, [(-1, *value.shape[1:]) for value in values], "rows")
    rows, expected = (np.concatenate([v.reshape(count, -1) for v in some], axis=1) for some in (values, outputs))
    return Trial(case, way, secret, program, rows, expected)


def _shares(line: Floats) -> Floats:
    """Rows that add up to `line`."""
    rows = np.random.default_rng(20).normal(scale=np.abs(line).max(initial=1.0) / 8, size=(SHARES, len(line)))
    rows[-1] = line - rows[:-1].sum(axis=0)
    return rows


def _program(case: Case, secret: tuple[int, ...], shapes: Sequence[Sequence[int]], way: Way) -> bytes:
    """The case's graph behind a table of F columns, which are laid out as the secret inputs."""
    model = ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    infos = list(graph.input)
    sizes = [int(np.prod(shape[1:] if way == "rows" else shape)) for shape in shapes]
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if "" not in versions and "ai.onnx" not in versions:
        model.opset_import.append(helper.make_opsetid("", OPSET_WITHOUT_ONE))
    version = versions.get("", versions.get("ai.onnx", OPSET_WITHOUT_ONE))
    prelude, source = [], "sublet_table"
    if way == "summed":
        source = "sublet_sum"
        axes: dict[str, Any] = {} if version >= 13 else {"axes": [0]}
        operands = ["sublet_table", "sublet_axis"] if version >= 13 else ["sublet_table"]
        prelude.append(helper.make_node("ReduceSum", operands, [source], keepdims=0, **axes))
        _constant(graph, "sublet_axis", np.array([0], dtype=np.int64))
    starts = itertools.accumulate(sizes, initial=0)
    for position, shape, size, start in zip(secret, shapes, sizes, starts, strict=False):
        name, key = infos[position].name, f"sublet_{position}"
        _constant(graph, f"{key}_columns", np.arange(start, start + size, dtype=np.int64))
        _constant(graph, f"{key}_shape", np.array(shape, dtype=np.int64))
        axis = 0 if way == "summed" else 1
        prelude.append(helper.make_node("Gather", [source, f"{key}_columns"], [f"{key}_line"], axis=axis))
        prelude.append(helper.make_node("Reshape", [f"{key}_line", f"{key}_shape"], [name]))
    for position, info in enumerate(infos):
        if position not in secret and info.name:
            _constant(graph, info.name, case.inputs[position])
    nodes = [*prelude, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    doubles = all(infos[position].type.tensor_type.elem_type == TensorProto.DOUBLE for position in secret)
    kind = TensorProto.DOUBLE if doubles else TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("sublet_table", kind, ["N", sum(sizes)]))
    return bytes(model.SerializeToString())


def _constant(graph: Any, name: str, value: Any) -> None:
    array = np.asarray(value)
    graph.initializer.append(
        numpy_helper.from_array(array.astype(np.int64) if array.dtype.kind in "iu" else array, name)
    )
