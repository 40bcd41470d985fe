"""Totals that leave a partner: one number per ciphertext, and nothing of what it was added up from.

A packed sum over rows has a partial sum in each slot, and whoever decrypts it sees them all: each rests on a few rows
only. 2^64 is 1 modulo 2^64 - 1, so a plaintext modulo 2^64 - 1 *is* the sum of its slots. A random multiple of that
modulus therefore hides all but the total: the multiples reach 60 bits above the largest packed plaintext, so what they
leave to see is within 2^-60 of nothing. The noise is a whole r^n, because who decrypts also knows the key: short
exponents would hide nothing from it.
"""

from __future__ import annotations

import secrets
from typing import Final

import gmpy2
from gmpy2 import mpz

from nodes.homomorphic.errors import invalid
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.residues import join
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SLOT_BITS

MODULUS: Final = mpz((1 << SLOT_BITS) - 1)
_ROOM_BITS: Final = 4
"""Multiples end this many bits below n, so that no plaintext passes n / 2 in size."""


def hidden(public: PaillierPublic, body: bytes, width: int, plus: list[int]) -> bytes:
    """The totals of `width` packed sums, one ciphertext each, with `plus` added to each; raises BadCiphertext.

    The caller proves that no total reaches 2^63 in size.
    """
    n, n_squared = public.n, public.n_squared
    blocks = [join(pair, n) for pair in public.parse(body, 1, width)]
    made = []
    for block, more in zip(blocks, plus, strict=True):
        multiple = MODULUS * secrets.randbits(public.bits - SLOT_BITS - _ROOM_BITS)
        noise = gmpy2.powmod(_unit(n), n, n_squared)
        made.append(block * (1 + n * ((multiple + more) % n)) % n_squared * noise % n_squared)
    return public.serialise(made)


def opened(secret: PaillierSecret, body: bytes, width: int) -> list[int]:
    """The totals in `width` ciphertexts that `hidden` made, each below 2^63 in size; raises BadCiphertext."""
    n = secret.public.n
    totals = []
    for value in secret.plaintexts(body, width):
        total = (value if value <= n // 2 else value - n) % MODULUS
        totals.append(int(total if total <= MODULUS // 2 else total - MODULUS))
    if any(abs(total) >= 1 << (SLOT_BITS - 1) for total in totals):
        raise invalid()
    return totals


def _unit(n: mpz) -> mpz:
    while True:
        drawn = mpz(secrets.randbelow(int(n)))
        if gmpy2.gcd(drawn, n) == 1:
            return drawn
