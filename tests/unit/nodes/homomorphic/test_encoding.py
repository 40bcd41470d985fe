"""Fixed point stays within the error it proves, spends few weight bits, and refuses with the numbers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.homomorphic.encoding import decode, encode, integer_program, quantise, result_bits
from nodes.homomorphic.errors import Overflow, TooCoarse
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.affine import AffineMap
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.jobs import FixedPoint

Floats = NDArray[np.float64]


def affine(weights: list[list[float]], bias: list[float], *, sum_rows: bool = False) -> AffineMap:
    return AffineMap(np.array(weights, dtype=np.float64), np.array(bias, dtype=np.float64), sum_rows)


def run(program: IntegerProgram, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The program in Python's integers, which cannot overflow; the result must fit int64."""
    inputs = [[sum(column) for column in zip(*rows.tolist(), strict=True)]] if program.sum_rows else rows.tolist()
    outputs = [
        [
            sum(w * x for w, x in zip(weights, row, strict=True)) + bias
            for weights, bias in zip(program.weights, program.bias, strict=True)
        ]
        for row in inputs
    ]
    return np.array(outputs, dtype=np.int64)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(1, 12),
    magnitude=st.integers(-12, 12),
    max_error=st.sampled_from([1e-1, 1e-3, 1e-5]),
    sum_rows=st.booleans(),
)
def test_the_error_stays_within_the_proved_bound(
    seed: int, width: int, magnitude: int, max_error: float, sum_rows: bool
) -> None:
    rng = np.random.default_rng(seed)
    bounds = 10.0 ** rng.uniform(magnitude - 1, magnitude + 1, width)
    program = AffineMap(rng.normal(size=(width, 3)) / bounds[:, None], rng.normal(size=3), sum_rows)
    rows = rng.uniform(-1, 1, (20, width)) * bounds
    fixed, bound = quantise(program, bounds, 20, 31, max_error)
    integers = integer_program(program, fixed)
    result = decode(run(integers, encode(rows, fixed)), fixed)
    inputs = rows.sum(axis=0, keepdims=True) if sum_rows else rows
    assert bound <= max_error
    assert np.abs(result - (inputs @ program.weights + program.bias)).max() <= bound + 1e-12
    assert integers.largest(20) < 2**63


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.lists(st.integers(0, 44), min_size=1, max_size=5),
    whole_weights=st.booleans(),
    others=st.integers(0, 2),
    sum_rows=st.booleans(),
)
def test_whole_numbers_stay_within_the_proved_bound(
    seed: int, bits: list[int], whole_weights: bool, others: int, sum_rows: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.array(
        [[rng.integers(-(2**each), 2**each, endpoint=True) for each in bits] for _ in range(20)], dtype=float
    )
    rows = np.hstack([rows, rng.uniform(-1, 1, (20, others))])
    width = len(bits) + others
    weights = rng.integers(-3, 4, (width, 2)).astype(float) if whole_weights else rng.normal(size=(width, 2))
    program = AffineMap(weights, rng.normal(size=2) if others else np.array([1.0, -2.0]), sum_rows)
    whole = np.array([True] * len(bits) + [False] * others)
    fixed, bound = quantise(program, np.abs(rows).max(axis=0), 20, 31, 1e9, whole=whole)
    result = decode(run(integer_program(program, fixed), encode(rows, fixed)), fixed)
    inputs = [[sum(map(Fraction, column)) for column in rows.T.tolist()]] if sum_rows else rows.tolist()
    for found, row in zip(result.tolist(), inputs, strict=True):
        for output, value in enumerate(found):
            terms = (Fraction(x) * Fraction(w) for x, w in zip(row, weights[:, output].tolist(), strict=True))
            assert abs(Fraction(value) - sum(terms) - Fraction(program.bias[output])) <= bound


@pytest.mark.parametrize("largest", [1.0, 2.0**20, 2.0**31 + 1, 1e12, 2.0**46])
def test_sums_of_whole_numbers_are_exact(largest: float) -> None:
    program, rows = affine([[1.0]], [0.0], sum_rows=True), np.array([[largest], [-3.0 if largest > 3 else 0.0]])
    fixed, bound = quantise(program, np.array([largest]), 47, 47, 1e-9, whole=np.array([True]))
    assert bound == 0.0
    assert decode(run(integer_program(program, fixed), encode(rows, fixed)), fixed).tolist() == [[rows.sum()]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(1, 4),
    degree=st.integers(2, 4),
    magnitude=st.integers(-4, 4),
    max_error=st.sampled_from([1e-1, 1e-2, 1e-4]),
)
def test_products_of_columns_stay_within_the_proved_bound(
    seed: int, width: int, degree: int, magnitude: int, max_error: float
) -> None:
    rng = np.random.default_rng(seed)
    bounds = 10.0 ** rng.uniform(magnitude - 1, magnitude + 1, width)
    products = tuple(
        each for d in range(2, degree + 1) for each in itertools.combinations_with_replacement(range(width), d)
    )
    reach = np.concatenate([bounds, [bounds[list(each)].prod() for each in products]])
    weights = rng.normal(size=(len(reach), 2)) / reach[:, None]
    program = AffineMap(weights, rng.normal(size=2), products=products)
    rows = rng.uniform(-1, 1, (20, width)) * bounds
    fixed, bound = quantise(program, bounds, 1, 4096, max_error)
    integers = integer_program(program, fixed)
    terms = integers.terms(encode(rows, fixed).astype(np.float64))
    result = (terms @ np.array(integers.weights, dtype=np.float64).T + np.array(integers.bias)) * 2.0 ** -result_bits(
        fixed
    )
    exact = np.column_stack([rows, *(rows[:, list(each)].prod(axis=1) for each in products)]) @ weights + program.bias
    assert integers.width_in == program.width_in == width
    assert bound <= max_error
    assert np.abs(terms).max() <= integers.input_max
    assert np.abs(result - exact).max() <= bound + 1e-12


@pytest.mark.parametrize("max_error", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("biases", [(0.0, 0.0), (5.3, -0.01)], ids=str)
def test_no_narrower_scales_prove_the_error(max_error: float, biases: tuple[float, float]) -> None:
    """All pairs that need less, tried one by one at the largest values of every sign."""
    program, bounds = affine([[0.7, 1 / 3], [-0.3, 0.01], [0.11, -0.9]], list(biases)), np.ones(3)
    fixed, bound = quantise(program, bounds, 1, 31, max_error)

    def proved(input_bits: int, weight_bits: int) -> float:
        raised = program.weights * 2.0**weight_bits
        lost = np.abs(raised - np.rint(raised)).sum(axis=0) * 2.0**-weight_bits
        unit = 2.0 ** -(input_bits + weight_bits)
        moved = np.abs(np.rint(raised)).sum(axis=0) * unit / 2
        return float((lost + moved + np.abs(program.bias / unit - np.rint(program.bias / unit)) * unit).max())

    taken = fixed.input_bits + 2 * fixed.weight_bits
    assert bound == pytest.approx(proved(fixed.input_bits, fixed.weight_bits), rel=1e-8)
    assert bound <= max_error
    for weight_bits in range(taken // 2):
        for input_bits in range(1, min(52, taken - 2 * weight_bits - 1) + 1):
            assert proved(input_bits, weight_bits) > max_error


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(1, 8),
    magnitude=st.integers(-12, 12),
    max_error=st.sampled_from([1e-1, 1e-3, 1e-5]),
    sum_rows=st.booleans(),
)
def test_the_proof_holds_where_every_value_is_as_large_as_its_column_allows(
    seed: int, width: int, magnitude: int, max_error: float, sum_rows: bool
) -> None:
    """In fractions: of each weight's sign and of the opposite, and values half a unit off."""
    rng = np.random.default_rng(seed)
    bounds = np.ldexp(np.ones(width), rng.integers(magnitude - 3, magnitude + 3, width))
    program = AffineMap(rng.normal(size=(width, 2)) / bounds[:, None], rng.normal(size=2), sum_rows)
    fixed, bound = quantise(program, bounds, 4, 31, max_error)
    signs = np.vstack([np.sign(program.weights.T), -np.sign(program.weights.T)])
    half = 2.0 ** -(fixed.input_bits + 1)
    integers = integer_program(program, fixed)
    for rows in (signs * bounds, signs * (1 - half) * bounds, signs * (0.5 + half) * bounds):
        for batch in [rows[at : at + 1].repeat(4, axis=0) for at in range(4)] if sum_rows else [rows]:
            result = decode(run(integers, encode(batch, fixed)), fixed)
            inputs = [[sum(map(Fraction, column)) for column in batch.T.tolist()]] if sum_rows else batch.tolist()
            for found, row in zip(result.tolist(), inputs, strict=True):
                for output, value in enumerate(found):
                    weights = program.weights[:, output].tolist()
                    terms = sum(Fraction(x) * Fraction(w) for x, w in zip(row, weights, strict=True))
                    assert abs(Fraction(value) - terms - Fraction(program.bias[output])) <= bound <= max_error


@given(seed=st.integers(0, 2**32 - 1), errors=st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=2))
def test_who_allows_more_error_gets_no_wider_scales(seed: int, errors: list[float]) -> None:
    rng = np.random.default_rng(seed)
    program = AffineMap(rng.normal(size=(5, 2)), rng.normal(size=2))
    less, more = (quantise(program, np.full(5, 4.0), 1, 31, each)[0] for each in sorted(errors))
    assert more.input_bits + 2 * more.weight_bits <= less.input_bits + 2 * less.weight_bits


def test_thirty_columns_take_the_room_that_their_error_needs() -> None:
    random = np.random.default_rng(1)
    program, bounds = AffineMap(random.normal(size=(30, 1)) / 30, np.array([0.1])), np.full(30, 4.0)
    narrow, _ = quantise(program, bounds, 1, 47, 1e-4)
    wide, _ = quantise(program, bounds, 1, 47, 1e-4, widest=True)
    assert integer_program(program, narrow).largest(1).bit_length() <= 40
    assert integer_program(program, wide).largest(1).bit_length() >= 62


def test_counts_and_flags_share_a_unit_and_leave_nothing_behind_the_point() -> None:
    program = affine([[1.0], [-2.0], [3.0]], [7.0])
    bounds, rows = np.array([1000.0, 1.0, 30.0]), np.array([[999.0, 1.0, -30.0], [-1000.0, 0.0, 30.0]])
    fixed, bound = quantise(program, bounds, 1, 47, 1e-4, whole=np.ones(3, dtype=np.bool_))
    assert (result_bits(fixed), bound) == (0, 0.0)
    assert decode(run(integer_program(program, fixed), encode(rows, fixed)), fixed).tolist() == [[914.0], [-903.0]]


def test_a_refusal_speaks_of_the_error_that_was_asked() -> None:
    program, bounds = affine([[1.0 / 3]] * 30, [0.0]), np.ones(30)
    with pytest.raises(TooCoarse) as whole:
        quantise(program, bounds, 1, 31, 1e-12)
    with pytest.raises(TooCoarse) as part:
        quantise(program, bounds, 1, 31, 1e-12, share=0.125)
    assert "not 1e-12" in str(part.value)
    assert part.value.asked == whole.value.asked == 1e-12
    assert part.value.reachable == pytest.approx(8 * whole.value.reachable, rel=0.5)


def test_weights_that_are_exact_need_no_more_bits() -> None:
    fixed, _ = quantise(affine([[1.0], [0.0]], [0.0], sum_rows=True), np.array([100.0, 3.0]), 1000, 47, 1e-3)
    assert integer_program(affine([[1.0], [0.0]], [0.0], sum_rows=True), fixed).weights == ((1, 0),)


def test_the_input_gets_the_bits_that_the_slot_leaves_where_the_widest_is_wanted() -> None:
    program = affine([[0.7], [-0.3]], [5.0])
    fixed, _ = quantise(program, np.ones(2), 1, 31, 1e-3, widest=True)
    assert integer_program(program, fixed).largest(1) < 2**63
    more = FixedPoint(
        column_exponents=fixed.column_exponents, input_bits=fixed.input_bits + 1, weight_bits=fixed.weight_bits
    )
    assert fixed.input_bits == 52 or integer_program(program, more).largest(1) >= 2**62


def test_columns_get_the_smallest_power_of_two_that_holds_their_bound() -> None:
    fixed, _ = quantise(affine([[1.0]] * 5, [0.0]), np.array([1.0, 1.5, 2.0, 0.25, 1000.0]), 1, 31, 1e-2)
    assert fixed.column_exponents == (0, 1, 1, -2, 10)


def test_a_column_that_is_always_zero_costs_nothing() -> None:
    program = affine([[1e9], [1.0]], [0.0])
    fixed, bound = quantise(program, np.array([0.0, 1.0]), 1, 31, 1e-6)
    assert integer_program(program, fixed).weights[0][0] == 0
    assert decode(run(integer_program(program, fixed), encode(np.array([[0.0, 0.5]]), fixed)), fixed) == pytest.approx(
        0.5, abs=bound
    )


def test_weights_that_are_all_zero_leave_the_bias() -> None:
    program = affine([[0.0]], [-2.5])
    fixed, bound = quantise(program, np.ones(1), 1, 31, 1e-6)
    assert decode(run(integer_program(program, fixed), encode(np.ones((1, 1)), fixed)), fixed) == pytest.approx(
        -2.5, abs=bound
    )


def test_an_error_out_of_reach_is_refused_with_the_numbers() -> None:
    with pytest.raises(TooCoarse) as caught:
        quantise(affine([[1.0 / 3]] * 30, [0.0]), np.ones(30), 1, 31, 1e-12)
    assert caught.value.asked == 1e-12 < caught.value.reachable
    assert f"{caught.value.reachable:.3g}" in str(caught.value)
    assert "1e-12" in str(caught.value)


@pytest.mark.parametrize("weight", [1e30, 1e300])
def test_weights_too_large_for_a_slot_are_refused(weight: float) -> None:
    with pytest.raises(BadProgram):
        quantise(affine([[weight]], [0.0]), np.ones(1), 1, 31, 1e-4)


def test_a_bias_too_large_for_a_slot_is_refused() -> None:
    with pytest.raises(TooCoarse):
        quantise(affine([[0.1]], [1e20]), np.ones(1), 1, 31, 1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_and_biases_that_are_not_finite_are_refused(bad: float) -> None:
    fixed = FixedPoint(column_exponents=(0,), input_bits=20, weight_bits=20)
    for program in (affine([[bad]], [0.0]), affine([[1.0]], [bad])):
        with pytest.raises(BadProgram, match="finite"):
            quantise(program, np.ones(1), 1, 31, 1e-4)
        with pytest.raises(BadProgram, match="finite"):
            integer_program(program, fixed)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 2.0**300])
