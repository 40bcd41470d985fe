"""What every homomorphic scheme must do, whatever it is made of. Each adapter stands in SCHEMES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.bfv import linear as bfv
from nodes.homomorphic.bfv.parameters import Parameters
from nodes.homomorphic.ckks import linear as ckks
from nodes.homomorphic.ckks import polynomial as ckks_polynomial
from nodes.homomorphic.errors import BadCiphertext, BadKey, DecryptionsStay, Overflow
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.port import IntegerProgram, Noise, PublicKey, SecretKey, require_shareable
from schemas.errors import BadProgram
from tests.support import seal

Scheme = tuple[SecretKey, PublicKey]
Rows = NDArray[np.int64]
BFV: Final = Parameters(chosen=7, limit=2**40, noise=2**30)
"""For more than the programs here reach."""

NARROW: Final = IntegerProgram(((1,),), (0,), input_max=2**41 - 1)
"""Wide enough for what the programs here reach, and no bit wider: slots of 42 bits."""

SCHEMES: Final[dict[str, tuple[Callable[[], SecretKey], Callable[[bytes], PublicKey]]]] = {
    "paillier-2048": (lambda: paillier.generate(2048), PaillierPublic.from_bytes),
    "paillier-3072": (lambda: paillier.generate(3072), PaillierPublic.from_bytes),
    "paillier-2048-narrow": (
        lambda: paillier.generate(2048).laid_out(NARROW),
        lambda raw: PaillierPublic.from_bytes(raw).laid_out(NARROW),
    ),
    "paillier-2048-subgroup": (lambda: paillier.generate(2048, subgroup=True), PaillierPublic.from_bytes),
    "bfv": (lambda: bfv.generate(BFV), bfv.BfvPublic.from_bytes),
    "ckks": (ckks.generate, ckks.CkksPublic.from_bytes),
    "ckks-degree-2": (lambda: ckks_polynomial.generate(1, 30), ckks_polynomial.PolynomialPublic.from_bytes),
    "ckks-degree-4": (lambda: ckks_polynomial.generate(2, 30), ckks_polynomial.PolynomialPublic.from_bytes),
}
PROGRAM: Final = IntegerProgram(((3, -2, 0), (1, 1, 1)), (10, -10), input_max=2**30)


PRODUCTS: Final = IntegerProgram(((3, -2, 0, 5, 1),), (10,), input_max=2**30, products=((0, 2), (1, 1)))
"""Products of columns, which only some schemes compute."""
MULTIPLYING: Final = ckks_polynomial.PolynomialPublic
"""Computes products, but neither sums over rows nor programs on results."""
INPUTS: Final = IntegerProgram(((1,),), (0,), input_max=2**32)
"""What is encrypted and decrypted without a program."""


def assert_close(result: Rows, expected: Rows, public: PublicKey, program: IntegerProgram, rows: int = 1) -> None:
    """Equal, or as close as an approximate scheme promises."""
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= public.relative_error * program.largest(rows)


@pytest.fixture(scope="module", params=seal.each(sorted(SCHEMES)))
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
    assert_close(secret.decrypt(body, len(rows), 3), rows, public, INPUTS)


@pytest.mark.parametrize("noise", ["fixed-base", "exact"])
def test_the_owner_encrypts_with_either_noise(scheme: Scheme, rows: Rows, noise: Noise) -> None:
    secret, public = scheme
    assert_close(secret.decrypt(secret.encrypt(rows, noise=noise), len(rows), 3), rows, public, INPUTS)


def test_a_program_runs_without_the_secret_key_and_as_exactly_as_promised(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    result = public.evaluate(public.encrypt(rows), len(rows), PROGRAM)
    assert len(result) == public.result_bytes(len(rows), 2)
    expected = rows @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert_close(secret.decrypt(result, len(rows), 2), expected, public, PROGRAM)


def test_products_of_columns_are_computed_or_refused_before_any_work(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    body = public.encrypt(rows)
    if not isinstance(public, MULTIPLYING):
        with pytest.raises(BadProgram, match="multiplies columns"):
            public.evaluate(body, len(rows), PRODUCTS)
        return
    expected = PRODUCTS.terms(rows.astype(np.float64)) @ np.array(PRODUCTS.weights).T + np.array(PRODUCTS.bias)
    result = secret.decrypt(public.evaluate(body, len(rows), PRODUCTS), len(rows), 1)
    assert_close(result, np.rint(expected).astype(np.int64), public, PRODUCTS)


def test_results_feed_the_next_program(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    once = public.evaluate(public.encrypt(rows), len(rows), PROGRAM)
    program = IntegerProgram(((1, -3),), (0,), input_max=2**34)
    if isinstance(public, MULTIPLYING):
        with pytest.raises(BadCiphertext):
            public.evaluate(once, len(rows), program)
        return
    twice = public.evaluate(once, len(rows), program)
    first = rows @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert_close(secret.decrypt(twice, len(rows), 1), first @ np.array([[1], [-3]]), public, program)


@pytest.mark.parametrize("count", [1, 5, None])
def test_sums_over_rows_come_back_as_one_row_with_the_bias_once(scheme: Scheme, rows: Rows, count: int | None) -> None:
    secret, public = scheme
    part = rows[:count]
    program = IntegerProgram(PROGRAM.weights, PROGRAM.bias, sum_rows=True, input_max=2**30)
    if isinstance(public, MULTIPLYING):
        with pytest.raises(BadProgram, match="adds rows up"):
            public.evaluate(public.encrypt(part), len(part), program)
        return
    result = public.evaluate(public.encrypt(part), len(part), program)
    expected = part.sum(axis=0, keepdims=True) @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert_close(secret.decrypt(result, len(part), 2, sum_rows=True), expected, public, program, len(part))


def test_results_are_randomised_afresh(scheme: Scheme, rows: Rows) -> None:
    _, public = scheme
    body = public.encrypt(rows)
    assert public.evaluate(body, len(rows), PROGRAM) != public.evaluate(body, len(rows), PROGRAM)


def test_two_bodies_are_added_value_by_value(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    added = public.add(public.encrypt(rows), public.encrypt(rows[::-1].copy()), len(rows), 3)
    program = IntegerProgram(((1, 1),), (0,), input_max=2**32)
    assert_close(secret.decrypt(added, len(rows), 3), rows + rows[::-1], public, program)


def test_a_body_under_fresh_noise_is_another_body_of_the_same_values(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    body = public.evaluate(public.encrypt(rows), len(rows), PROGRAM)
    fresh = public.rerandomise(body, len(rows), 2)
    blocks = range(0, len(body), public.ciphertext_bytes)
    assert not any(body[at:][: public.ciphertext_bytes] == fresh[at:][: public.ciphertext_bytes] for at in blocks)
    expected = rows @ np.array(PROGRAM.weights).T + np.array(PROGRAM.bias)
    assert_close(secret.decrypt(fresh, len(rows), 2), expected, public, PROGRAM)


def test_a_body_cut_short_is_refused_before_any_work(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    body = public.encrypt(rows)
    with pytest.raises(BadCiphertext):
        public.evaluate(body[:-1], len(rows), PROGRAM)
    with pytest.raises(BadCiphertext):
        secret.decrypt(body[:-1], len(rows), 3)
    with pytest.raises(BadCiphertext):
        public.rerandomise(body[:-1], len(rows), 3)
    for left, right in ((body[:-1], body), (body, body[:-1])):
        with pytest.raises(BadCiphertext):
            public.add(left, right, len(rows), 3)


def test_bytes_that_are_no_ciphertext_are_refused(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    for filler in (b"\x00", b"\xff"):
        body = filler * public.body_bytes(len(rows), 3)
        with pytest.raises(BadCiphertext):
            public.evaluate(body, len(rows), PROGRAM)
        with pytest.raises(BadCiphertext):
            secret.decrypt(body, len(rows), 3)
        with pytest.raises(BadCiphertext):
            public.rerandomise(body, len(rows), 3)
        with pytest.raises(BadCiphertext):
            public.add(body, public.encrypt(rows), len(rows), 3)


def test_a_program_that_could_overflow_is_refused(scheme: Scheme, rows: Rows) -> None:
    _, public = scheme
    with pytest.raises(Overflow):
        public.evaluate(public.encrypt(rows), len(rows), IntegerProgram(((2**40, 0, 0),), (0,), input_max=2**30))


@pytest.mark.parametrize("name", seal.each(sorted(SCHEMES)))
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


def test_programs_of_zero_weights_give_the_bias(scheme: Scheme, rows: Rows) -> None:
    secret, public = scheme
    program = IntegerProgram(((0, 0, 0),), (77_000,), input_max=2**30)
    result = secret.decrypt(public.evaluate(public.encrypt(rows), len(rows), program), len(rows), 1)
    assert_close(result, np.full((len(rows), 1), 77_000), public, program)


def test_ciphertexts_under_another_key_are_never_read_as_values(scheme: Scheme, rows: Rows) -> None:
    """Not even for Paillier by luck: a foreign block is a random number, which does not fit its slots."""
    secret, public = scheme
    body = other_key(public).encrypt(rows)
    with pytest.raises(BadCiphertext):
        secret.decrypt(body, len(rows), 3)


def other_key(public: PublicKey) -> PublicKey:
    if isinstance(public, bfv.BfvPublic):
        return bfv.generate(public.parameters).public
    if isinstance(public, ckks.CkksPublic):
        return ckks.generate(public.input_bits).public
    if isinstance(public, ckks_polynomial.PolynomialPublic):
        return ckks_polynomial.generate(public.depth, public.input_bits).public
    return paillier.generate(public.bits).public


def test_decryptions_are_handed_on_only_where_that_is_safe(scheme: Scheme) -> None:
    secret, public = scheme
    if public.relative_error == 0:
        require_shareable(secret)
        return
    with pytest.raises(DecryptionsStay, match="Paillier"):
        require_shareable(secret)
