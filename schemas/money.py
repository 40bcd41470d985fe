"""Amounts of the network's currency: whole millionths where they travel and are added up, decimals for people. Pure."""

from __future__ import annotations

import math
from typing import Final

from schemas.errors import BadConfig

MICROS: Final = 1_000_000
"""Of one of the currency."""
SECONDS_PER_HOUR: Final = 3600.0


def to_micros(amount: float, field: str) -> int:
    """Raises BadConfig: it is negative, or no number."""
    if not 0 <= amount < math.inf:
        raise BadConfig(f"{amount} is no amount of money: give a number that is not negative", field=field)
    return round(amount * MICROS)


def shown(micros: int) -> str:
    """For people: `1,234.5`."""
    return f"{micros / MICROS:,.6f}".rstrip("0").rstrip(".")


def cost_micros(price_micros: int, units: int, seconds: float) -> int:
    """What so many units cost for so long; prices are per unit and hour."""
    return round(price_micros * units * max(0.0, seconds) / SECONDS_PER_HOUR)
