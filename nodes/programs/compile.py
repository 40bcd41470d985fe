"""What a program computes, as one affine map: the form in which homomorphic encryption can run it (H2). Pure.

Its operators run over forms (see `values.py`), so that the coefficients come out exactly as the program composes them,
without numerical differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.programs.affine import AffineMap, Monomial
from nodes.programs.interpret import input_values, run
from nodes.programs.program import Program
from nodes.programs.values import Forms
from schemas.errors import BadProgram


def affine(program: Program) -> AffineMap:
    """The affine map that the program computes on every row, or on the sum of all rows with `sum_rows`.

    Raises BadProgram whose `operator` names the first operator outside the linear subset; also when a coefficient is
    not finite, or when the map would be larger than `coefficients_max`.
    """
    return compiled(program, Forms(program.width_in + 1, program.limits))


def compiled(program: Program, forms: Forms, products: Sequence[Monomial] = ()) -> AffineMap:
    """The program's map. `forms` have an entry per column, per product of columns, and the constant; raises BadProgram.

    Of the products those are left that the program makes.
    """
    if any(each.dtype == np.float16 for each in program.inputs):
        raise BadProgram(
            "its inputs are float16, whose rounding homomorphic protection does not compute; export it with inputs of "
            "float, or use --protection enclave"
        )
    taken = forms.size * program.live_row_elements
    if taken > program.limits.coefficients_max:
        raise BadProgram(
            f"compiling takes {taken:,} coefficients; at most {program.limits.coefficients_max:,} are allowed; use "
            "--protection enclave"
        )
    inputs = input_values(program.inputs, np.eye(forms.size, program.width_in))
    outputs = run(program.nodes, program.constants, inputs, program.outputs, forms).outputs
    made = np.concatenate([value.array.reshape(forms.size, -1) for value in outputs], axis=1)
    if not np.isfinite(made).all():
        raise BadProgram("a coefficient of the program is not finite; look for a division by zero in its weights")
    used = [place for place, _ in enumerate(products, program.width_in) if made[place].any()]
    weights = made[[*range(program.width_in), *used]]
    return AffineMap(weights, made[-1].copy(), program.sum_rows, tuple(products[p - program.width_in] for p in used))
