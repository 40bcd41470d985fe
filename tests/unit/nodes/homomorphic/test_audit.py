"""The audit lets every honest result pass and no other; of approximate results, those that are near enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.homomorphic.audit import (
    CANARIES,
    ROUNDS,
    Auditor,
    Limbs,
    canaries,
    challenge,
    expect,
    passes,
    program_digest,
)
from nodes.homomorphic.port import IntegerProgram

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


def challenge_for(program: IntegerProgram, rows: int) -> Limbs:
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


def test_a_result_with_another_number_of_outputs_is_found() -> None:
    program = IntegerProgram(((1,), (2,)), (0, 0), input_max=10)
    values = np.array([[1], [2], [3]])
    given = challenge_for(program, 3)
    assert passes(values * [1, 2], expect(values, program, given), given)
    assert not passes(values, expect(values, program, given), given)
    assert not passes(values * [1, 2, 3], expect(values, program, given), given)


def test_a_challenge_depends_on_the_secret_and_the_batch() -> None:
    one = challenge(SECRET, "1", 10)
    same, other, foreign = challenge(SECRET, "1", 10), challenge(SECRET, "2", 10), challenge(b"\x06" * 32, "1", 10)
    assert one.tolist() == same.tolist()
    assert len({each.tobytes() for each in (one, other, foreign)}) == 3


def test_vectors_take_all_values_of_their_32_bits() -> None:
    limbs = challenge(SECRET, "batch", 1 << 16)
    assert limbs.shape == (2 * ROUNDS, 1 << 16)
    shares = np.unpackbits(limbs.view(np.uint8), axis=1).mean(axis=1)
    assert np.abs(shares - 0.5).max() < 0.01
    assert len({each.tobytes() for each in limbs}) == 2 * ROUNDS


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (70_000, 2)], ids=str)
@pytest.mark.parametrize("largest", [0, 1, 2**31 - 1, 2**31, 2**63 - 1])
def test_checksums_are_exact_where_numbers_and_vectors_are_largest(shape: tuple[int, int], largest: int) -> None:
    program = IntegerProgram(((1,) + (0,) * (shape[1] - 1),), (0,))
    given = np.full((2 * ROUNDS, shape[0]), 2**16 - 1, dtype=np.uint16)
    for number in (largest, -largest, -largest - 1):
        values = np.full(shape, number, dtype=np.int64)
        known = (2**32 - 1) * number * shape[0]
        sums = expect(values, program, given).sums
        size = len(sums) // ROUNDS
        assert [int.from_bytes(sums[at : at + size], "big", signed=True) for at in (0, size)] == [known] * ROUNDS


def test_an_error_of_any_size_is_found_in_each_round() -> None:
    """No multiple of anything hides: over the integers only r = 0 does, in both rounds."""
    program, values = IntegerProgram(((1,),), (0,), input_max=10), np.array([[1], [2], [3]])
    for drawn in (challenge(SECRET, "1", 3), challenge(SECRET, "2", 3)):
        expected = expect(values, program, drawn)
        for step in (1, 2**16, 2**31 - 1, 2**32, 2**32 * 3, -(2**61)):
            assert not passes(values + np.array([[step], [0], [0]]), expected, drawn)
    silent = np.zeros((2 * ROUNDS, 3), dtype=np.uint16)
    silent[-1] = 1
    assert not passes(values + 1, expect(values, program, silent), silent)


def test_programs_that_differ_in_one_weight_have_other_digests() -> None:
    one, other = IntegerProgram(((1, 2),), (0,)), IntegerProgram(((1, 3),), (0,))
    assert program_digest(one) == program_digest(IntegerProgram(((1, 2),), (0,)))
    assert program_digest(one) != program_digest(other)


# ---------------------------------------------------------------- canaries

APPROXIMATE_ROWS = 4096
TOLERANCE = 1000.0


def approximate(rows: int, *, sum_rows: bool = False) -> tuple[NDArray[np.int64], Auditor, NDArray[np.int64]]:
    """Encoded rows, the audit of their batch, and the exact result."""
    random = np.random.default_rng(11)
    values = random.integers(-BIG, BIG, size=(rows, 3))
    program = IntegerProgram(((300, -20, 1), (0, 5, 70)), (10**6, -(10**6)), sum_rows, BIG)
    inputs = values.sum(axis=0, keepdims=True) if sum_rows else values
    result = inputs @ np.array(program.weights).T + np.array(program.bias)
    return values, Auditor(program, SECRET, "batch", len(result), TOLERANCE), result


@given(
    rows=st.one_of(st.integers(1, 20), st.sampled_from([CANARIES, CANARIES + 1, APPROXIMATE_ROWS])),
    seed=st.integers(0, 2**32),
    sum_rows=st.booleans(),
)
def test_an_honest_approximate_result_passes(rows: int, seed: int, sum_rows: bool) -> None:
    values, auditor, result = approximate(rows, sum_rows=sum_rows)
    noise = np.random.default_rng(seed).integers(-int(TOLERANCE), int(TOLERANCE), size=result.shape, endpoint=True)
    assert auditor.honest(result + noise, auditor.expect(values))


@given(st.integers(1, CANARIES), st.data())
def test_of_a_small_batch_every_wrong_number_is_found(rows: int, data: st.DataObject) -> None:
    values, auditor, result = approximate(rows)
    wrong = result.copy()
    wrong[data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, 1))] += data.draw(
        st.sampled_from([-BIG, -int(TOLERANCE) - 1, int(TOLERANCE) + 1, BIG])
    )
    assert not auditor.honest(wrong, auditor.expect(values))


def test_canaries_of_programs_with_products_are_computed_with_them() -> None:
    """x0 x0 - 2 x0 x1 + 7 x1, of fractions of the largest value."""
    random = np.random.default_rng(12)
    values = random.integers(-BIG, BIG, size=(APPROXIMATE_ROWS, 2))
    program = IntegerProgram(((0, 7, 1, -2),), (-5,), input_max=BIG, products=((0, 0), (0, 1)))
    one, other = values.T.astype(np.float64)
    result = np.rint(one * one / BIG - 2 * one * other / BIG + 7 * other - 5).astype(np.int64)[:, None]
    auditor = Auditor(program, SECRET, "batch", APPROXIMATE_ROWS, 2.0)
    expected = auditor.expect(values)
    assert auditor.honest(result, expected)
    wrong = result.copy()
    wrong[::20] += 3
    assert not auditor.honest(wrong, expected)


def test_a_twentieth_of_the_rows_computed_wrongly_is_found() -> None:
    """Wherever they lie: the chance that a choice holds no canary is computed below."""
    values, auditor, result = approximate(APPROXIMATE_ROWS)
    expected, random = auditor.expect(values), np.random.default_rng(5)
    for _ in range(100):
        wrong = result.copy()
        wrong[random.choice(APPROXIMATE_ROWS, APPROXIMATE_ROWS // 20, replace=False), 0] += int(TOLERANCE) + 1
        assert not auditor.honest(wrong, expected)


def test_a_twentieth_of_a_batch_is_missed_with_a_probability_below_1e_11() -> None:
    """The lessor cannot tell canaries from other rows, so it misses all of them by luck alone."""
    wrong = APPROXIMATE_ROWS // 20
    honest = np.arange(APPROXIMATE_ROWS - wrong - CANARIES + 1, APPROXIMATE_ROWS - wrong + 1)
    anything = np.arange(APPROXIMATE_ROWS - CANARIES + 1, APPROXIMATE_ROWS + 1)
    assert np.prod(honest / anything) < 0.95**CANARIES < 1e-11


@given(st.integers(1, 2 * CANARIES), st.text(max_size=8))
def test_canaries_are_different_rows_of_the_batch(rows: int, batch: str) -> None:
    chosen = canaries(SECRET, batch, rows).tolist()
    assert len(chosen) == len(set(chosen)) == min(rows, CANARIES)
    assert 0 <= min(chosen) <= max(chosen) < rows


def test_canaries_depend_on_the_secret_and_the_batch() -> None:
    drawn = [canaries(*each, APPROXIMATE_ROWS).tolist() for each in ((SECRET, "1"), (SECRET, "2"), (b"\x06" * 32, "1"))]
    assert canaries(SECRET, "1", APPROXIMATE_ROWS).tolist() == drawn[0]
    assert len({tuple(each) for each in drawn}) == 3


def test_canaries_are_spread_over_the_batch() -> None:
    """In 200 batches every row is a canary at least once: none is safe to compute wrongly."""
    seen = {row for batch in range(200) for row in canaries(SECRET, str(batch), APPROXIMATE_ROWS).tolist()}
    assert len(seen) == APPROXIMATE_ROWS


def test_a_sum_that_is_too_far_off_is_found() -> None:
    values, auditor, result = approximate(APPROXIMATE_ROWS, sum_rows=True)
    expected = auditor.expect(values)
    assert auditor.honest(result + int(TOLERANCE), expected)
    assert not auditor.honest(result + int(TOLERANCE) + 1, expected)


def test_an_approximate_result_of_another_shape_is_found() -> None:
    values, auditor, result = approximate(100)
    expected = auditor.expect(values)
    assert not auditor.honest(result[:99], expected)
    assert not auditor.honest(result[:, :1], expected)


@given(computed())
def test_where_nothing_is_tolerated_every_row_is_audited(
    case: tuple[NDArray[np.int64], IntegerProgram, NDArray[np.int64]],
) -> None:
    values, program, result = case
    auditor = Auditor(program, SECRET, "batch", len(result), 0.0)
    expected = auditor.expect(values)
    assert not expected.canaries
    assert auditor.honest(result, expected)
    assert not auditor.honest(result + 1, expected)
