"""CKKS refuses what is not its own, keeps its promises about levels and bounds, and shows no secret."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nodes.homomorphic import ckks
from nodes.homomorphic.ckks import CkksPublic, CkksSecret
from nodes.homomorphic.errors import BadCiphertext, BadKey
from nodes.homomorphic.scheme import IntegerProgram
from schemas.errors import BadConfig, BadData

if not os.environ.get("CI"):
    pytest.importorskip("tenseal", reason="the extra ckks")

VALUES = np.arange(-6, 6, dtype=np.int64).reshape(4, 3) * 2**26
HALF = IntegerProgram(((1, 1, 1),), (0,), input_max=2**32)


@pytest.fixture(scope="module")
def secret() -> CkksSecret:
    return ckks.generate()


def test_keys_survive_serialisation(secret: CkksSecret) -> None:
    again = CkksSecret.from_bytes(secret.to_bytes(), CkksPublic.from_bytes(secret.public.to_bytes()))
    decrypted = again.decrypt(again.public.encrypt(VALUES), 4, 3)
    assert np.abs(decrypted - VALUES).max() <= ckks.RELATIVE_ERROR * 2**32


def test_a_public_key_holds_no_secret_and_one_that_does_is_refused(secret: CkksSecret) -> None:
    with pytest.raises(BadKey, match="secret"):
        CkksPublic.from_bytes(b"SCP1" + secret.to_bytes()[4:])
    with pytest.raises(BadKey):
        CkksSecret.from_bytes(b"SCS1" + secret.public.to_bytes()[4:], secret.public)


def test_the_repr_of_a_secret_key_is_short_of_everything_but_a_digest(secret: CkksSecret) -> None:
    assert repr(secret) == f"CkksSecret(public={secret.public.digest[:16]})"


def test_a_third_program_in_a_row_is_refused(secret: CkksSecret) -> None:
    public = secret.public
    once = public.evaluate(public.encrypt(VALUES), 4, HALF)
    single = IntegerProgram(((1,),), (0,), input_max=2**34)
    twice = public.evaluate(once, 4, single)
    assert np.abs(secret.decrypt(twice, 4, 1)[:, 0] - VALUES.sum(axis=1)).max() <= ckks.RELATIVE_ERROR * 2**34
    with pytest.raises(BadData, match="at most 2 programs"):
        public.evaluate(twice, 4, single)


def test_a_value_past_the_bound_of_the_key_is_refused(secret: CkksSecret) -> None:
    for value in (2**32 + 1, -(2**32) - 1, -(2**63)):
        with pytest.raises(BadData, match="2\\^32"):
            secret.public.encrypt(np.array([[value]], dtype=np.int64))


def test_a_value_in_a_spare_slot_is_refused(secret: CkksSecret) -> None:
    with pytest.raises(BadCiphertext):
        secret.decrypt(secret.public.encrypt(VALUES), 3, 3)


@pytest.mark.parametrize("fault", ["key", "level", "exponent", "length", "tail", "bytes", "columns"])
def test_a_mangled_ciphertext_is_refused_by_both_sides(secret: CkksSecret, fault: str) -> None:
    body = bytearray(secret.public.encrypt(VALUES))
    if fault == "columns":  # the second column claims another exponent than the first
        body[ckks.FRAME_BYTES + 10] ^= 1
    elif fault == "bytes":
        body[1000:3000] = bytes(2000)
    else:
        body[{"key": 0, "level": 8, "exponent": 9, "length": 14, "tail": ckks.FRAME_BYTES - 1}[fault]] ^= 0x80
    with pytest.raises(BadCiphertext):
        secret.public.evaluate(bytes(body), 4, HALF)
    if fault != "columns":
        with pytest.raises(BadCiphertext):
            secret.decrypt(bytes(body), 4, 3)


@pytest.mark.parametrize("input_bits", [0, 53, -1])
def test_other_bounds_are_not_made(input_bits: int) -> None:
    with pytest.raises(BadConfig) as caught:
        ckks.generate(input_bits)
    assert caught.value.field == "input_bits"
