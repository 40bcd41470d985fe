"""What a program computes, as one affine map: the form in which homomorphic encryption can run it (H2). Pure.

The interpreter runs the same operators over affine forms (see `values.py`), so that a program has one meaning however
it is protected, and the coefficients come out exactly as the program composes them, without numerical differentiation.
"""

from __future__ import annotations

import numpy as np

from nodes.programs.affine import AffineMap
from nodes.programs.interpret import input_values, joined_columns, run
from nodes.programs.program import Program
from nodes.programs.values import Context, HomogeneousRows
from schemas.errors import BadProgram


def affine(program: Program) -> AffineMap:
    """The affine map that the program computes on every row, or on the sum of all rows with `sum_rows`.

    Raises BadProgram whose `operator` names the first operator outside the linear subset; also when a coefficient is
    not finite, or when the map would be larger than `coefficients_max`.
    """
    forms = program.width_in + 1
    if forms * program.live_row_elements > program.limits.coefficients_max:
        raise BadProgram(
            f"compiling takes {forms * program.live_row_elements:,} coefficients; at most "
            f"{program.limits.coefficients_max:,} are allowed; use --protection enclave"
        )
    columns = np.eye(forms, program.width_in)
    inputs = input_values(program.inputs, columns)
    context = Context(HomogeneousRows(forms), program.limits)
    outputs = run(program.nodes, program.constants, inputs, program.outputs, context).outputs
    coefficients = joined_columns(outputs, forms)
    if not np.isfinite(coefficients).all():
        raise BadProgram("a coefficient of the program is not finite; look for a division by zero in its weights")
    return AffineMap(np.ascontiguousarray(coefficients[:-1]), coefficients[-1].copy(), program.sum_rows)
