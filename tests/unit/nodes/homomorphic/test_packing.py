"""Packing is exact for every value that fits its slot, and for every sum of packed plaintexts that stays in them."""

from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic import packing
from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.port import SLOT_BITS, SLOT_BITS_MIN

WIDTHS = st.sampled_from([SLOT_BITS_MIN, 17, 31, 32, 41, 42, 55, 56, 63, SLOT_BITS])
SLOTS = st.sampled_from([1, 31, 47, 63])


def packed(values: list[int], slots: int, bits: int = SLOT_BITS) -> list[mpz]:
    return packing.pack(np.array(values, dtype=np.int64), slots, bits)


def unlift(plaintexts: list[mpz], slots: int, bits: int = SLOT_BITS) -> list[int]:
    lift = packing.lift(slots, bits)
    return list(map(int, packing.unpack([plaintext + lift for plaintext in plaintexts], slots, bits)))


@st.composite
def columns(draw: st.DrawFn, most: int = 100) -> tuple[int, list[int]]:
    """A slot's width, and values that fit it, the largest and the smallest among them."""
    bits = draw(WIDTHS)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    value = st.integers(low, high) | st.sampled_from([low, high, -1, 0])
    return bits, draw(st.lists(value, min_size=1, max_size=most))


@given(columns(), SLOTS)
def test_packed_values_come_back_and_spare_slots_are_zero(column: tuple[int, list[int]], slots: int) -> None:
    bits, values = column
    plaintexts = packed(values, slots, bits)
    back = unlift(plaintexts, slots, bits)
    assert len(plaintexts) == packing.blocks_of(len(values), slots)
    assert back[: len(values)] == values
    assert not any(back[len(values) :])


@given(columns(31))
def test_a_plaintext_is_the_signed_sum_of_its_slots(column: tuple[int, list[int]]) -> None:
    bits, values = column
    assert packed(values, 31, bits) == [sum(value * 2 ** (bits * slot) for slot, value in enumerate(values))]


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40)), min_size=1, max_size=31))
def test_slots_borrow_from_each_other_and_still_add_exactly(pairs: list[tuple[int, int]]) -> None:
    left, right = (packed(list(column), 31, 45)[0] for column in zip(*pairs, strict=True))
    assert unlift([left * 5 - right * 7], 31, 45)[: len(pairs)] == [5 * a - 7 * b for a, b in pairs]


def test_ones_holds_a_one_in_each_slot_asked_for() -> None:
    assert unlift([packing.ones(3, 42) * -9], 5, 42) == [-9, -9, -9, 0, 0]


@pytest.mark.parametrize("bits", [SLOT_BITS_MIN, 41, SLOT_BITS])
def test_a_number_too_large_for_its_slots_is_refused(bits: int) -> None:
    for plaintext in (mpz(1) << (bits * 31), mpz(-1)):
        with pytest.raises(OverflowError):
            packing.unpack([plaintext], 31, bits)


@given(st.integers(SLOT_BITS_MIN, SLOT_BITS - 1), st.booleans(), st.integers(0, 1000))
def test_a_value_that_does_not_fit_its_slot_is_refused_before_it_reaches_its_neighbour(
    bits: int, negative: bool, beyond: int
) -> None:
    limit = 1 << (bits - 1)
    value = -limit - 1 - beyond if negative else limit + beyond
    with pytest.raises(Overflow) as refused:
        packed([0, value, 0], 31, bits)
    assert (refused.value.reached, refused.value.limit) == (abs(value), limit)
