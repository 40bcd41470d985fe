"""The audit lets every honest result pass and no other."""

from __future__ import annotations

import gmpy2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.homomorphic.audit import MODULUS_MIN, Challenge, challenge, expect, passes, program_digest
from nodes.homomorphic.scheme import IntegerProgram

SECRET = b"\x05" * 32
BIG = 2**40


@st.composite
def computed(draw: st.DrawFn) -> tuple[NDArray[np.int64], IntegerProgram, NDArray[np.int64]]:
    """Encoded rows, a program, and its exact result."""
    rows, width, outputs = draw(st.integers(1, 60)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32))
    random = np.random.default_rng(seed)
    values = random.integers(-BIG, BIG, size=(rows, width))
    weights = random.integers(-(2**15), 2**15, size=(outputs, width))
    bias = random.integers(-BIG, BIG, size=outputs)
    sum_rows = draw(st.booleans())
    program = IntegerProgram(
        tuple(tuple(int(w) for w in row) for row in weights), tuple(int(b) for b in bias), sum_rows, BIG
    )
    inputs = values.sum(axis=0, keepdims=True) if sum_rows else values
    return values, program, inputs @ weights.T + bias


def challenge_for(program: IntegerProgram, rows: int) -> Challenge:
    return challenge(SECRET, "batch", 1 if program.sum_rows else rows)


@given(computed())
def test_an_honest_result_passes(case: tuple[NDArray[np.int64], IntegerProgram, NDArray[np.int64]]) -> None:
    values, program, result = case
    given = challenge_for(program, len(values))
    assert passes(result, expect(values, program, given), given)


@given(computed(), st.data())
def test_one_wrong_number_anywhere_is_found(
    case: tuple[NDArray[np.int64], IntegerProgram, NDArray[np.int64]], data: st.DataObject
) -> None:
    values, program, result = case
    given = challenge_for(program, len(values))
    wrong = result.copy()
    row, column = data.draw(st.integers(0, len(result) - 1)), data.draw(st.integers(0, result.shape[1] - 1))
    wrong[row, column] += data.draw(st.integers(1, BIG))
    assert not passes(wrong, expect(values, program, given), given)


def test_rows_in_another_order_are_found() -> None:
    program = IntegerProgram(((1,),), (0,), input_max=10)
    values = np.array([[1], [2], [3]])
    given = challenge_for(program, 3)
    assert not passes(values[::-1], expect(values, program, given), given)


def test_a_result_of_another_shape_is_found() -> None:
    program = IntegerProgram(((1,),), (0,), input_max=10)
    values = np.array([[1], [2], [3]])
    given = challenge_for(program, 3)
    assert not passes(values[:2], expect(values, program, given), given)


def test_a_challenge_depends_on_the_secret_and_the_batch() -> None:
    one = challenge(SECRET, "1", 10)
    same, other, foreign = challenge(SECRET, "1", 10), challenge(SECRET, "2", 10), challenge(b"\x06" * 32, "1", 10)
    assert (one.modulus, one.weights.tolist()) == (same.modulus, same.weights.tolist())
    assert len({each.modulus for each in (one, other, foreign)}) == 3
    assert (one.weights != other.weights).any()


@given(st.binary(max_size=8))
def test_the_modulus_is_a_prime_of_31_bits_and_weights_lie_below_it(secret: bytes) -> None:
    drawn = challenge(secret, "batch", 50)
    assert gmpy2.is_prime(drawn.modulus, 40)
    assert MODULUS_MIN < drawn.modulus < 2 * MODULUS_MIN
    assert drawn.weights.min() >= 0
    assert drawn.weights.max() < drawn.modulus


def test_an_error_that_hides_from_one_modulus_is_found_under_another() -> None:
    program = IntegerProgram(((1,),), (0,), input_max=10)
    values = np.array([[1], [2], [3]])
    one, other = challenge(SECRET, "1", 3), challenge(SECRET, "2", 3)
    wrong = values + np.array([[one.modulus], [0], [0]])
    assert passes(wrong, expect(values, program, one), one)
    assert not passes(wrong, expect(values, program, other), other)


def test_programs_that_differ_in_one_weight_have_other_digests() -> None:
    one, other = IntegerProgram(((1, 2),), (0,)), IntegerProgram(((1, 3),), (0,))
    assert program_digest(one) == program_digest(IntegerProgram(((1, 2),), (0,)))
    assert program_digest(one) != program_digest(other)
