"""Amounts of the network's currency: whole millionths where they travel and are added up, decimals for people. Pure."""

from __future__ import annotations

from typing import Final

from schemas.errors import BadConfig

MICROS: Final = 1_000_000
"""Of one of the currency."""
AMOUNT_MICROS_MAX: Final = 10**18
SECONDS_PER_HOUR: Final = 3600.0


def to_micros(amount: object, field: str, most: int = AMOUNT_MICROS_MAX) -> int:
    """Raises BadConfig: it is negative, more than `most` (in millionths), or no number."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= most / MICROS:
        raise BadConfig(f"{field} cannot be {amount!r:.40}: a number from 0 to {most // MICROS:,}", field=field)
    return round(amount * MICROS)


def shown(micros: int) -> str:
    """For people: `1,234.5`."""
    return f"{micros / MICROS:,.6f}".rstrip("0").rstrip(".")


def cost_micros(price_micros: int, units: int, seconds: float) -> int:
    """What so many units cost for so long; prices are per unit and hour."""
    return round(price_micros * units * max(0.0, seconds) / SECONDS_PER_HOUR)
