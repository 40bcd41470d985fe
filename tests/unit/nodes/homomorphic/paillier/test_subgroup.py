"""Subgroup keys decrypt what any holder of the key encrypts, the short way or the long; they are checked when read."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest

from nodes.homomorphic.errors import BadKey
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.subgroup import ORDER_BITS, Orders

VALUES = np.array([[2**62, -1, 0], [-(2**63), 7, 2**63 - 1]], dtype=np.int64)


@pytest.fixture(scope="module")
def key() -> PaillierSecret:
    return paillier.generate(2048, subgroup=True)


def test_the_noise_base_has_the_order_of_the_subgroup(key: PaillierSecret) -> None:
    assert key.orders is not None
    order = key.orders.p * key.orders.q
    assert gmpy2.powmod(key.public.base, order, key.public.n_squared) == 1
    for part in (key.orders.p, key.orders.q):
        assert part.bit_length() == ORDER_BITS
        assert gmpy2.powmod(key.public.base, part, key.public.n_squared) != 1


def test_ciphertexts_with_any_noise_are_decrypted_also_side_by_side(key: PaillierSecret) -> None:
    short = PaillierPublic.from_bytes(key.public.to_bytes()).encrypt(VALUES)
    long = key.encrypt(VALUES, noise="exact")
    size = key.public.ciphertext_bytes
    mixed = short[:size] + long[size:]
    for body in (short, long, mixed):
        assert key.decrypt(body, 2, 3).tolist() == VALUES.tolist()


def test_stock_phe_and_a_subgroup_key_read_each_other(key: PaillierSecret) -> None:
    stock = key.to_phe()
    body = stock.public_key.encrypt(-5).ciphertext().to_bytes(key.public.ciphertext_bytes, "big")
    assert key.decrypt(body, 1, 1).tolist() == [[-5]]
    ours = int.from_bytes(key.public.encrypt(np.array([[-5]], dtype=np.int64)), "big")
    assert stock.raw_decrypt(ours) == key.public.n - 5


def test_a_subgroup_key_survives_serialisation_and_shows_no_order(key: PaillierSecret) -> None:
    assert PaillierSecret.from_bytes(key.to_bytes()) == key
    assert key.orders is not None
    assert str(key.orders.p) not in repr(key) + repr(key.orders)


def test_orders_that_do_not_fit_are_refused(key: PaillierSecret) -> None:
    data, half = key.to_bytes(), ORDER_BITS // 8
    assert key.orders is not None
    swapped = Orders(key.orders.q, key.orders.p).to_bytes()
    small = (97).to_bytes(half, "big") * 2
    for bad in (data[:-1], data + b"\0", data[: -2 * half], data[: -2 * half] + swapped, data[: -2 * half] + small):
        with pytest.raises(BadKey):
            PaillierSecret.from_bytes(bad)


def test_a_base_outside_the_subgroup_is_refused(key: PaillierSecret) -> None:
    other = PaillierPublic.from_phe(key.public.to_phe())
    with pytest.raises(BadKey, match="subgroup"):
        PaillierSecret.from_bytes(PaillierSecret(other, key.p, key.q, key.orders).to_bytes())
