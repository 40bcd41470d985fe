"""The bound of a key holds in the worst case: nothing that a key may be asked for is ever decrypted wrongly."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.bfv import linear, parameters
from nodes.homomorphic.bfv.parameters import FRESH_NOISE, MODULUS_BITS_MAX, SETS, Parameters, fitting, margin
from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import IntegerProgram
from schemas.errors import BadData, BadProgram
from tests.support.seal import needs_seal

ROWS: Final = 300
BITS_MAX: Final = 32
"""Of inputs and of weights: up to more than the largest key has room for."""


@st.composite
def programs(draw: st.DrawFn) -> IntegerProgram:
    """With weights at the ends of their range as often as between."""
    width, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    size = 1 << draw(st.integers(0, BITS_MAX))
    weight = st.sampled_from([-size, 0, size]) | st.integers(-size, size)
    weights = draw(st.lists(st.tuples(*[weight] * width), min_size=outputs, max_size=outputs))
    biases = tuple(draw(st.integers(-size, size)) for _ in weights)
    return IntegerProgram(tuple(weights), biases, draw(st.booleans()), 1 << draw(st.integers(1, BITS_MAX)))


@needs_seal
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), seed=st.integers(0, 2**32 - 1))
def test_results_of_extreme_inputs_are_exact_or_the_program_is_refused(program: IntegerProgram, seed: int) -> None:
    try:
        secret = linear.generate_for(program, ROWS)
    except Overflow:
        return
    made = secret.public.parameters
    assert margin(made) > 0
    ends = np.random.default_rng(seed).choice([-program.input_max, 0, program.input_max], (ROWS, program.width_in))
    values = ends.astype(np.int64)
    result = secret.public.evaluate(secret.encrypt(values), ROWS, program)
    shown = secret.decrypt(result, ROWS, program.width_out, sum_rows=program.sum_rows)
    rows = values.sum(axis=0, keepdims=True) if program.sum_rows else values
    assert (shown == rows @ np.array(program.weights).T + np.array(program.bias)).all()
    for noise, words in secret.public.all_words(result, 1 if program.sum_rows else ROWS, program.width_out):
        room = secret.decryptor.invariant_noise_budget(secret.public.engine.ciphertext(words))
        claimed = math.log2(made.set.q / (made.t * noise))
        assert noise <= made.noise
        assert room >= math.floor(claimed) >= 2


@settings(max_examples=300, deadline=None)
@given(program=programs(), rows=st.integers(1, 1 << 24))
def test_the_margin_of_whatever_is_accepted_is_never_negative(program: IntegerProgram, rows: int) -> None:
    try:
        found = fitting(program, rows)
    except Overflow:
        return
    blocks = blocks_of(rows, found.set.degree) if program.sum_rows else 1
    worst = max(sum(map(abs, weights)) for weights in program.weights) * blocks * FRESH_NOISE
    assert found.noise >= worst + found.set.public_noise
    assert found.limit >= program.largest(blocks)
    assert 4 * found.t * found.noise < found.set.q
    assert math.gcd(found.t, found.set.q) == 1
    assert found.t > 2 * found.limit


@needs_seal
def test_with_a_bound_weaker_by_four_bits_results_are_wrong_and_the_audit_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = IntegerProgram(((900_000,),), (7,), input_max=16)
    honest = fitting(program, SETS[0].degree)
    assert honest.chosen > 0
    monkeypatch.setattr(parameters, "SLACK", Fraction(parameters.SLACK, 16))
    weak = fitting(program, SETS[0].degree)
    assert weak.chosen == 0
    secret, rows = linear.generate(weak), SETS[0].degree
    values = np.full((rows, 1), 16, dtype=np.int64)
    shown = secret.decrypt(secret.public.evaluate(secret.encrypt(values), rows, program), rows, 1)
    wrong = int((shown != values * 900_000 + 7).sum())
    assert 0 < wrong < rows
    auditor = Auditor(program, b"secret", "batch", rows, 0.0)
    assert not auditor.honest(shown, auditor.expect(values))
    monkeypatch.undo()
    strong = linear.generate(honest)
    right = strong.decrypt(strong.public.evaluate(strong.encrypt(values), rows, program), rows, 1)
    assert auditor.honest(right, auditor.expect(values))


STANDARDS: Final = {"HomomorphicEncryption.org, 2018": (54, 109, 218), "ePrint 2024/463": (53, 106, 214)}
"""Bits of a modulus at most, for 128 bits of security with ternary secrets, of degrees 2048, 4096 and 8192."""


@pytest.mark.parametrize("standard", STANDARDS)
def test_moduli_are_smaller_than_a_standard_allows(standard: str) -> None:
    assert all(most < bits for most, bits in zip(MODULUS_BITS_MAX.values(), STANDARDS[standard], strict=True))


@needs_seal
def test_the_older_standard_is_what_seal_has() -> None:
    import seal

    allowed = tuple(seal.CoeffModulus.MaxBitCount(degree) for degree in MODULUS_BITS_MAX)
    assert allowed == STANDARDS["HomomorphicEncryption.org, 2018"]


@pytest.mark.parametrize("each", SETS, ids=str)
def test_every_set_stays_below_our_own_limits(each: parameters.Set) -> None:
    made = each.key_primes
    assert sum(prime.bit_length() for prime in made) <= MODULUS_BITS_MAX[each.degree]
    assert [prime.bit_length() for prime in made] == list(each.modulus_bits)
    assert len(set(made)) == len(made)
    assert all(prime % (2 * each.degree) == 1 for prime in made)


def test_sets_go_from_the_cheapest_to_the_dearest() -> None:
    assert [each.q for each in SETS] == sorted(each.q for each in SETS)
    assert len({each.shape for each in SETS}) == len(SETS)


@needs_seal
def test_fresh_ciphertexts_carry_no_more_noise_than_is_counted() -> None:
    for chosen in (0, 4, 6):
        secret = linear.generate(Parameters(chosen, 1 << 10, 1 << 20))
        public, q_t = secret.public, Fraction(SETS[chosen].q, secret.public.parameters.t)
        values = np.zeros((public.slots, 8), dtype=np.int64)
        for body in (secret.encrypt(values), public.encrypt(values)):
            for noise, words in public.all_words(body, public.slots, 8):
                room = secret.decryptor.invariant_noise_budget(public.engine.ciphertext(words))
                assert room >= math.floor(math.log2(q_t / noise))


def test_what_passes_the_largest_key_is_refused_with_the_numbers() -> None:
    with pytest.raises(Overflow, match="use Paillier") as wide:
        fitting(IntegerProgram(((1 << 29,),), (0,), input_max=1 << 30), 1)
    with pytest.raises(Overflow, match="slot"):
        fitting(IntegerProgram(((1 << 20,),), (0,), sum_rows=True, input_max=1 << 30), 1 << 14)
    assert wide.value.limit == 1 << 58
    with pytest.raises(Overflow, match="noise"):
        fitting(IntegerProgram(((1 << 56,),), (0,), input_max=2), 1)


def test_sums_take_room_for_their_blocks_and_not_for_their_rows() -> None:
    program = IntegerProgram(((1000, -1000),), (0,), sum_rows=True, input_max=1 << 18)
    one, many = fitting(program, 1), fitting(program, 200_000)
    blocks = blocks_of(200_000, many.set.degree)
    assert many.limit == blocks * one.limit


@needs_seal
def test_a_key_computes_nothing_that_it_was_not_made_for() -> None:
    program = IntegerProgram(((3, -2),), (10,), input_max=1 << 10)
    secret = linear.generate_for(program, ROWS)
    values = np.ones((ROWS, 2), dtype=np.int64)
    body = secret.encrypt(values)
    for other in (
        IntegerProgram(((1 << 40, 0),), (0,), input_max=1 << 10),
        IntegerProgram(((30, -20),), (10,), input_max=1 << 10),
    ):
        with pytest.raises(Overflow, match="this key"):
            secret.public.evaluate(body, ROWS, other)
    noisy = IntegerProgram(((3 << 9, -2),), (0,), input_max=2)
    with pytest.raises(Overflow, match="noise"):
        secret.public.evaluate(body, ROWS, noisy)
    with pytest.raises(BadData, match="past"):
        secret.encrypt(values << 20)
    with pytest.raises(BadData, match="int64"):
        secret.encrypt(values[:, :0])
    with pytest.raises(BadProgram, match="multiplies columns"):
        fitting(IntegerProgram(((1, 1),), (0,), input_max=4, products=((0, 0),)), 1)
