"""What leaves a partner decrypts to totals, and to nothing of what they were added up from."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.homomorphic import packing
from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram

ROWS = 100
WEIGHTS = ((3, -2), (0, 0), (0, 7))


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(5).integers(-(2**30), 2**30, size=(ROWS, 2), dtype=np.int64)


@pytest.fixture(scope="module")
def summed(secret: PaillierSecret, values: np.ndarray) -> bytes:
    program = IntegerProgram(WEIGHTS, (0, 0, 0), sum_rows=True, input_max=2**30)
    return secret.public.evaluate(secret.public.encrypt(values), ROWS, program)


def test_a_total_is_the_sum_of_all_rows_and_what_the_partner_adds(
    secret: PaillierSecret, values: np.ndarray, summed: bytes
) -> None:
    plus = [5, -(2**40), 0]
    expected = (values @ np.array(WEIGHTS, dtype=np.int64).T).sum(axis=0) + np.array(plus)
    assert totals.opened(secret, totals.hidden(secret.public, summed, 3, plus), 3) == expected.tolist()


def test_partial_sums_do_not_leave(secret: PaillierSecret, values: np.ndarray, summed: bytes) -> None:
    """Without hiding, every slot shows the sum of a few rows; with it, slots of two answers have nothing in common."""
    slots = secret.public.slots
    plain = secret.plaintexts(summed, 3)[0]
    n = secret.public.n
    signed = plain if plain <= n // 2 else plain - n
    few = (values[::slots] @ np.array(WEIGHTS[0])).sum()
    assert packing.unpack([(signed + packing.lift(slots))], slots)[0] == few
    one, other = (secret.plaintexts(totals.hidden(secret.public, summed, 3, [0, 0, 0]), 3)[0] for _ in range(2))
    assert one != other
    assert one % totals.MODULUS == other % totals.MODULUS
    assert not set(_words(one, slots)) & set(_words(other, slots))


@pytest.mark.parametrize("total", [2**63 - 2, -(2**63) + 2, 0, -1])
def test_the_largest_totals_come_back(secret: PaillierSecret, total: int) -> None:
    body = secret.public.encrypt(np.zeros((1, 1), dtype=np.int64))
    assert totals.opened(secret, totals.hidden(secret.public, body, 1, [total]), 1) == [total]


def test_what_is_no_ciphertext_is_refused(secret: PaillierSecret) -> None:
    size = secret.public.ciphertext_bytes
    with pytest.raises(BadCiphertext, match="not valid"):
        totals.hidden(secret.public, bytes(size), 1, [0])
    with pytest.raises(BadCiphertext, match="takes"):
        totals.opened(secret, bytes(size + 1), 1)


def _words(plaintext: int, slots: int) -> list[int]:
    return [(int(plaintext) >> (64 * at)) & (2**64 - 1) for at in range(slots)]
