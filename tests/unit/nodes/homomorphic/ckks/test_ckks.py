"""CKKS refuses what is not its own, keeps its promises about levels and bounds, and shows no secret."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from nodes.homomorphic.ckks import linear as ckks
from nodes.homomorphic.ckks.linear import CkksPublic, CkksSecret
from nodes.homomorphic.ckks.seal import SLOTS, Memory
from nodes.homomorphic.errors import BadCiphertext, BadKey, TooCoarse
from nodes.homomorphic.port import IntegerProgram
from schemas import limits
from schemas.errors import BadConfig, BadData

VALUES = np.arange(-6, 6, dtype=np.int64).reshape(4, 3) * 2**26
HALF = IntegerProgram(((1, 1, 1),), (0,), input_max=2**32)


@pytest.fixture(scope="module")
def secret() -> CkksSecret:
    return ckks.generate()


def test_keys_survive_serialisation_and_a_secret_brings_its_public_key(secret: CkksSecret) -> None:
    again = CkksSecret.from_bytes(secret.to_bytes())
    assert (again.public.digest, again.to_bytes()) == (secret.public.digest, secret.to_bytes())
    public = CkksPublic.from_bytes(secret.public.to_bytes())
    assert public.digest == secret.public.digest
    assert again.decrypt(public.encrypt(VALUES), 4, 3).tolist() == VALUES.tolist()
    assert secret.decrypt(again.encrypt(VALUES), 4, 3).tolist() == VALUES.tolist()


def test_keys_can_be_pickled_for_worker_processes(secret: CkksSecret) -> None:
    again = pickle.loads(pickle.dumps(secret))
    public = pickle.loads(pickle.dumps(secret.public))
    assert again.decrypt(public.encrypt(VALUES), 4, 3).tolist() == VALUES.tolist()


def test_neither_kind_of_key_is_taken_for_the_other(secret: CkksSecret) -> None:
    for data in (secret.to_bytes(), b"SCP2" + secret.to_bytes()[4:]):
        with pytest.raises(BadKey):
            CkksPublic.from_bytes(data)
    for data in (secret.public.to_bytes(), b"SCS2" + secret.public.to_bytes()[4:], secret.to_bytes()[:-1]):
        with pytest.raises(BadKey):
            CkksSecret.from_bytes(data)


def test_a_public_key_says_nothing_of_the_secret_one(secret: CkksSecret) -> None:
    hidden = secret.to_bytes()[: -len(secret.public.to_bytes())]
    assert len(hidden) > 100_000
    assert hidden[-64:] not in secret.public.to_bytes()


def test_secret_and_public_halves_of_different_bounds_are_refused(secret: CkksSecret) -> None:
    data = bytearray(secret.to_bytes())
    data[4] += 1
    with pytest.raises(BadKey, match="belong together"):
        CkksSecret.from_bytes(bytes(data))


def test_the_repr_of_a_secret_key_is_short_of_everything_but_a_digest(secret: CkksSecret) -> None:
    assert repr(secret) == f"CkksSecret(public={secret.public.digest[:16]})"


def test_thirty_columns_of_a_full_block_fit_into_one_body(secret: CkksSecret) -> None:
    assert secret.public.body_bytes(SLOTS, 30) <= limits.BODY_BYTES_MAX
    assert secret.public.ciphertext_bytes == ckks.FRAME_BYTES


def test_programs_follow_each_other_while_their_values_fit(secret: CkksSecret) -> None:
    public, body, expected = secret.public, secret.public.encrypt(VALUES), VALUES.sum(axis=1)
    body = public.evaluate(body, 4, HALF)
    for round_ in range(6):
        program = IntegerProgram(((-9,),), (5,), input_max=2 ** (34 + 4 * round_))
        body, expected = public.evaluate(body, 4, program), expected * -9 + 5
    assert np.abs(secret.decrypt(body, 4, 1)[:, 0] - expected).max() <= ckks.RELATIVE_ERROR * program.largest(4)


def test_values_at_the_bounds_of_a_slot_come_back(secret: CkksSecret) -> None:
    values = np.array([[2**32, -(2**32)], [-(2**32), 2**32]], dtype=np.int64)
    program = IntegerProgram(((2**29, -(2**29)), (2**30, 0)), (2**61, -(2**61)), input_max=2**32)
    result = secret.decrypt(secret.public.evaluate(secret.encrypt(values), 2, program), 2, 2)
    expected = values @ np.array(program.weights).T + np.array(program.bias)
    assert np.abs(result - expected).max() <= ckks.RELATIVE_ERROR * program.largest(2)


def test_results_of_usual_programs_are_exact(secret: CkksSecret) -> None:
    values = np.random.default_rng(5).integers(-(2**30), 2**30, size=(SLOTS + 1, 3), dtype=np.int64)
    program = IntegerProgram(((2**12, -5, 77), (0, 3, -(2**13))), (9, -1), input_max=2**30)
    result = secret.decrypt(secret.public.evaluate(secret.encrypt(values), len(values), program), len(values), 2)
    assert (result == values @ np.array(program.weights).T + np.array(program.bias)).all()


@pytest.mark.parametrize("sum_rows", [False, True])
def test_a_program_whose_results_would_drown_in_noise_is_refused(secret: CkksSecret, sum_rows: bool) -> None:
    program = IntegerProgram(((2**48,) * 3,), (0,), sum_rows, input_max=2**7)
    with pytest.raises(TooCoarse) as caught:
        secret.public.evaluate(secret.public.encrypt(VALUES), 4, program)
    assert caught.value.reachable > caught.value.asked


def test_a_value_past_the_bound_of_the_key_is_refused(secret: CkksSecret) -> None:
    for value in (2**32 + 1, -(2**32) - 1, -(2**63)):
        with pytest.raises(BadData, match="2\\^32"):
            secret.public.encrypt(np.array([[value]], dtype=np.int64))


def test_a_value_in_a_spare_slot_is_refused(secret: CkksSecret) -> None:
    with pytest.raises(BadCiphertext):
        secret.decrypt(secret.public.encrypt(VALUES), 3, 3)


@pytest.mark.parametrize("fault", ["key", "level", "exponent", "length", "tail", "bytes"])
def test_a_mangled_ciphertext_is_refused_by_both_sides(secret: CkksSecret, fault: str) -> None:
    body = bytearray(secret.public.encrypt(VALUES))
    if fault == "bytes":
        body[1000:3000] = b"\xff" * 2000  # residues past their primes
    else:
        at = {"key": 0, "level": 8, "exponent": 9, "length": 13, "tail": secret.public.ciphertext_bytes - 1}
        body[at[fault]] ^= 0x80
    with pytest.raises(BadCiphertext):
        secret.public.evaluate(bytes(body), 4, HALF)
    with pytest.raises(BadCiphertext):
        secret.decrypt(bytes(body), 4, 3)


def test_changed_residues_are_never_read_as_values(secret: CkksSecret) -> None:
    body = bytearray(secret.public.encrypt(VALUES[:, :1].copy()))
    body[1000:1008] = bytes(8)
    with pytest.raises(BadCiphertext):
        secret.decrypt(bytes(body), 4, 1)


@pytest.mark.parametrize("change", ["scale", "modulus"])
def test_a_ciphertext_of_another_scale_or_modulus_is_refused(secret: CkksSecret, change: str) -> None:
    engine = secret.public.engine
    ciphertext = engine.ciphertext()
    secret.public.encryptor.encrypt(engine.plaintext(7.0, ckks.UNIT), ciphertext)
    if change == "scale":
        ciphertext.scale *= 2
    else:
        engine.evaluator.mod_switch_to_next_inplace(ciphertext)
    with Memory() as memory:
        body = b"".join(secret.public.frame(0, 8, ciphertext, memory))
    with pytest.raises(BadCiphertext):
        secret.decrypt(body, 1, 1)


@pytest.mark.parametrize("input_bits", [0, 53, -1])
def test_other_bounds_are_not_made(input_bits: int) -> None:
    with pytest.raises(BadConfig) as caught:
        ckks.generate(input_bits)
    assert caught.value.field == "input_bits"
