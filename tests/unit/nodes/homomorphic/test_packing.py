"""Packing is exact for every signed 64-bit value, and for every sum of packed plaintexts that stays in its slots."""

from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic import packing

INT64 = st.integers(-(2**63), 2**63 - 1)


def unlift(plaintexts: list[mpz], slots: int) -> list[int]:
    return list(map(int, packing.unpack([plaintext + packing.lift(slots) for plaintext in plaintexts], slots)))


@given(st.lists(INT64, min_size=1, max_size=100), st.sampled_from([1, 31, 47, 63]))
def test_packed_values_come_back_and_spare_slots_are_zero(values: list[int], slots: int) -> None:
    plaintexts = packing.pack(np.array(values, dtype=np.int64), slots)
    back = unlift(plaintexts, slots)
    assert len(plaintexts) == packing.blocks_of(len(values), slots)
    assert back[: len(values)] == values
    assert not any(back[len(values) :])


@given(st.lists(INT64, min_size=1, max_size=31))
def test_a_plaintext_is_the_signed_sum_of_its_slots(values: list[int]) -> None:
    assert packing.pack(np.array(values, dtype=np.int64), 31) == [
        sum(value * 2 ** (64 * slot) for slot, value in enumerate(values))
    ]


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40)), min_size=1, max_size=31))
def test_slots_borrow_from_each_other_and_still_add_exactly(pairs: list[tuple[int, int]]) -> None:
    left, right = (packing.pack(np.array(column, dtype=np.int64), 31)[0] for column in zip(*pairs, strict=True))
    assert unlift([left * 5 - right * 7], 31)[: len(pairs)] == [5 * a - 7 * b for a, b in pairs]


def test_ones_holds_a_one_in_each_slot_asked_for() -> None:
    assert unlift([packing.ones(3) * -9], 5) == [-9, -9, -9, 0, 0]


def test_a_number_too_large_for_its_slots_is_refused() -> None:
    with pytest.raises(OverflowError):
        packing.unpack([mpz(1) << (64 * 31)], 31)
