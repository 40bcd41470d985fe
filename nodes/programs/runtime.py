"""Runs checked programs with ONNX Runtime: inside an enclave, and at the renter. Reads and writes nothing.

A program means what ONNX Runtime makes of it, in the types that it declares: where float32 decides (a threshold, a
rounding), float64 would decide otherwise. A session has one thread and is the same everywhere, so that results inside
an enclave and outside are equal bit by bit.

Errors of the engine never leave with its own text, which may hold values; they become fixed sentences.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.program import Input, Program, with_columns
from schemas.errors import BadData, BadProgram

Rows = NDArray[np.float64]

SESSIONS_MAX: Final = 8
ROWS_MIN: Final = 2
"""A single row is computed twice: kernels for one row add up in another order (1.8e-7 apart)."""
FAILED: Final = "an operator of the program failed on these rows"
UNKNOWN_CATEGORY: Final = (
    "a row holds a category that it does not know; leave such rows out, or fit it with handle_unknown='ignore'"
)
_LOG_NOTHING_BELOW_FATAL: Final = 4
_CANNOT_RUN: Final = "ONNX Runtime cannot run this program: a type, a shape or a version is not supported"
_FAILED_NODE: Final = re.compile(r"running (\w{1,64}) node")
_OUT_OF_MEMORY: Final = ("bad_alloc", "bad allocation", "Failed to allocate", "std::length_error")


class WrongType(BadData):
    """A number does not fit the type that its input declares."""


def evaluate(program: Program, rows: NDArray[Any]) -> Rows:
    """Its outputs for `rows`, floats [N, width_in]: float64 [N, width_out], or [1, width_out] with `sum_rows`.

    Zero rows are allowed. Raises WrongType when a number does not fit the type that its input declares; BadData when
    the shape does not fit, a result is not finite (`row` counts from 1 within `rows`) or the batch is too large for the
    program's bounds; BadProgram when an operator fails, caused by a MemoryError when that is for want of memory.
    """
    count = rows.shape[0]
    _require_batch(program, rows)
    if count == 0 and not program.sum_rows:
        return np.zeros((0, program.width_out))
    if count < ROWS_MIN and not program.sum_rows:
        rows = np.repeat(rows, ROWS_MIN, axis=0)
    outputs = run(session(program.canonical), program.outputs, feeds(program.inputs, rows))
    result = _joined(program, outputs, 1 if program.sum_rows else rows.shape[0])
    result = result if program.sum_rows else result[:count]
    _require_finite(program, result)
    return result


def combine(program: Program, parts: Sequence[Rows]) -> Rows:
    """The result [1, width_out] of a `sum_rows` program over all rows, from its results over batches of them.

    Each part carries the constant that is added after the sum; it counts once. Raises BadProgram for other programs.
    """
    if not program.sum_rows:
        raise BadProgram("only results of a program that sums over rows can be combined")
    constant = evaluate(program, np.zeros((0, program.width_in)))
    total = constant.copy()
    for part in parts:
        total += part - constant
    return total


@lru_cache(maxsize=SESSIONS_MAX)
def session(model: bytes) -> Any:
    """As `load`, kept for the next batch."""
    return load(model)


def load(model: bytes) -> Any:
    """An `onnxruntime.InferenceSession`. Raises BadProgram when the engine cannot run the model."""
    engine = _engine()
    options = engine.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = engine.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = engine.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _LOG_NOTHING_BELOW_FATAL
    options.add_session_config_entry("session.load_model_format", "ONNX")  # else it looks for another format inside
    try:
        return engine.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],  # it runs the program before anybody asked for a batch
            enable_fallback=0,
        )
    except Exception as error:  # its exceptions have no common class
        raise _refusal(error, _CANNOT_RUN) from (_memory(error))


def run(made: Any, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The named outputs. Raises BadProgram; `operator` names the one that failed, if the engine says so."""
    try:
        return [np.asarray(each) for each in made.run(list(outputs), dict(inputs))]
    except Exception as error:  # its exceptions have no common class
        raise _refusal(error, FAILED) from _memory(error)


def feeds(inputs: Sequence[Input], rows: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """The columns of `rows` as the graph's inputs, each in its declared type. Raises WrongType."""
    made = {}
    for each, columns in with_columns(inputs):
        block = rows[:, columns]
        array = block if each.rank == 2 else block[:, 0]
        made[each.name] = np.ascontiguousarray(_typed(each, array))
    return made


def _typed(declared: Input, array: NDArray[Any]) -> NDArray[Any]:
    if declared.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(declared.dtype, copy=False)
    with np.errstate(invalid="ignore"):
        typed = array.astype(declared.dtype)
        same = typed.astype(np.float64) == array
    if not same.all():
        row = int(np.argwhere(~same)[0][0])
        raise WrongType(
            f"the input {declared.name} takes {declared.dtype.name} numbers; row {row + 1} holds another",
            row=row + 1,
            column=declared.name,
        )
    return typed


def _joined(program: Program, outputs: Sequence[NDArray[Any]], rows: int) -> Rows:
    try:
        columns = [array.reshape(rows, -1).astype(np.float64) for array in outputs]
        result = np.concatenate(columns, axis=1)
    except (ValueError, TypeError) as error:
        raise BadProgram("the program does not give one result per row") from error
    if result.shape[1] != program.width_out:
        raise BadProgram(f"the program gave {result.shape[1]} results per row instead of {program.width_out}")
    return result


def _require_batch(program: Program, rows: NDArray[Any]) -> None:
    if rows.ndim != 2 or rows.shape[1] != program.width_in:
        raise BadData(f"the program takes {program.width_in} columns, but was given rows of shape {list(rows.shape)}")
    if program.live_row_elements * rows.shape[0] > program.limits.batch_elements_max:
        most = program.limits.batch_elements_max // program.live_row_elements
        raise BadData(f"{rows.shape[0]:,} rows at once are too many for this program; send at most {most:,}")


def _require_finite(program: Program, result: Rows) -> None:
    finite = np.isfinite(result)
    if finite.all():
        return
    row, position = (int(i) for i in np.argwhere(~finite)[0])
    name = program.output_names[position]
    where = "the sum over rows" if program.sum_rows else f"row {row + 1}"
    raise BadData(
        f"the program's result {name} is {result[row, position]} for {where}; its input is outside "
        "what the program can compute with",
        row=None if program.sum_rows else row + 1,
        column=name,
    )


def _memory(error: Exception) -> MemoryError | None:
    """What an error is caused by when it was for want of memory; the engine says so in its text only."""
    return MemoryError() if isinstance(error, MemoryError) or any(t in str(error) for t in _OUT_OF_MEMORY) else None


def _refusal(error: Exception, sentence: str) -> BadProgram:
    found = _FAILED_NODE.search(str(error))
    if found is None:
        return BadProgram(sentence)
    said = UNKNOWN_CATEGORY if found[1] == "OneHotEncoder" else sentence
    return BadProgram(f"{found[1]}: {said}", operator=found[1])


@cache
def _engine() -> Any:
    """ONNX Runtime, imported when first needed: hubs do without. Its telemetry is off, or it would start a thread and
    write a database."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415

    return onnxruntime