def test_bounds_that_are_no_sizes_are_refused(bad: float) -> None:
    with pytest.raises(BadData):
        quantise(affine([[1.0]], [0.0]), np.array([bad]), 1, 31, 1e-4)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_an_error_that_is_no_positive_number_is_refused(bad: float) -> None:
    with pytest.raises(BadConfig) as caught:
        quantise(affine([[1.0]], [0.0]), np.ones(1), 1, 31, bad)
    assert caught.value.field == "max_error"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.01, -1.01])
def test_a_value_past_its_bound_is_refused_by_row_and_column(bad: float) -> None:
    fixed = FixedPoint(column_exponents=(3, 0), input_bits=20, weight_bits=0)
    with pytest.raises(BadData, match="row 3, column 2") as caught:
        encode(np.array([[1.0, 1.0], [8.0, -1.0], [0.0, bad]]), fixed)
    assert caught.value.row == 3


def test_scales_for_another_width_are_refused() -> None:
    fixed = FixedPoint(column_exponents=(0, 0), input_bits=20, weight_bits=10)
    with pytest.raises(BadProgram):
        integer_program(affine([[1.0]], [0.0]), fixed)
    with pytest.raises(BadData):
        encode(np.ones((1, 3)), fixed)
    with pytest.raises(BadData):
        quantise(affine([[1.0]], [0.0]), np.ones(2), 1, 31, 1e-4)


def test_scales_from_outside_that_would_overflow_are_refused() -> None:
    wide = FixedPoint(column_exponents=(0,), input_bits=64, weight_bits=0)
    with pytest.raises(BadConfig):
        encode(np.ones((1, 1)), wide)
    with pytest.raises(BadConfig):
        integer_program(affine([[1.0]], [0.0]), wide)
    heavy = FixedPoint(column_exponents=(0,), input_bits=40, weight_bits=60)
    beyond = FixedPoint(column_exponents=(1000,), input_bits=40, weight_bits=1000)
    with pytest.raises(Overflow):
        integer_program(affine([[1.0]], [0.0]), heavy).require_room(1)
    with pytest.raises(BadProgram):
        integer_program(affine([[1.0]], [0.0]), beyond)
