"""Polynomials on ciphertext equal those on plaintext, as closely as promised, and only up to their key's degree."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.ckks import polynomial as ckks_polynomial
from nodes.homomorphic.ckks.polynomial import (
    POLYNOMIAL_ERROR,
    PolynomialPublic,
    PolynomialSecret,
    evaluate_polynomial,
)
from nodes.homomorphic.ckks.products import Polynomials, bound_exponent
from nodes.homomorphic.ckks.seal import SLOTS
from nodes.homomorphic.errors import BadCiphertext, BadKey
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.check import check
from nodes.programs.polynomial import polynomial
from nodes.programs.runtime import evaluate
from schemas.errors import BadConfig, BadData, BadProgram
from tests.unit.nodes.programs.models import data, model, node

WIDTH = 3
Rows = NDArray[np.float64]


@pytest.fixture(scope="module", params=[1, 2], ids=["degree 2", "degree 4"])
def secret(request: pytest.FixtureRequest) -> PolynomialSecret:
    return ckks_polynomial.generate(request.param)


def random_map(seed: int, degree: int, *, outputs: int = 3) -> Polynomials:
    """Some monomials of every degree, of sizes that differ from output to output."""
    rng = np.random.default_rng(seed)
    every = [m for d in range(degree + 1) for m in itertools.combinations_with_replacement(range(WIDTH), d)]
    made = []
    for _ in range(outputs):
        chosen = rng.choice(len(every), size=int(rng.integers(1, len(every) + 1)), replace=False)
        made.append({every[at]: float(rng.normal() * 10.0 ** rng.integers(-3, 4)) for at in chosen})
    return Polynomials(WIDTH, tuple(made))


def values(program: Polynomials, rows: Rows) -> Rows:
    """On plaintext."""
    terms = [[c * rows[:, list(m)].prod(axis=1) for m, c in each.items()] for each in program.outputs]
    return np.stack([np.sum([np.zeros(len(rows)), *each], axis=0) for each in terms], axis=1)


def computed(
    secret: PolynomialSecret, rows: Rows, program: Polynomials, public: PolynomialPublic | None = None
) -> Rows:
    """Encrypted, evaluated and decrypted."""
    body = evaluate_polynomial(public or secret.public, secret.encrypt_fractions(rows), len(rows), program)
    return secret.decrypt_numbers(body, len(rows), program.width_out)


def assert_close(result: Rows, program: Polynomials, rows: Rows) -> None:
    allowed = np.array([POLYNOMIAL_ERROR * 2.0 ** bound_exponent(output) for output in program.outputs])
    assert result.shape == (len(rows), program.width_out)
    assert (np.abs(result - values(program, rows)) <= allowed).all()


@pytest.mark.parametrize("seed", range(4))
def test_random_polynomials_equal_their_values_on_plaintext(secret: PolynomialSecret, seed: int) -> None:
    public = PolynomialPublic.from_bytes(secret.public.to_bytes())
    rows = np.random.default_rng(seed).uniform(-1, 1, size=(SLOTS + 5, WIDTH))
    program = random_map(seed, public.degree)
    body = secret.encrypt_fractions(rows) if seed % 2 else public.encrypted(rows, public.encryptor.encrypt)
    result = evaluate_polynomial(public, body, len(rows), program)
    assert len(result) == public.result_bytes(len(rows), program.width_out)
    assert_close(secret.decrypt_numbers(result, len(rows), program.width_out), program, rows)


def test_every_monomial_alone_is_right(secret: PolynomialSecret) -> None:
    rows = np.random.default_rng(9).choice(np.array([-1.0, -0.5, 0.25, 1.0]), size=(64, WIDTH))
    every = [
        m for d in range(secret.public.degree + 1) for m in itertools.combinations_with_replacement(range(WIDTH), d)
    ]
    program = Polynomials(WIDTH, tuple({monomial: 1.5} for monomial in every))
    result = evaluate_polynomial(secret.public, secret.encrypt_fractions(rows), len(rows), program)
    assert_close(secret.decrypt_numbers(result, len(rows), len(every)), program, rows)


def test_a_checked_program_runs_on_ciphertext() -> None:
    """(x w + b)^2 times a column, of columns up to 8 in size."""
    made = model(
        [
            node("Gemm", ["x", "w", "b"], ["s"]),
            node("Pow", ["s", "two"], ["q"]),
            node("Mul", ["q", "x"], ["y"]),
        ],
        constants={"w": [[0.5], [-1.0], [0.25]], "b": [1.0], "two": [2.0]},
    )
    program, rows = check(data(made)), np.random.default_rng(4).uniform(-8, 8, size=(50, 3))
    mapped = polynomial(program)
    monomials, weights = [*((column,) for column in range(3)), *mapped.products, ()], [*mapped.weights, mapped.bias]
    scaled = Polynomials(
        3,
        tuple(
            {m: float(w[k]) * 8.0 ** len(m) for m, w in zip(monomials, weights, strict=True)}
            for k in range(mapped.width_out)
        ),
    )
    secret = ckks_polynomial.generate()
    result = computed(secret, rows / 8.0, scaled)
    allowed = [POLYNOMIAL_ERROR * 2.0 ** bound_exponent(output) for output in scaled.outputs]
    assert (np.abs(result - evaluate(program, rows)) <= allowed).all()


def test_coefficients_too_small_to_matter_and_outputs_without_any_are_zero(secret: PolynomialSecret) -> None:
    program = Polynomials(WIDTH, ({(0, 1): 1e-40, (): 1.0}, {}, {(0,): 1e-60}))
    rows = np.ones((2, WIDTH))
    result = computed(secret, rows, program)
    assert np.abs(result - [[1.0, 0.0, 0.0]]).max() <= POLYNOMIAL_ERROR


def test_results_are_randomised_afresh(secret: PolynomialSecret) -> None:
    body, program = secret.encrypt_fractions(np.ones((2, WIDTH))), Polynomials(WIDTH, ({(0, 1): 1.0},))
    first, second = (evaluate_polynomial(secret.public, body, 2, program) for _ in range(2))
    assert first != second


def test_a_degree_past_the_key_is_refused(secret: PolynomialSecret) -> None:
    degree = secret.public.degree + 1
    program = Polynomials(WIDTH, ({(0,) * degree: 1.0},))
    with pytest.raises(BadProgram, match=f"degree {degree}, but the key computes"):
        evaluate_polynomial(secret.public, b"", 1, program)


def test_too_many_products_and_sums_past_any_bound_are_refused(secret: PolynomialSecret) -> None:
    wide = Polynomials(40, (dict.fromkeys(itertools.combinations(range(40), 2), 1.0),))
    with pytest.raises(BadProgram, match="780 products of columns, over 512"):
        evaluate_polynomial(secret.public, b"", 1, wide)
    for size in (1e39, 1e308):
        with pytest.raises(BadProgram, match="add up to"):
            evaluate_polynomial(secret.public, b"", 1, Polynomials(WIDTH, ({(0,): size, (1,): size},)))


@pytest.mark.parametrize("value", [1.0000001, -2.0, np.nan, np.inf])
def test_values_larger_than_one_are_not_encrypted(secret: PolynomialSecret, value: float) -> None:
    with pytest.raises(BadData, match="at most 2\\^32 in size"):
        secret.encrypt_fractions(np.array([[value]]))


def test_keys_survive_serialisation_and_are_not_taken_for_each_other(secret: PolynomialSecret) -> None:
    again: PolynomialSecret = pickle.loads(pickle.dumps(secret))
    assert again.public.digest == secret.public.digest
    assert repr(again) == f"PolynomialSecret(public={secret.public.digest[:16]})"
    program, rows = Polynomials(WIDTH, ({(0, 1): 1.0},)), np.full((3, WIDTH), 0.5)
    public: PolynomialPublic = pickle.loads(pickle.dumps(secret.public))
    assert_close(computed(again, rows, program, public), program, rows)
    for bad in (secret.to_bytes(), secret.public.to_bytes()[:-1], secret.public.to_bytes() + b"\0", b""):
        with pytest.raises(BadKey):
            PolynomialPublic.from_bytes(bad)
    for bad in (secret.public.to_bytes(), secret.to_bytes()[:-1]):
        with pytest.raises(BadKey):
            PolynomialSecret.from_bytes(bad)


def test_inputs_are_not_read_as_results_nor_the_other_way_round(secret: PolynomialSecret) -> None:
    program, body = Polynomials(1, ({(0, 0): 1.0},)), secret.encrypt_fractions(np.ones((1, 1)))
    result = evaluate_polynomial(secret.public, body, 1, program)
    with pytest.raises(BadCiphertext):
        secret.decrypt_numbers(body, 1, 1)
    with pytest.raises(BadCiphertext):
        secret.decrypt_numbers(body[: len(result)], 1, 1)
    with pytest.raises(BadCiphertext):
        evaluate_polynomial(secret.public, result.ljust(len(body), b"\0"), 1, program)


@pytest.mark.parametrize("fault", [0, 8, 13, 5000, -1])
def test_a_mangled_ciphertext_is_refused(secret: PolynomialSecret, fault: int) -> None:
    body = bytearray(secret.encrypt_fractions(np.ones((1, 1))))
    body[fault] ^= 0x80
    if fault == 5000:
        body[1000:3000] = bytes(2000)
    with pytest.raises(BadCiphertext):
        evaluate_polynomial(secret.public, bytes(body), 1, Polynomials(1, ({(0,): 1.0},)))


def test_other_depths_are_not_made() -> None:
    with pytest.raises(BadConfig) as caught:
        ckks_polynomial.generate(3)
    assert caught.value.field == "depth"


@pytest.mark.parametrize("input_bits", [0, 53])
def test_other_bounds_are_not_made(input_bits: int) -> None:
    with pytest.raises(BadConfig) as caught:
        ckks_polynomial.generate(1, input_bits)
    assert caught.value.field == "input_bits"


def test_a_program_for_smaller_values_than_the_keys_is_refused(secret: PolynomialSecret) -> None:
    """Its error would be larger than the promised part of its results."""
    program = IntegerProgram(((1, 1),), (0,), input_max=2**31, products=((0, 0),))
    with pytest.raises(BadProgram, match="the key for larger ones"):
        secret.public.evaluate(secret.encrypt(np.ones((1, 1), dtype=np.int64)), 1, program)


def test_results_of_different_bounds_are_not_added(secret: PolynomialSecret) -> None:
    body = secret.encrypt_fractions(np.ones((1, 1)))
    one, other = (evaluate_polynomial(secret.public, body, 1, Polynomials(1, ({(0,): size},))) for size in (1.0, 8.0))
    with pytest.raises(BadCiphertext, match="different programs"):
        secret.public.add(one, other, 1, 1)
    twice = secret.public.add(one, one, 1, 1)
    assert secret.decrypt_numbers(secret.public.rerandomise(twice, 1, 1), 1, 1) == pytest.approx(2.0, abs=1e-5)
