"""The pass over encrypted rows, against sums of plain integers."""

from __future__ import annotations

from math import prod

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint import buckets, partner

ROWS = 150


def _opened(secret: PaillierSecret, body: bytes, width: int) -> list[list[int]]:
    size = secret.public.ciphertext_bytes
    numbers = [mpz.from_bytes(body[at : at + size], "big") for at in range(0, len(body), size)]
    layout = Layout.widest(secret.public.bits, width)
    return layout.unpack(secret.decrypt_plaintexts(numbers), secret.public.n, layout.limit)


def _columns(kind: str) -> NDArray[np.int64]:
    rng = np.random.default_rng(5)
    dense = rng.integers(-2048, 2048, size=(ROWS, 3))
    match kind:
        case "dense":
            return dense
        case "wide":
            return dense * 4096 + rng.integers(0, 4096, size=dense.shape)
        case "sparse":
            return dense * (rng.random(dense.shape) < 0.05)
        case "binary":
            return rng.integers(0, 2, size=(ROWS, 5)) * 2047
        case "mixed":
            return np.hstack([dense, rng.integers(-1, 2, size=(ROWS, 3)), np.zeros((ROWS, 1), dtype=np.int64)])
        case _:
            return -np.abs(dense)


@pytest.mark.parametrize("kind", ["dense", "wide", "sparse", "binary", "mixed", "negative"])
def test_the_pass_gives_exact_sums_for_all_columns_of_a_row_at_once(secret: PaillierSecret, kind: str) -> None:
    table = np.random.default_rng(4).integers(-(2**15), 2**15, size=(ROWS, 7))
    weights = _columns(kind)
    body = secret.public.encrypt_rows(table)
    found = _opened(secret, partner.cross_moments(secret.public, body, weights), 7)
    assert found == (weights.T @ table).tolist()


def test_blocks_of_rows_add_up(secret: PaillierSecret) -> None:
    table, weights = np.arange(-20, 20)[:, None], np.arange(40)[:, None] % 7
    size, public = secret.public.ciphertext_bytes, secret.public
    body = public.encrypt_rows(table)
    first = partner.cross_moments(public, body[: 25 * size], weights[:25])
    second = partner.cross_moments(public, body[25 * size :], weights[25:])
    assert _opened(secret, partner.added(public, first, second), 1) == (weights.T @ table).tolist()


def test_columns_of_few_levels_share_buckets_and_others_do_not() -> None:
    rng = np.random.default_rng(6)
    binary, dense = rng.integers(0, 2, size=(4000, 6)), rng.integers(0, 1024, size=(4000, 2))
    assert sorted(map(len, buckets.groups(np.hstack([dense, binary])))) == [1, 1, 6]


def test_columns_of_a_one_hot_table_stand_alone() -> None:
    table = np.eye(40, dtype=np.int64)[np.random.default_rng(7).integers(0, 40, 4000)]
    assert len(buckets.groups(table)) == 40


@pytest.mark.parametrize("number", ["0", "1", "n", "n squared", "a multiple of p", "-1"])
def test_one_invalid_ciphertext_among_rows_is_refused(secret: PaillierSecret, number: str) -> None:
    public = secret.public
    body = bytearray(public.encrypt_rows(np.ones((5, 2), dtype=np.int64)))
    wrong = {
        "0": mpz(0),
        "1": mpz(1),
        "n": public.n,
        "n squared": public.n_squared,
        "a multiple of p": secret.p * 7,
        "-1": public.n_squared - 1,
    }[number]
    size = public.ciphertext_bytes
    body[2 * size : 3 * size] = wrong.to_bytes(size, "big")
    with pytest.raises(BadCiphertext) as caught:
        partner.cross_moments(public, bytes(body), np.ones((5, 1), dtype=np.int64))
    assert caught.value.code == "ciphertext-invalid"


def test_a_body_of_another_length_is_refused(secret: PaillierSecret) -> None:
    body = secret.public.encrypt_rows(np.ones((5, 2), dtype=np.int64))
    with pytest.raises(BadCiphertext) as caught:
        partner.cross_moments(secret.public, body[:-1], np.ones((5, 1), dtype=np.int64))
    assert caught.value.code == "ciphertext-length"


@given(
    arrays(
        np.int64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.sampled_from([-(2**20), -3, 0, 1, 2, 7])
    )
)
def test_joint_products_are_products_of_powers(integers: NDArray[np.int64]) -> None:
    n_squared = mpz(1009 * 2003) ** 2
    heads = [mpz(5 + 7 * at) for at in range(len(integers))]
    naive = [
        prod((gmpy2.powmod(head, weight, n_squared) for head, weight in zip(heads, column, strict=True)), start=mpz(1))
        for column in integers.T.tolist()
    ]
    assert buckets.joint_products(heads, integers, n_squared) == [each % n_squared for each in naive]


def test_sums_of_tails_are_exact_for_the_widest_columns() -> None:
    n = (mpz(1) << 2048) - 159
    tails = [n - 1 - at for at in range(3000)]
    weights = np.full((3000, 1), 2**30 - 1, dtype=np.int64)
    weights[::2] *= -1
    expected = sum(int(weight) * tail for weight, tail in zip(weights[:, 0], tails, strict=True)) % n
    assert buckets.weighted_tails(tails, weights, n) == [expected]
