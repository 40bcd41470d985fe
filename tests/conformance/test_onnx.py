"""ONNX's own backend node tests on our programs: plain, and under encryption without a key.

Which cases count is computed, not chosen: every case of the installed `onnx` whose operators are all in the table of
linear operators. `tests/support/onnx_backend.py` says how a case without rows is put, and finds in the case itself why
some cannot be (a product of data by data, NaN as data, and so on). Every case here is either run, and must agree within
the tolerances that ONNX states for it, or has such a reason, and must be refused before anything is encrypted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic import schemes
from nodes.homomorphic.bfv import linear as bfv
from nodes.homomorphic.bfv.parameters import fitting, margin
from nodes.homomorphic.encoding import decode, encode, integer_program, quantise
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey
from nodes.programs.affine import AffineMap
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.program import Program
from nodes.programs.runtime import evaluate
from schemas.errors import BadInput
from schemas.jobs import FixedPoint, Scheme
from tests.support.onnx_backend import (
    Case,
    Floats,
    Trial,
    Way,
    cases_of,
    choices,
    exception,
    linear_operators,
    trial,
)
from tests.support.seal import needs_seal

# fmt: off
NAMED = frozenset({
    "Add", "Sub", "Neg", "Mul", "Div", "MatMul", "Gemm", "Sum", "Mean", "ReduceSum", "ReduceMean", "Concat",
    "Slice", "Split", "Gather", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Flatten", "Identity",
    "Cast", "Pad", "Conv", "AveragePool", "CumSum", "Einsum", "Scaler", "LinearRegressor", "LinearClassifier",
})
# fmt: on
"""What the documentation promises to run on ciphertexts."""
DIVIDES_INTEGERS = "division of integers"
TOLERANCE_SHARE = 0.5
"""Of the tolerance for a case's smallest number for the fixed point; the rest is for the expected values' float32."""

BOTH_WAYS_MAX = 1_000
"""Numbers of a case that is put in both ways; a larger one takes seconds and is put summed only."""
ENCRYPTED_MAX = 100
"""Results of a case that are computed on ciphertext, evenly spread: a ciphertext knows nothing of its neighbours. The
map itself is held against all results."""

CASES = {case.name: case for case in cases_of(linear_operators())}
ENCRYPTED = [name for name, case in CASES.items() if exception(case) is None]
ENCRYPTED_MIN = 265
"""Cases that run encrypted, of 437; a newer `onnx` may bring more."""
OWN_KEY_EVERY = int(os.environ.get("ONNX_OWN_KEY_EVERY", "8"))
"""Of the cases under a key of its own each, which takes a while, only every so many-th; `make soak` runs all. That
there is a key for each is tested for all."""


Keys = Callable[[IntegerProgram, int], SecretKey]
"""A key for a program on so many rows."""


@pytest.fixture(scope="module")
def paillier_keys() -> Keys:
    """One for all programs."""
    secret = paillier.generate(2048, subgroup=True)
    return lambda program, rows: secret


def trials(case: Case) -> Iterator[tuple[Trial, Program, AffineMap]]:
    """The case in both ways, with as many inputs secret at once as the program allows."""
    for way in ("summed", "rows"):
        if way == "rows" and sum(case.inputs[position].size for position in case.data_inputs()) > BOTH_WAYS_MAX:
            return
        for chosen in choices(case):
            made = trial(case, chosen, way)
            compiled = made and linear(made)
            if made and compiled:
                yield made, *compiled
                if chosen == case.data_inputs():
                    break


def linear(made: Trial) -> tuple[Program, AffineMap] | None:
    """The program if it passes the gate and compiles; a refusal must be a typed one."""
    try:
        program = check(made.program)
        return program, affine(program)
    except BadInput:
        return None


def applied(mapped: AffineMap, rows: Floats) -> Floats:
    """The map in plain arithmetic."""
    return (rows.sum(axis=0, keepdims=True) if mapped.sum_rows else rows) @ mapped.weights + mapped.bias


def some_outputs(whole: AffineMap) -> NDArray[np.intp]:
    """Which are computed on ciphertext."""
    return np.unique(np.linspace(0, whole.width_out - 1, ENCRYPTED_MAX, dtype=np.intp))


def quantised(
    made: Trial, whole: AffineMap, outputs: NDArray[np.intp], scheme: Scheme
) -> tuple[Floats, FixedPoint, IntegerProgram]:
    """The columns that some outputs need, and their fixed point and program."""
    used = np.flatnonzero(whole.weights[:, outputs].any(axis=1)) if len(outputs) < whole.width_out else slice(None)
    table = made.rows[:, used]
    mapped = AffineMap(whole.weights[used][:, outputs], whole.bias[outputs], whole.sum_rows)
    tolerance = made.case.atol + made.case.rtol * float(np.abs(made.expected).min())
    bounds, slots = np.abs(table).max(axis=0), schemes.shape(scheme).slots
    fixed, _ = quantise(mapped, bounds, len(table), slots, tolerance * TOLERANCE_SHARE)
    return table, fixed, integer_program(mapped, fixed)


def encrypted(made: Trial, whole: AffineMap, outputs: NDArray[np.intp], keys: Keys, scheme: Scheme) -> Floats:
    """Some outputs over an encrypted table: quantised, encrypted, evaluated without the key, decrypted."""
    table, fixed, program = quantised(made, whole, outputs, scheme)
    rows = len(table)
    secret = keys(program, rows)
    result = secret.public.evaluate(secret.encrypt(encode(table, fixed)), rows, program)
    return decode(secret.decrypt(result, rows, program.width_out, sum_rows=program.sum_rows), fixed)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_backend_case_gives_the_same_plain_and_encrypted(name: str, paillier_keys: Keys) -> None:
    agrees(name, paillier_keys, "paillier")


def test_there_is_a_key_of_bfv_for_each_backend_case() -> None:
    """Its parameters are proved for the case's own program, whichever of its ways it is put in."""
    fit = set()
    for name in ENCRYPTED:
        for made, _, mapped in trials(CASES[name]):
            table, _, program = quantised(made, mapped, some_outputs(mapped), "bfv")
            assert margin(fitting(program, len(table))) > 0, name
            fit.add(name)
    assert len(fit) >= ENCRYPTED_MIN


