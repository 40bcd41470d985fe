"""What is counted before a job is what happens in it: ciphertexts of real bodies, multiplications of real programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from gmpy2 import f_divmod, invert, mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from nodes.homomorphic.costs import (
    TABLES_AFTER,
    Units,
    Work,
    count,
    count_sealed,
    encrypt_seconds,
    evaluate_seconds,
    products,
    steps,
)
from nodes.homomorphic.paillier import multiexp, noise
from nodes.homomorphic.paillier.multiexp import compile_signed, multiplications
from nodes.homomorphic.paillier.noise import Digits, NoiseSource
from nodes.homomorphic.paillier.residues import ONE, Pair, multiply, split, square
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram
from schemas.jobs import Scheme

UNITS = Units(
    start=1.0,
    encrypt=(4.0, 0.5, 0.25),
    tables=(40.0, 1000.0),
    encrypt_exact=8.0,
    read_key=3.0,
    receive=0.25,
    step=0.125,
    output=2.0,
    decrypt=1.0,
)
N = mpz(2**127 - 1)


@dataclass(slots=True)
class Counter:
    """Multiplications modulo n^2 that were executed."""

    multiplied: int = 0


@contextmanager
def counted() -> Iterator[Counter]:
    """Counts what compiled powers execute."""
    counter = Counter()

    def counted_multiply(left: Pair, right: Pair, n: mpz) -> Pair:
        counter.multiplied += left is not ONE and right is not ONE
        return multiply(left, right, n)

    def counted_square(pair: Pair, n: mpz) -> Pair:
        counter.multiplied += 1
        return square(pair, n)

    def counted_divmod(product: mpz, n: mpz) -> tuple[mpz, mpz]:
        counter.multiplied += 1
        carry, low = f_divmod(product, n)
        return carry, low

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiexp, "f_divmod", counted_divmod)
        patch.setattr(multiexp, "multiply", counted_multiply)
        patch.setattr(multiexp, "square", counted_square)
        yield counter


def program(*weights: tuple[int, ...], sum_rows: bool = False) -> IntegerProgram:
    return IntegerProgram(weights, (1,) * len(weights), sum_rows, input_max=1000)


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=6).map(tuple))
def test_as_many_multiplications_are_counted_as_compiled_weights_execute(weights: tuple[int, ...]) -> None:
    compiled, bases = compile_signed(weights), [split(mpz(7 + at), N) for at in range(len(weights))]
    with counted() as counter:
        running = compiled.start(bases, N)
        compiled.finish(running, invert(running.lows[-1], N), mpz(0), N)
    assert multiplications(weights) == counter.multiplied


@settings(max_examples=12, deadline=None)
@given(
    weights=st.lists(st.tuples(*[st.integers(-300, 300)] * 2), min_size=1, max_size=2).map(tuple),
    cut=st.lists(st.tuples(st.integers(1, 2), st.sampled_from([1, 30, 31, 32, 62, 70])), min_size=1, max_size=2),
    sum_rows=st.booleans(),
)
def test_what_is_counted_is_what_real_batches_take(
    secret: PaillierSecret, weights: tuple[tuple[int, ...], ...], cut: list[tuple[int, int]], sum_rows: bool
) -> None:
    public, made = secret.public, program(*weights, sum_rows=sum_rows)
    sent: list[int] = []
    returned: list[int] = []
    with counted() as counter:
        for rows in each_batch(cut):
            body = public.encrypt(np.ones((rows, made.width_in), dtype=np.int64))
            sent.append(len(body) // public.ciphertext_bytes)
            returned.append(len(public.evaluate(body, rows, made)) // public.ciphertext_bytes)
    assert count("paillier", made, cut, public.slots) == Work(
        ciphertexts_in=sum(sent),
        ciphertexts_out=sum(returned),
        steps=counter.multiplied,
        batch_in=max(sent),
        batch_out=max(returned),
    )


@settings(max_examples=10, deadline=None)
@given(
    width=st.integers(1, 2),
    cut=st.lists(st.tuples(st.integers(1, 2), st.sampled_from([1, 31, 32, 70])), max_size=2),
    sum_rows=st.booleans(),
)
def test_what_is_counted_of_sealed_results_is_what_enclaves_encrypt(
    secret: PaillierSecret, width: int, cut: list[tuple[int, int]], sum_rows: bool
) -> None:
    public = secret.public
    results = [np.ones((1 if sum_rows else rows, width), dtype=np.int64) for rows in each_batch(cut)]
    made = [len(public.encrypt(each)) // public.ciphertext_bytes for each in results]
    assert count_sealed(width, cut, public.slots, sum_rows=sum_rows) == Work(
        ciphertexts_in=0, ciphertexts_out=sum(made), steps=0, batch_in=0, batch_out=max(made, default=0)
    )


@pytest.mark.parametrize("scheme", ["paillier", "paillier-subgroup", "ckks"])
def test_no_batches_take_nothing(scheme: Scheme) -> None:
    assert count(scheme, program((1, 2)), [], 31) == Work(0, 0, 0, 0, 0)


def test_ckks_multiplies_once_for_each_weight_that_is_not_zero() -> None:
    assert steps("ckks", program((5, 0, -70_000), (0, 0, 1))) == 3


def test_ordinary_and_subgroup_keys_take_the_same_steps() -> None:
    made = program((5, 0, -70_000), (0, 0, 1))
    assert steps("paillier", made) == steps("paillier-subgroup", made) > 3


def each_batch(cut: list[tuple[int, int]]) -> Iterator[int]:
    """Rows of every batch."""
    for number, rows in cut:
        yield from [rows] * number


@dataclass(frozen=True, slots=True)
class PricedTable:
    """A noise table that only spends, as `UNITS` says."""

    spent: list[float]
    digit_bits: int

    def draw(self, exponent: Digits) -> tuple[mpz, mpz]:
        self.spent.append(UNITS.encrypt[noise.DIGIT_BITS.index(self.digit_bits) + 1])
        return mpz(1), mpz(0)


@settings(deadline=None)
@given(
    processes=st.integers(1, 3), batches=st.integers(1, 8), batch=st.integers(1, 30) | st.integers(1, TABLES_AFTER[1])
)
def test_encrypting_costs_what_every_process_spends_on_its_noise(processes: int, batches: int, batch: int) -> None:
    """Each draws the noise of its batches one after the other; the tables are its own, and are made once."""
    spent: list[float] = []

    def build(n: mpz, base: mpz, digit_bits: int) -> PricedTable:
        spent.append(UNITS.tables[noise.DIGIT_BITS.index(digit_bits)])
        return PricedTable(spent, digit_bits)

    def direct(n: mpz, base: mpz, exponent: mpz) -> tuple[mpz, mpz]:
        spent.append(UNITS.encrypt[0])
        return mpz(1), mpz(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "build_table", build)
        patch.setattr(noise, "direct", direct)
        source = NoiseSource(N, mpz(3))
        for _ in range(batches):
            assert len(list(source.draw(batch))) == batch
    predicted = encrypt_seconds(UNITS, processes * batches * batch, batch, processes)
    assert predicted == pytest.approx(processes * (UNITS.start + sum(spent)))


@given(
    processes=st.integers(1, 9),
    batch=st.integers(1, 30) | st.integers(1, 2 * TABLES_AFTER[1]),
    few=st.integers(0, 100) | st.integers(0, 20 * TABLES_AFTER[1]),
    more=st.integers(1, 100),
    exact=st.booleans(),
)
def test_more_ciphertexts_cost_more(processes: int, batch: int, few: int, more: int, exact: bool) -> None:
    less, dearer = (encrypt_seconds(UNITS, each, batch, processes, exact=exact) for each in (few, few + more))
    assert less < dearer


@given(st.integers(1, 64), st.integers(1, 10**9))
def test_every_process_makes_its_table_once_however_many_ciphertexts_there_are(processes: int, more: int) -> None:
    batch = TABLES_AFTER[-1]
    ciphertexts = batch * processes + more
    expected = processes * (UNITS.start + UNITS.tables[-1]) + ciphertexts * UNITS.encrypt[-1]
    assert encrypt_seconds(UNITS, ciphertexts, batch, processes) == pytest.approx(expected)


def test_a_small_table_comes_first_where_batches_are_small() -> None:
    small, large = TABLES_AFTER
    without, batch = (small - 1) // 5 * 5, 5
    spent = without * UNITS.encrypt[0] + UNITS.tables[0]
    assert encrypt_seconds(UNITS, 100, batch, 1) == UNITS.start + spent + (100 - without) * UNITS.encrypt[1]
    some = (large - 1) // 5 * 5
    spent += (some - without) * UNITS.encrypt[1] + UNITS.tables[1]
    assert encrypt_seconds(UNITS, 10**6, batch, 1) == UNITS.start + spent + (10**6 - some) * UNITS.encrypt[2]


def test_processes_without_a_batch_cost_nothing() -> None:
    assert encrypt_seconds(UNITS, 20, 10, 8) == encrypt_seconds(UNITS, 20, 10, 2) == 2 * UNITS.start + 20 * 4.0
    assert encrypt_seconds(UNITS, 0, 10, 8) == encrypt_seconds(UNITS, 0, 0, 8) == 0.0


def test_exact_noise_needs_no_tables() -> None:
    assert encrypt_seconds(UNITS, 10**6, 100, 3, exact=True) == 3 * UNITS.start + 10**6 * UNITS.encrypt_exact


def test_lessors_pay_for_what_arrives_is_multiplied_and_returns() -> None:
    """And for their tables; key and library are there before the first batch."""
    one, another = Work(1000, 500, 2000, 200, 100), Work(1001, 501, 2001, 200, 100)
    small = UNITS.output + UNITS.encrypt[1] - UNITS.encrypt[-1]
    seconds = evaluate_seconds(UNITS, one, 2)
    once = 2 * UNITS.tables[0]
    assert seconds == pytest.approx(once + 1000 * UNITS.receive + 500 * small + 2000 * UNITS.step)
    assert evaluate_seconds(UNITS, another, 2) - seconds == pytest.approx(UNITS.receive + small + UNITS.step)


def test_products_are_counted_as_they_are_made() -> None:
    """Three pairs of columns, once for both outputs; then a sum of pairs times x2, and a pair times x1 x1."""
    made = IntegerProgram(
        ((0, 0, 0, 3, 1, 2, 0), (0, 0, 0, 1, 0, 0, 5)),
        (0, 0),
        products=((0, 1), (0, 1, 2), (1, 1, 2), (0, 0, 1, 1)),
    )
    assert products(made) == 3 + 1 + 1
    assert steps("ckks-degree-4", made) == 5
    assert count("ckks-degree-4", made, [(2, 9000), (1, 10)], 4096).products == 5 * (2 * 3 + 1)
    assert products(program((1, 2))) == 0


def test_products_of_two_ciphertexts_have_a_price() -> None:
    work = Work(0, 0, 0, 0, 0, products=7)
    dearer, free = (structs.replace(UNITS, product=price) for price in (0.5, 0.0))
    assert evaluate_seconds(dearer, work, 2) - evaluate_seconds(free, work, 2) == 3.5
