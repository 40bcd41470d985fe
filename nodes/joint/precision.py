"""With how many bits columns become integers, where nobody says. Pure."""

from __future__ import annotations

import numpy as np

from nodes.homomorphic.paillier.slots import Layout
from schemas.joint import Algorithm

RENTER_BITS_MIN, RENTER_BITS_MAX = 16, 20
PARTNER_BITS_MIN, PARTNER_BITS_MAX = 12, 18
SLOT_BITS_BESIDE = 48
"""12 of the partner's integers, 24 of the rotation, and 12 by which sums over 10^5 rows of 300 columns pass them."""


def renter_bits(algorithm: Algorithm, key_bits: int, width: int) -> int:
    """Of the integers that the renter's columns and target become, `width` numbers a row. Raises Overflow."""
    return algorithm.renter_bits or renter_bits_for(Layout.widest(key_bits, width).slot_bits)


def renter_bits_for(slot_bits: int) -> int:
    """What a slot leaves beside the partner's integers and their rotation: more than 20 help no column, and fewer leave
    little of one that has a few large values among many small ones, for its unit is the largest's."""
    return int(np.clip(slot_bits - SLOT_BITS_BESIDE, RENTER_BITS_MIN, RENTER_BITS_MAX))


def partner_bits(algorithm: Algorithm, rows: int) -> int:
    """Of the integers that the partner's columns become."""
    return algorithm.partner_bits or partner_bits_for(rows)


def partner_bits_for(rows: int) -> int:
    """With how many bits rounding moves no weight by more than about a thousandth of the largest.

    It moves them by some hundreds times 2^-bits / sqrt(rows): 130 to 400 on diabetes, breast, diamonds and randhie. On
    few rows more bits cost next to nothing, for a column has no more levels than rows.
    """
    return int(np.clip(np.ceil(20 - np.log2(max(rows, 1)) / 2), PARTNER_BITS_MIN, PARTNER_BITS_MAX))
