"""Programs on plaintext, inside an enclave or at the renter: NumPy over a checked graph. Pure.

NumPy and not ONNX Runtime: it needs no telemetry thread, file or system call that the lock would have to allow, and the
code that meets a stranger's program is this package instead of a C++ engine. `make bench ONLY=enclave` shows the price:
trees run about as fast, neural networks slower. ONNX Runtime is the oracle of the tests.

All arithmetic is float64, also for programs whose weights and inputs are declared float32: the enclave, the homomorphic
path and `--check` then mean the same numbers, and differ from a float32 engine by its rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nodes.programs.interpret import run
from nodes.programs.program import Program
from nodes.programs.values import Array, Context, Kind, PlainRows, Value
from schemas.errors import BadData, BadProgram

Rows = NDArray[np.float64]


def evaluate(program: Program, rows: Rows) -> Rows:
    """The program's outputs for `rows` [N, width_in]: float64 [N, width_out], or [1, width_out] with `sum_rows`.

    Zero rows are allowed. Raises BadData when the shape does not fit, a result is not finite (`row` counts from 1
    within `rows`) or the batch is too large for the program's bounds; BadProgram when an operator fails.
    """
    if rows.ndim != 2 or rows.shape[1] != program.width_in:
        raise BadData(f"the program takes {program.width_in} columns, but was given rows of shape {list(rows.shape)}")
    if program.live_row_elements * rows.shape[0] > program.limits.batch_elements_max:
        most = program.limits.batch_elements_max // program.live_row_elements
        raise BadData(f"{rows.shape[0]:,} rows at once are too many for this program; send at most {most:,}")
    inputs = input_values(program.input_names, program.input_ranks, rows)
    context = Context(PlainRows(), program.limits)
    outputs = run(program.nodes, program.constants, inputs, program.outputs, context).outputs
    result = joined_columns(outputs, 1 if program.sum_rows else rows.shape[0])
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


def input_values(names: Sequence[str], ranks: Sequence[int], rows: Array) -> Mapping[str, Value]:
    """The graph's inputs: one matrix, or one value [N, 1] or [N] per column of `rows`."""
    if len(names) == 1 and ranks[0] == 2:
        return {names[0]: Value(rows, Kind.ROWS)}
    columns = {}
    for position, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        column = rows[:, position : position + 1] if rank == 2 else rows[:, position]
        columns[name] = Value(column, Kind.ROWS)
    return columns


def joined_columns(outputs: Sequence[Value], rows: int) -> Rows:
    """The outputs side by side as columns [rows, width_out], float64."""
    columns = [value.array.reshape(rows, value.elements).astype(np.float64, copy=False) for value in outputs]
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


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