@needs_seal
@pytest.mark.parametrize("name", ENCRYPTED[::OWN_KEY_EVERY])
def test_a_backend_case_gives_the_same_under_a_key_of_bfv_of_its_own(name: str) -> None:
    agrees(name, bfv.generate_for, "bfv")


def agrees(name: str, keys: Keys, scheme: Scheme) -> None:
    """A case in all its ways, plain and encrypted."""
    ways: set[Way] = set()
    for made, program, mapped in trials(CASES[name]):
        put = f"{made.way}, inputs {made.secret}"
        assert not made.typed or made.agrees(evaluate(program, made.rows)), f"plain, {put}"
        assert made.agrees(applied(mapped, made.rows)), f"compiled, {put}"
        outputs = some_outputs(mapped)
        assert made.agrees(encrypted(made, mapped, outputs, keys, scheme), outputs), f"encrypted, {put}"
        ways.add(made.way)
    assert "summed" in ways


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if exception(case) is not None])
def test_a_backend_case_that_is_not_linear_is_refused(name: str) -> None:
    case = CASES[name]
    reason = exception(case)
    assert reason is not None
    if not case.data_inputs() or reason.startswith(DIVIDES_INTEGERS):  # nothing to send; integers become floats here
        return
    for way in ("summed", "rows"):
        for chosen in choices(case):
            made = trial(case, chosen, way)
            assert made is None or not np.isfinite(made.rows).all() or not linear(made)


def test_the_operators_that_are_promised_are_in_the_table() -> None:
    assert not NAMED - {name for _, name in linear_operators()}


def test_most_backend_cases_with_linear_operators_run_encrypted() -> None:
    assert sum(exception(case) is None for case in CASES.values()) >= ENCRYPTED_MIN
