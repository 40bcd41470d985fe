"""ONNX's own backend node tests on our programs, for every operator that the gate allows: gate and engine, plain.

Which cases count is computed, not chosen: every case of the installed `onnx` whose operators are all allowed.
`tests/support/onnx_plain.py` says how a case without rows is put, and finds in the case itself why some cannot be.
Every other case must agree within the tolerances that ONNX states for it, or be one that ONNX Runtime alone does not
compute either.
"""

from __future__ import annotations

import numpy as np
import pytest

from nodes.programs.allowed import names
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from schemas.errors import BadInput
from tests.support.onnx_backend import Case, cases_of
from tests.support.onnx_plain import Plain, exception, of_the_engine, plain

CASES = {case.name: case for case in cases_of(names())}
EXCEPTIONS = {name: reason for name, case in CASES.items() if (reason := exception(case)) is not None}
OF_TYPES = ("numbers of a type", "an operator set before", "the mask of Dropout", "training")
"""Reasons for which the gate must refuse the case as a program."""


def agrees(case: Case, made: Plain) -> bool:
    """Whether gate and engine give what the case expects; a refusal must be a typed one."""
    try:
        result = evaluate(check(made.program), made.rows)
    except BadInput:
        return False
    return result.shape == made.expected.shape and np.allclose(result, made.expected, rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("name", sorted(set(CASES) - set(EXCEPTIONS)))
def test_a_backend_case_gives_what_it_expects(name: str) -> None:
    case = CASES[name]
    assert any(agrees(case, made) for made in plain(case)) or of_the_engine(case)


@pytest.mark.parametrize("name", sorted(name for name, reason in EXCEPTIONS.items() if reason.startswith(OF_TYPES)))
def test_a_backend_case_that_is_no_program_is_refused(name: str) -> None:
    assert not any(agrees(CASES[name], made) for made in plain(CASES[name]))


def test_most_backend_cases_with_allowed_operators_run() -> None:
    assert len(CASES) >= 1_250
    assert len(CASES) - len(EXCEPTIONS) >= 970
