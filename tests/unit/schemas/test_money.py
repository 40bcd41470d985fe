"""Amounts of money: whole millionths within, decimals for people."""

from __future__ import annotations

import math

import pytest

from schemas.errors import BadConfig
from schemas.limits import PRICE_MICROS_DEFAULT, PRICE_MICROS_MAX_DEFAULT
from schemas.money import MICROS, cost_micros, shown, to_micros


@pytest.mark.parametrize(
    ("amount", "micros", "text"),
    [(0, 0, "0"), (0.25, 250_000, "0.25"), (1234.5, 1_234_500_000, "1,234.5"), (1e-6, 1, "0.000001")],
)
def test_what_is_typed_is_what_is_shown(amount: float, micros: int, text: str) -> None:
    assert to_micros(amount, "price_max") == micros
    assert shown(micros) == text


@pytest.mark.parametrize("amount", [-0.1, math.nan, math.inf, 2.1, True, "1", None])
def test_what_is_no_amount_is_refused_and_named(amount: object) -> None:
    with pytest.raises(BadConfig, match=r"price_max cannot be .*: a number from 0 to 2$") as refused:
        to_micros(amount, "price_max", 2 * MICROS)
    assert refused.value.field == "price_max"


def test_prices_are_per_unit_and_hour() -> None:
    assert cost_micros(1_000_000, 2, 1800.0) == 1_000_000
    assert cost_micros(1_000_000, 2, -1.0) == 0


def test_a_renter_that_says_nothing_pays_ten_times_at_most_what_a_lessor_asks_that_says_nothing() -> None:
    assert (shown(PRICE_MICROS_DEFAULT), shown(PRICE_MICROS_MAX_DEFAULT)) == ("1", "10")
