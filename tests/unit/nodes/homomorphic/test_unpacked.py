"""Encrypted numbers go to other users of phe and come back; what is none of ours is refused."""

from __future__ import annotations

import numpy as np
import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from nodes.homomorphic.unpacked import UnpackedPublic, UnpackedSecret
from schemas.errors import BadData

VALUES = np.array([[1, -2], [3, 2**40], [-(2**62), 0]], dtype=np.int64)


@pytest.fixture(scope="module")
def key(secret: PaillierSecret) -> UnpackedSecret:
    return UnpackedSecret.of(secret)


def test_our_ciphertexts_are_numbers_that_stock_phe_decrypts(key: UnpackedSecret) -> None:
    numbers = key.public.to_numbers(key.public.encrypt(VALUES), 3, 2)
    stock = key.to_phe()
    assert [[stock.decrypt(number) for number in row] for row in numbers] == VALUES.tolist()


def test_numbers_of_stock_phe_run_through_our_programs(key: UnpackedSecret) -> None:
    stock = key.public.to_phe()
    body = key.public.from_numbers([[stock.encrypt(int(value)) for value in row] for row in VALUES])
    program = IntegerProgram(((1, -1),), (5,), input_max=2**61)
    result = key.decrypt(key.public.evaluate(body, 3, program), 3, 1)
    assert result.tolist() == (VALUES @ np.array([[1], [-1]]) + 5).tolist()


@settings(max_examples=10, deadline=None)
@given(value=st.integers(-(2**40), 2**40), exponent=st.integers(-3, 0))
def test_exponents_of_phe_are_brought_down_to_the_one_that_is_asked(
    key: UnpackedSecret, value: int, exponent: int
) -> None:
    number = phe.EncryptedNumber(key.public.to_phe(), key.public.to_phe().encrypt(value).ciphertext(), exponent)
    body = key.public.from_numbers([[number]], exponent=-3)
    assert key.decrypt(body, 1, 1).tolist() == [[value * 16 ** (exponent + 3)]]
    ((again,),) = key.public.to_numbers(body, 1, 1, exponent=-3)
    assert key.to_phe().decrypt(again) == value * 16.0**exponent


def test_an_exponent_that_cannot_be_reached_is_refused(key: UnpackedSecret) -> None:
    number = key.public.to_phe().encrypt(1)
    for exponent in (1, -16):
        with pytest.raises(BadData, match="exponent"):
            key.public.from_numbers([[number]], exponent=exponent)


def test_a_number_under_another_key_is_refused(key: UnpackedSecret, other: PaillierSecret) -> None:
    with pytest.raises(BadCiphertext) as caught:
        key.public.from_numbers([[other.public.to_phe().encrypt(1)]])
    assert caught.value.code == "ciphertext-foreign"


@pytest.mark.parametrize("name", ["0", "n", "-1", "n^2", "p * k", "1", "n^2 - 1"])
def test_a_number_whose_ciphertext_is_none_is_refused(key: UnpackedSecret, name: str) -> None:
    n = int(key.public.n)
    bad = {"0": 0, "n": n, "-1": -1, "n^2": n * n, "p * k": int(key.p) * 5}
    bad |= {"1": 1, "n^2 - 1": n * n - 1}
    number = phe.EncryptedNumber(key.public.to_phe(), bad[name])
    with pytest.raises(BadCiphertext) as caught:
        key.public.from_numbers([[number]])
    assert caught.value.code == "ciphertext-invalid"


def test_rows_of_unequal_length_are_refused(key: UnpackedSecret) -> None:
    number = key.public.to_phe().encrypt(1)
    cases: list[list[list[phe.EncryptedNumber]]] = [[], [[]], [[number], [number, number]]]
    for rows in cases:
        with pytest.raises(BadData, match="equal length"):
            key.public.from_numbers(rows)


def test_an_unpacked_key_is_the_packed_key(key: UnpackedSecret, secret: PaillierSecret) -> None:
    assert key.to_bytes() == secret.to_bytes()
    assert UnpackedSecret.from_bytes(key.to_bytes()) == key
    assert UnpackedPublic.from_bytes(secret.public.to_bytes()).slots == 1
    assert key.public.digest == secret.public.digest
