"""How many bits integers have by default."""

from __future__ import annotations

import pytest

from nodes.joint import precision
from schemas.joint import Algorithm


@pytest.mark.parametrize(
    ("rows", "bits"), [(1, 18), (20, 18), (256, 16), (257, 16), (16_384, 13), (65_536, 12), (10_000_000, 12)]
)
def test_few_rows_ask_for_more_bits(rows: int, bits: int) -> None:
    assert precision.partner_bits_for(rows) == bits


@pytest.mark.parametrize(("slot_bits", "bits"), [(48, 16), (64, 16), (65, 17), (68, 20), (157, 20)])
def test_the_renters_bits_follow_the_room_that_slots_leave(slot_bits: int, bits: int) -> None:
    assert precision.renter_bits_for(slot_bits) == bits


def test_what_was_asked_for_comes_first() -> None:
    asked = Algorithm(name="ridge", penalty_per_row=0.0, renter_bits=9, partner_bits=8)
    assert precision.renter_bits(asked, 2048, 4) == 9
    assert precision.partner_bits(asked, 10) == 8
    default = Algorithm(name="ridge", penalty_per_row=0.0)
    assert precision.renter_bits(default, 2048, 31) == 17
    assert precision.partner_bits(default, 20) == 18
