"""One row in one plaintext, and what is refused when it comes back."""

from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz

from nodes.homomorphic.errors import BadCiphertext, Overflow
from nodes.homomorphic.paillier.slots import Layout

N = (mpz(1) << 2047) + 12345


@pytest.mark.parametrize(("bits", "width", "slot_bits"), [(2048, 31, 65), (3072, 31, 99), (2048, 6, 340)])
def test_slots_are_as_wide_as_the_key_allows(bits: int, width: int, slot_bits: int) -> None:
    assert Layout.widest(bits, width).slot_bits == slot_bits


def test_rows_that_leave_no_room_are_refused_with_the_most_that_fit() -> None:
    with pytest.raises(Overflow) as caught:
        Layout.widest(2048, 43)
    assert (caught.value.reached, caught.value.limit) == (43, 42)


def test_what_is_packed_is_unpacked_from_its_residues() -> None:
    rows = np.random.default_rng(1).integers(-(2**40), 2**40, size=(20, 31))
    layout = Layout.widest(2048, 31)
    assert layout.unpack([plaintext % N for plaintext in layout.pack(rows)], N, 2**40) == rows.tolist()


@pytest.mark.parametrize("plaintext", [N // 2, mpz(1) << (65 * 31), mpz(1 << 41), N - (1 << 41)])
def test_bits_above_the_slots_and_numbers_past_the_bound_are_refused_alike(plaintext: mpz) -> None:
    with pytest.raises(BadCiphertext) as caught:
        Layout.widest(2048, 31).unpack([plaintext], N, 2**40)
    assert caught.value.code == "ciphertext-invalid"
