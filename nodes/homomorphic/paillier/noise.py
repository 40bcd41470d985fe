"""The noise that hides a Paillier plaintext: random powers of an n-th residue h, from a table.

Ciphertext = (1 + n m) * r^n mod n^2. Instead of a fresh r^n, which takes an exponentiation of the full length,
noise is h^x with h = (-y^2)^n mod n^2 fixed per key and a short random x (Damgård, Jurik and Nielsen, "A
generalization of Paillier's public-key system", section 4.2, with the short exponents that THREAT_MODEL.md names).
-y^2 has Jacobi symbol 1, so that not even the parity of x shows. Finding an x of 2 s bits takes 2^s steps, by meeting
in the middle or by kangaroos. So 224 bits of x match a key of 2048 bits, whose own strength is 112, and 256 bits one
of 3072, whose strength is 128 (NIST SP 800-57, part 1, table 2).

A table holds h^(d * 2^(w i)) for every position i and value d of a digit of w bits, written as A * (1 + n t) mod n^2
with A < n. A product of entries is then a product of half-size A's and a *sum* of t's, and a message goes in by that
same sum. Needs no secret key. Wide digits make a draw short and the table dear, so a key that is used little has a
small one. Look-ups depend on secret bytes: do not share a core's cache with an adversary.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from gmpy2 import invert, mpz, powmod

from nodes.homomorphic.costs import TABLES_AFTER

DIGIT_BITS: Final = (6, 10)
"""Of the tables that TABLES_AFTER tells the times of: about 2 MB and 25 MB for 3072 bits."""
EXPONENT_BITS: Final = 256
"""Twice the strength of keys of 3072 bits and more."""
EXPONENT_BITS_OF_2048: Final = 224

_BITS_OF_STRENGTH_112: Final = 2048

Entry = tuple[mpz, mpz]
"""(A, t) for A * (1 + n t) modulo n^2."""
Digits = Sequence[int]
"""An exponent as `digits_for(n, w)` digits of w bits each, the lowest first."""


def exponent_bits(n: mpz) -> int:
    """Bits of an exponent under the modulus n, at the least."""
    return EXPONENT_BITS_OF_2048 if n.bit_length() == _BITS_OF_STRENGTH_112 else EXPONENT_BITS


def digits_for(n: mpz, digit_bits: int) -> int:
    """Digits of an exponent under the modulus n."""
    return -(-exponent_bits(n) // digit_bits)


@dataclass(frozen=True, slots=True)
class NoiseTable:
    """`rows[i][d]`: A and t of h^(d * 2^(digit_bits i)), side by side in memory."""

    n_squared: mpz
    digit_bits: int
    rows: tuple[tuple[Entry, ...], ...]

    def draw(self, exponent: Digits) -> tuple[mpz, mpz]:
        """(P, t) with P * (1 + n t) = h^x mod n^2."""
        n_squared = self.n_squared
        heads, tails = zip(*[row[digit] for row, digit in zip(self.rows, exponent, strict=True)], strict=True)
        product = heads[-1] if len(heads) % 2 else mpz(1)
        for head, other in zip(heads[::2], heads[1::2], strict=False):
            product = product * (head * other) % n_squared
        return product, sum(tails)


def build_table(n: mpz, base: mpz, digit_bits: int) -> NoiseTable:
    """The table of `base`, an n-th residue modulo n^2. Of 3072 bits, one of 6-bit digits takes some hundredths of a
    second, one of 10-bit digits some tenths."""
    n_squared, values = n * n, 1 << digit_bits
    rows, power = [], base
    for _ in range(digits_for(n, digit_bits)):
        rows.append(_window(n, power, values))
        power = powmod(power, values, n_squared)
    return NoiseTable(n_squared, digit_bits, tuple(rows))


def _window(n: mpz, base: mpz, values: int) -> tuple[Entry, ...]:
    """A and t of base^0 .. base^(values - 1).

    With A*A_base = q n + A', the product of two entries is A' * (1 + n (t + t_base + q / A')) mod n^2.
    """
    carry, base_head = divmod(base, n)
    base_inverse = invert(base_head, n)
    base_tail = carry * base_inverse % n
    head, tail, inverse = mpz(1), mpz(0), mpz(1)
    entries = [(head, tail)]
    for _ in range(values - 1):
        quotient, head = divmod(head * base_head, n)
        inverse = inverse * base_inverse % n
        tail = (tail + base_tail + quotient * inverse) % n
        entries.append((head, tail))
    return tuple(entries)


class NoiseSource:
    """Fresh noise under one key: exponentiates for the first few ciphertexts, then has a small table, then a large one.

    Keep the key object, and the table with it.
    """

    def __init__(self, n: mpz, base: mpz) -> None:
        self._n, self._base = n, base
        self._drawn = 0
        self._table: NoiseTable | None = None

    def draw(self, count: int) -> Iterator[tuple[mpz, mpz]]:
        """`count` times (P, t), each of a fresh exponent from the system's randomness."""
        self._drawn += count
        paid = bisect_right(TABLES_AFTER, self._drawn)
        if not paid:
            bits = exponent_bits(self._n)
            return (direct(self._n, self._base, mpz(secrets.randbits(bits))) for _ in range(count))
        digit_bits = DIGIT_BITS[paid - 1]
        if self._table is None or self._table.digit_bits != digit_bits:
            self._table = build_table(self._n, self._base, digit_bits)
        return map(self._table.draw, random_exponents(count, digits_for(self._n, digit_bits), digit_bits))


def random_exponents(count: int, digits: int, digit_bits: int) -> list[list[int]]:
    """`count` exponents of `digits` digits of `digit_bits` (16 at most) each, from the system's randomness."""
    words = np.frombuffer(secrets.token_bytes(2 * digits * count), dtype="<u2")
    exponents: list[list[int]] = (words & ((1 << digit_bits) - 1)).reshape(count, digits).tolist()
    return exponents


def direct(n: mpz, base: mpz, exponent: mpz) -> tuple[mpz, mpz]:
    """As NoiseTable.draw, without a table: for a handful of ciphertexts."""
    return powmod(base, exponent, n * n), mpz(0)


def seal(n: mpz, noise: tuple[mpz, mpz], message: mpz) -> mpz:
    """P * (1 + n (t + message)) mod n^2 for any integer message, negative ones too; one half-size product."""
    product, tail = noise
    high, low = divmod(product, n)
    return low + n * ((high + low * ((tail + message) % n)) % n)
