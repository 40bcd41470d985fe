"""What every homomorphic scheme must do, whatever it is made of. Each adapter stands in SCHEMES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic import paillier
from nodes.homomorphic.errors import BadCiphertext, BadKey, Overflow
from nodes.homomorphic.paillier_public import PaillierPublic
from nodes.homomorphic.scheme import IntegerProgram, Noise, PublicKey, SecretKey

Scheme = tuple[SecretKey, PublicKey]
Rows = NDArray[np.int64]

SCHEMES: Final[dict[str, tuple[Callable[[], SecretKey], Callable[[bytes], PublicKey]]]] = {
    "paillier-2048": (lambda: paillier.generate(2048), PaillierPublic.from_bytes),
    "paillier-3072": (lambda: paillier.generate(3072), PaillierPublic.from_bytes),
}
PROGRAM: Final = IntegerProgram(((3, -2, 0), (1, 1, 1)), (10, -10), input_max=2**30)


@pytest.fixture(scope="module", params=sorted(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    """A secret key, and its public key as another party gets it: through bytes."""
    generate, parse = SCHEMES[request.param]
    secret = generate()
    return secret, parse(secret.public.to_bytes())


@pytest.fixture
def rows(scheme: Scheme) -> Rows:
    """Two full blocks and a part of a third."""
    count = 2 * scheme[1].slots + 3
    return np.random.default_rng(7).integers(-(2**30), 2**30, size=(count, 3), dtype=np.int64)


def test_what_is_encrypted_by_anybody_is_decrypted_by_the_owner(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    body = public.encrypt(rows)
    assert len(body) == public.body_bytes(len(rows), 3)
    assert secret.decrypt(body, len(rows), 3).tolist() == rows.tolist()


@pytest.mark.parametrize("noise", ["fixed-base", "exact"])
def test_the_owner_encrypts_with_either_noise(scheme: Scheme, rows: Rows, noise: Noise) -> None:
    secret, _ = scheme
    assert secret.decrypt(secret.encrypt(rows, noise=noise), len(rows), 3).tolist() == rows.tolist()


def test_a_program_runs_without_the_secret_key_and_exactly(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    result = public.evaluate(public.encrypt(rows), len(rows), PROGRAM)
    assert len(result) == public.body_bytes(len(rows), 2)
    expected = rows @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert secret.decrypt(result, len(rows), 2).tolist() == expected.tolist()


def test_results_feed_the_next_program(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    once = public.evaluate(public.encrypt(rows), len(rows), PROGRAM)
    twice = public.evaluate(once, len(rows), IntegerProgram(((1, -3),), (0,), input_max=2**34))
    first = rows @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert secret.decrypt(twice, len(rows), 1).tolist() == (first @ np.array([[1], [-3]])).tolist()


@pytest.mark.parametrize("count", [1, 5, None])
def test_sums_over_rows_come_back_as_one_row_with_the_bias_once(scheme: Scheme, rows: Rows, count: int | None) -> None:
    secret, public = scheme
    part = rows[:count]
    program = IntegerProgram(PROGRAM.weights, PROGRAM.bias, sum_rows=True, input_max=2**30)
    result = public.evaluate(public.encrypt(part), len(part), program)
    expected = part.sum(axis=0, keepdims=True) @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert secret.decrypt(result, len(part), 2, sum_rows=True).tolist() == expected.tolist()


def test_results_are_randomised_afresh(scheme: Scheme, rows: Rows) -> None:
    _, public = scheme
    body = public.encrypt(rows)
    assert public.evaluate(body, len(rows), PROGRAM) != public.evaluate(body, len(rows), PROGRAM)


def test_a_body_cut_short_is_refused_before_any_work(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    body = public.encrypt(rows)
    with pytest.raises(BadCiphertext):
        public.evaluate(body[:-1], len(rows), PROGRAM)
    with pytest.raises(BadCiphertext):
        secret.decrypt(body[:-1], len(rows), 3)


def test_bytes_that_are_no_ciphertext_are_refused(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    for filler in (b"\x00", b"\xff"):
        body = filler * public.body_bytes(len(rows), 3)
        with pytest.raises(BadCiphertext):
            public.evaluate(body, len(rows), PROGRAM)
        with pytest.raises(BadCiphertext):
            secret.decrypt(body, len(rows), 3)


def test_a_program_that_could_overflow_is_refused(scheme: Scheme, rows: Rows) -> None:
    _, public = scheme
    with pytest.raises(Overflow):
        public.evaluate(public.encrypt(rows), len(rows), IntegerProgram(((2**40, 0, 0),), (0,), input_max=2**30))


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_mangled_key_is_refused(name: str) -> None:
    generate, parse = SCHEMES[name]
    data = generate().public.to_bytes()
    for bad in (b"", data[:-1], data + b"\0", bytes(len(data))):
        with pytest.raises(BadKey):
            parse(bad)


def test_keys_are_named_by_a_digest_of_their_bytes(scheme: Scheme) -> None:
    secret, public = scheme
    assert public.digest == secret.public.digest
    assert len(bytes.fromhex(public.digest)) == 32
