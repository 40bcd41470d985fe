"""Between rounds: what an update program makes of an output."""

from __future__ import annotations

import numpy as np

from nodes.inputs import DONE, OUTPUT, PARAMETERS, columns_of, width_of
from nodes.joint.columns import Floats
from nodes.programs import runtime
from nodes.programs.program import Program


def update(program: Program, output: Floats, parameters: Floats) -> tuple[Floats, bool]:
    """One run of an update program: `output` [1, O] and the `parameters` [P] it came from; the next, and whether done.

    Raises BadInput.
    """
    row = np.zeros((1, program.width_in))
    row[:, columns_of(program, OUTPUT)] = output
    if width_of(program, PARAMETERS):
        row[:, columns_of(program, PARAMETERS)] = parameters
    (result,) = runtime.evaluate(program, row)
    is_done = np.array([name == DONE for name in program.output_names])
    return result[~is_done], bool((result[is_done] > 0).any())
