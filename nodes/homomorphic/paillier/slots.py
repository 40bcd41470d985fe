"""One row in one plaintext: slot k is worth 2^(slot_bits k) and holds a signed number. Pure.

Here a ciphertext carries all columns of one row, where `nodes/homomorphic/packing.py` has one column of many rows: a
sum over rows, each with its own weight, is then one product of powers for all columns together. Numbers in between may
pass n, for only the final ones must fit: everything is modulo n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.errors import Overflow, invalid

HEADROOM_BITS = 3
"""Of the modulus: a full plaintext stays below n / 3 in size."""
SLOT_BITS_MIN = 48
"""Narrower slots leave no room for numbers, weights and rotation."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`width` numbers in slots of `slot_bits` each."""

    width: int
    slot_bits: int

    @classmethod
    def widest(cls, key_bits: int, width: int) -> Layout:
        """The widest slots for `width` numbers under a modulus of `key_bits`; raises Overflow."""
        slot_bits = (key_bits - HEADROOM_BITS) // width
        if slot_bits < SLOT_BITS_MIN:
            most = (key_bits - HEADROOM_BITS) // SLOT_BITS_MIN
            raise Overflow(
                f"{width} numbers a row do not fit into one ciphertext of {key_bits} bits, at most {most} do: take "
                "fewer columns or a longer key",
                reached=width,
                limit=most,
            )
        return cls(width, slot_bits)

    @property
    def limit(self) -> int:
        """Numbers stay below this in size."""
        return 1 << (self.slot_bits - 1)

    @property
    def lift(self) -> mpz:
        """Makes every slot unsigned: `limit` in each."""
        ones = ((mpz(1) << (self.slot_bits * self.width)) - 1) // ((mpz(1) << self.slot_bits) - 1)
        return ones * self.limit

    def pack(self, rows: NDArray[np.int64]) -> list[mpz]:
        """int64 [rows, width] to one signed plaintext per row."""
        plaintexts = []
        for row in rows[:, ::-1].tolist():
            packed = mpz(0)
            for number in row:
                packed = (packed << self.slot_bits) + number
            plaintexts.append(packed)
        return plaintexts

    def unpack(self, plaintexts: Sequence[mpz], n: mpz, bound: int) -> list[list[int]]:
        """The numbers of plaintexts from 0 to n - 1, a list for each.

        Raises BadCiphertext, always the same, unless all bits above the slots are zero and no number passes `bound`.
        """
        lift, mask = self.lift, (mpz(1) << self.slot_bits) - 1
        rows = []
        for plaintext in plaintexts:
            lifted = (plaintext + lift) % n
            row = [int((lifted >> (self.slot_bits * at)) & mask) - self.limit for at in range(self.width)]
            if lifted >> (self.slot_bits * self.width) or max(map(abs, row)) > bound:
                raise invalid()
            rows.append(row)
        return rows
