"""Paillier with one value per ciphertext: the form in which other users of phe exchange encrypted numbers.

The same keys, checks and programs as packed Paillier, with one slot instead of dozens, so it costs that much more. An
`EncryptedNumber` of phe stands for m * 16^exponent; a body holds integers under one exponent, which travels beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gmpy2 import mpz
from phe import EncryptedNumber

from nodes.homomorphic.ciphertexts import hide_something, invalid
from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.residues import join
from nodes.homomorphic.paillier.secret import KEY_BITS_DEFAULT, PaillierSecret
from schemas.errors import BadData

EXPONENT_STEPS_MAX: Final = 15
"""Hexadecimal places that a number may be moved: more would fill its 64 bits."""

Numbers = Sequence[Sequence[EncryptedNumber]]


@dataclass(frozen=True)
class UnpackedPublic(PaillierPublic):
    """Encrypts and computes value by value. Implements the PublicKey port."""

    @cached_property
    def slots(self) -> int:
        """One row per ciphertext."""
        return 1

    def to_numbers(self, body: bytes, rows: int, width: int, *, exponent: int = 0) -> list[list[EncryptedNumber]]:
        """A body of [rows, width] as rows of phe's numbers, each worth its integer times 16^exponent.

        Raises BadCiphertext for a body that is not wholly valid.
        """
        key = self.to_phe()
        flat = [EncryptedNumber(key, int(join(pair, self.n)), exponent) for pair in self.parse(body, rows, width)]
        return [flat[row::rows] for row in range(rows)]

    def from_numbers(self, numbers: Numbers, *, exponent: int = 0) -> bytes:
        """Rows of phe's numbers as a body under one exponent; larger exponents are brought down to it.

        Ciphertexts are taken as they are: who made them must have randomised them. Raises BadCiphertext for a number
        under another key or that is none, BadData for rows of unequal length and exponents that cannot be reached.
        """
        if not numbers or not numbers[0] or any(len(row) != len(numbers[0]) for row in numbers):
            raise BadData("encrypted numbers come in rows of equal length, at least one of one")
        columns = zip(*numbers, strict=True)
        return self.serialise([self._lowered(number, exponent) for column in columns for number in column])

    def _lowered(self, number: EncryptedNumber, exponent: int) -> mpz:
        if mpz(number.public_key.n) != self.n:
            raise BadCiphertext(
                "an encrypted number names another key: its sender must encrypt it under this one",
                code="ciphertext-foreign",
            )
        ciphertext, steps = mpz(number.ciphertext(be_secure=False)), number.exponent - exponent
        if not 0 <= steps <= EXPONENT_STEPS_MAX:
            raise BadData(
                f"an encrypted number has the exponent {number.exponent}, which cannot become {exponent}: at most "
                f"{EXPONENT_STEPS_MAX} less is possible"
            )
        if not 0 < ciphertext < self.n_squared or not hide_something([ciphertext % self.n], self.n):
            raise invalid()
        return pow(ciphertext, 16**steps, self.n_squared)


@dataclass(frozen=True, repr=False)
class UnpackedSecret(PaillierSecret):
    """Decrypts value by value. Implements the SecretKey port; its bytes are those of the packed key."""

    public: UnpackedPublic

    @classmethod
    def of(cls, key: PaillierSecret) -> UnpackedSecret:
        """The same key, without packing."""
        return cls(UnpackedPublic(key.public.n, key.public.base), key.p, key.q, key.orders)

    @classmethod
    def from_bytes(cls, data: bytes) -> UnpackedSecret:
        """Parse and validate; raises BadKey."""
        return cls.of(PaillierSecret.from_bytes(data))


def generate(bits: int = KEY_BITS_DEFAULT) -> UnpackedSecret:
    """A new key pair, as paillier.generate."""
    return UnpackedSecret.of(paillier.generate(bits))
