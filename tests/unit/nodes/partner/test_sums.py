"""What a partner computes of sealed results is its program's sum over rows, as fine as the room allows."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.partner.activities.covering import covers
from nodes.partner.activities.sums import Split, Sums, added, finished, partial_sums, scales
from nodes.partner.protocol.records import Taken
from nodes.programs.check import check
from tests.support import together as joint

ROWS, VALUE_BITS, RESULT_BITS = 90, 26, 22
RANGES = ((0, 40), (40, 50))


@pytest.fixture
def split() -> Split:
    return Split.of(check(joint.partner_program(), engine=False))


def test_the_output_is_the_programs_sum_over_all_rows(secret: PaillierSecret, split: Split) -> None:
    random = np.random.default_rng(3)
    received = random.uniform(-16, 16, size=(ROWS, 4))
    local = random.normal(size=(ROWS, 2)) * 1000
    own = split.of_local(local.sum(axis=0))
    found = scales(split, own, ROWS, VALUE_BITS, RESULT_BITS)
    sums = Sums(secret.public.to_bytes(), found.program)
    sealed = np.rint(np.ldexp(received, RESULT_BITS)).astype(np.int64)
    parts = [
        partial_sums(sums, secret.public.encrypt(sealed[first : first + count]), count).body for first, count in RANGES
    ]
    output = finished(sums, added(sums, parts).body, list(found.plus)).body
    numbers = np.ldexp(np.array(totals.opened(secret, output, 2), dtype=np.float64), -found.bits)
    expected = (received @ joint.RECEIVED_WEIGHTS + local @ joint.LOCAL_WEIGHTS).sum(axis=0)
    assert np.abs(numbers - expected).max() <= 1e-7 * np.abs(expected).max()


def test_what_is_no_ciphertext_has_its_code(secret: PaillierSecret, split: Split) -> None:
    found = scales(split, np.zeros(2), ROWS, VALUE_BITS, RESULT_BITS)
    sums = Sums(secret.public.to_bytes(), found.program)
    assert partial_sums(sums, bytes(4 * secret.public.ciphertext_bytes), 10).code == "ciphertext-invalid"
    assert partial_sums(sums, b"short", 10).code == "ciphertext-length"


@pytest.mark.parametrize(("value_bits", "own"), [(60, 0.0), (26, 2.0**60)])
def test_a_round_without_room_for_its_weights_is_refused(split: Split, value_bits: int, own: float) -> None:
    with pytest.raises(Overflow, match="room"):
        scales(split, np.array([own, 0.0]), ROWS, value_bits, RESULT_BITS)


@pytest.mark.parametrize(
    ("ranges", "whole"),
    [
        (((0, 40), (40, 50)), True),
        (((40, 50), (0, 40)), True),
        (((0, 40), (41, 49)), False),
        (((0, 40), (39, 51)), False),
        (((0, 45), (0, 45)), False),
        (((0, 40),), False),
    ],
)
def test_a_round_is_whole_when_each_row_is_in_it_once(ranges: tuple[tuple[int, int], ...], whole: bool) -> None:
    taken = [
        Taken(batch=number, first_row=first, rows=count, lessor="B11.B12", digest="")
        for number, (first, count) in enumerate(ranges)
    ]
    assert covers(taken, ROWS) is whole
