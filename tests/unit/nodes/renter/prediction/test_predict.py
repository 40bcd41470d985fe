"""Predictions follow the rows, the counted work and the measured units; batches are those that a split makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic.costs import TABLES_AFTER, Units, Work, count
from nodes.homomorphic.port import IntegerProgram, Shape
from nodes.renter.prediction import predict
from nodes.renter.prediction.predict import CiphertextParts, EnclaveParts, Part, Size
from nodes.renter.protocol.records import LOCAL
from nodes.renter.protocol.split import ranges, split
from schemas.jobs import Costs

UNITS: Final = Units(
    start=0.5,
    encrypt=(0.04, 0.01),
    tables=(0.03 * TABLES_AFTER[0],),
    encrypt_exact=0.2,
    read_key=0.1,
    receive=0.001,
    step=0.002,
    output=0.03,
    decrypt=0.05,
    product=0.7,
    open=0.6,
)
AROUND: Final = CiphertextParts(read=Part(8.0, 16.0, 1.0), encode=Part(0.5, 0.25, 2.0), finish=Part(32.0, 64.0, 4.0))
ENCLOSED: Final = EnclaveParts(
    read=Part(0.5, 2.0, 1.0),
    encrypt=Part(0.25, 4.0, 16.0),
    execute=Part(3.0, 5.0, 104.0),
    decrypt=Part(6.0, 7.0, 128.0),
)
NOTHING: Final = Part(0.0, 0.0, 0.0)
FREE: Final = CiphertextParts(NOTHING, NOTHING, NOTHING)
PROGRAM: Final = IntegerProgram(((3, -5), (1, 70)), (0, 0), input_max=100)
SLOTS: Final = 47
BYTES: Final = 768
SHAPE: Final = Shape(key_bits=2048, slots=SLOTS, ciphertext_bytes=BYTES, relative_error=0.0, result_bytes=BYTES - 1)


def size(rows: int, hands: int = 2, lessors: int = 2) -> Size:
    return Size(rows=rows, width_in=2, width_out=2, hands=hands, lessors=lessors)


def homomorphic(of: Size, parts: CiphertextParts = AROUND, *, exact: bool = False) -> Costs:
    cut = predict.batches(of, 100)
    of = replace(of, batches=sum(number for number, _ in cut))
    return predict.homomorphic(of, count("paillier", PROGRAM, cut, SLOTS), UNITS, parts, SHAPE, exact=exact)


def test_a_part_begins_once_in_each_process_that_has_a_batch() -> None:
    part = Part(start=100.0, batch=10.0, row=1.0)
    assert part.seconds(processes=4, batches=3, rows=50) == 3 * 100 + 3 * 10 + 50
    assert part.seconds(processes=2, batches=3, rows=50) == 2 * 100 + 3 * 10 + 50


@given(rows=st.integers(0, 5000), each=st.integers(1, 700), lessors=st.integers(1, 9))
def test_batches_are_those_of_a_split_among_lessors_of_one_unit(rows: int, each: int, lessors: int) -> None:
    parts = split(rows, each, [(f"subtask-{at}", 1) for at in range(lessors)], local_share=0.0)
    cut = Counter(held for part in parts if part.owner != LOCAL for _, _, held in ranges((part,)))
    predicted: Counter[int] = Counter()
    for number, held in predict.batches(size(rows, lessors=lessors), each):
        predicted[held] += number
    assert predicted == cut


@given(rows=st.integers(1, 20_000), more=st.integers(1, 20_000), exact=st.booleans())
def test_more_rows_never_cost_less(rows: int, more: int, exact: bool) -> None:
    for predicted in (
        [homomorphic(size(each), exact=exact) for each in (rows, rows + more)],
        [predict.enclave(size(each), ENCLOSED) for each in (rows, rows + more)],
    ):
        less, dearer = predicted
        assert less.encrypt_seconds < dearer.encrypt_seconds
        assert less.lessor_seconds <= dearer.lessor_seconds
        assert less.decrypt_seconds < dearer.decrypt_seconds
        assert less.bytes_sent <= dearer.bytes_sent
        assert less.bytes_back <= dearer.bytes_back


def test_tables_are_paid_once_per_process() -> None:
    """And the ciphertexts before them, of as many whole batches of six as come to fewer than make tables pay."""
    unaided, (first, then) = (TABLES_AFTER[0] - 1) // 6 * 6, UNITS.encrypt
    once = UNITS.read_key + UNITS.start + UNITS.tables[0] + unaided * (first - then)
    costs = {hands: homomorphic(size(10**6, hands=hands), FREE).encrypt_seconds for hands in (1, 2, 5)}
    assert costs[2] - costs[1] == pytest.approx(once)
    assert costs[5] - costs[2] == pytest.approx(3 * once)
    twice = homomorphic(size(2 * 10**6, hands=1), FREE).encrypt_seconds
    assert twice - once == pytest.approx(2 * (costs[1] - once))


def test_exact_noise_costs_its_own_price() -> None:
    of = size(9400, hands=1, lessors=1)
    ciphertexts = homomorphic(of).bytes_sent / BYTES
    assert homomorphic(of, FREE, exact=True).encrypt_seconds == pytest.approx(
        UNITS.read_key + UNITS.start + ciphertexts * UNITS.encrypt_exact
    )


def test_every_part_of_homomorphic_work_is_in_the_sum_of_its_party() -> None:
    of, work = (
        replace(size(100, hands=1, lessors=1), batches=3),
        Work(300, 200, 70, batch_in=150, batch_out=100, products=30),
    )
    costs = predict.homomorphic(of, work, UNITS, AROUND, SHAPE, exact=False)
    once = UNITS.start + UNITS.tables[0]
    around = 8.5 + 3 * 16.25 + 100 * (1.0 + 2.0)
    assert costs.encrypt_seconds == pytest.approx(around + UNITS.read_key + once + 300 * UNITS.encrypt[-1])
    computing = 300 * UNITS.receive + 70 * UNITS.step + 30 * UNITS.product + 200 * UNITS.output
    assert costs.lessor_seconds == pytest.approx(UNITS.tables[0] + computing)  # key and library before any batch
    finished = 32.0 + 3 * 64.0 + 100 * 4.0
    assert costs.decrypt_seconds == pytest.approx(finished + 3 * UNITS.open + 200 * UNITS.decrypt)
    assert (costs.bytes_sent, costs.bytes_back) == (300 * BYTES, 200 * (BYTES - 1))


def test_enclaves_open_compute_and_seal_every_row() -> None:
    """In an enclave of each lessor; here in one process."""
    costs = predict.enclave(replace(size(10), batches=5), ENCLOSED)
    assert costs.encrypt_seconds == (0.5 + 0.25) + 5 * (2.0 + 4.0) + 10 * (1.0 + 16.0)
    assert (costs.lessor_seconds, costs.decrypt_seconds) == (2 * 3.0 + 5 * 5.0 + 1040.0, 6.0 + 5 * 7.0 + 1280.0)
    assert (costs.bytes_sent, costs.bytes_back) == (10 * 2 * 8, 10 * 2 * 8)
    assert predict.enclave(replace(size(10), value_bytes=4), ENCLOSED).bytes_sent == 10 * 2 * 4


def test_sealed_results_are_encrypted_in_the_enclaves_and_decrypted_here() -> None:
    plain = predict.enclave(size(10, lessors=3), ENCLOSED)
    work = Work(0, 1000, 0, batch_in=0, batch_out=100)
    sealed = predict.sealed_result(replace(size(10, lessors=3), batches=4), plain, work, UNITS, ciphertext_bytes=BYTES)
    made = 3 * (UNITS.start + UNITS.tables[0]) + 1000 * UNITS.encrypt[-1]
    assert (sealed.encrypt_seconds, sealed.bytes_sent) == (plain.encrypt_seconds, plain.bytes_sent)
    assert sealed.lessor_seconds == pytest.approx(plain.lessor_seconds + made)
    assert sealed.decrypt_seconds == pytest.approx(plain.decrypt_seconds + 4 * UNITS.open + 1000 * UNITS.decrypt)
    assert sealed.bytes_back == 1000 * BYTES
