"""Programs whose inputs come from different hands: an input is found by its name. Pure.

A lessor's program may have an input `parameters` beside the rows' columns: the same numbers for every row, so it is
given as columns that are equal in all rows, and the gate's proof that rows are independent stands. A partner's program
has `received`, what the enclaves sealed, and `local`, the partner's own columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.program import Program, with_columns
from schemas.errors import BadProgram

PARAMETERS: Final = "parameters"
RECEIVED: Final = "received"
LOCAL: Final = "local"
OUTPUT: Final = "output"
DONE: Final = "done"

Rows = NDArray[np.float64]


def columns_of(program: Program, name: str) -> slice:
    """Which of the program's columns the input of this name takes; none where there is no such input."""
    return next((columns for each, columns in with_columns(program.inputs) if each.name == name), slice(0, 0))


def width_of(program: Program, name: str) -> int:
    """How many columns the input of this name takes; 0 where there is no such input."""
    found = columns_of(program, name)
    return int(found.stop) - int(found.start)


def without(program: Program, name: str) -> Program:
    """The program as somebody sees it who gives all inputs but this one: to bind columns to, not to run.

    Raises BadProgram: nothing is left.
    """
    inputs = tuple(each for each in program.inputs if each.name != name)
    if not inputs:
        raise BadProgram(f"the program has no other input than {name!r}")
    return replace(program, inputs=inputs)


def widened(program: Program, rows: Rows, values: Sequence[float] | Rows, name: str = PARAMETERS) -> Rows:
    """Rows [N, F] with the same `values` [P] in every row where the program's input `name` has its columns."""
    first = columns_of(program, name).start
    repeated = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(rows), width_of(program, name)))
    return np.concatenate([rows[:, :first], repeated, rows[:, first:]], axis=1)


def require_inputs(program: Program, wanted: Sequence[str], may: Sequence[str], whose: str) -> None:
    """That a program has the inputs `wanted`, perhaps those it `may`, and no others. Raises BadProgram."""
    names = program.input_names
    missing = [name for name in wanted if name not in names]
    if missing or set(names) - {*wanted, *may}:
        allowed = ", ".join([*wanted, *(f"{name} (if wanted)" for name in may)])
        raise BadProgram(f"{whose} takes the inputs {allowed}; this one takes {', '.join(names)[:200]}")
