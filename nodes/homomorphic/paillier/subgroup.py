"""Subgroup keys, an option: primes with a known small factor in p - 1, for decryption with a short exponent.

With alpha_p | p - 1 and alpha_q | q - 1 prime, the noise base h is chosen of order alpha_p * alpha_q, so that
c^alpha_p mod p^2 is free of noise: 256 bits of exponent instead of half the key's (Paillier, EUROCRYPT '99, section 6;
Groth, "Cryptography in subgroups of Z_n", TCC 2005). This assumes that elements of the subgroup cannot be told from
other n-th residues; ordinary keys do without. The orders are as secret as the primes, and have 256 bits because a
subgroup of order alpha is searched in sqrt(alpha) steps.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import gmpy2
from gmpy2 import mpz

from nodes.homomorphic.errors import BadKey

ORDER_BITS: Final = 256
_PRIME_ROUNDS: Final = 25


@dataclass(frozen=True, repr=False)
class Orders:
    """alpha_p and alpha_q: the order of the noise base modulo p^2 and modulo q^2."""

    p: mpz
    q: mpz

    def __repr__(self) -> str:
        return "Orders(...)"

    def to_bytes(self) -> bytes:
        """Both, of ORDER_BITS each, big-endian."""
        return b"".join((self.p.to_bytes(ORDER_BITS // 8, "big"), self.q.to_bytes(ORDER_BITS // 8, "big")))

    @classmethod
    def from_bytes(cls, data: bytes) -> Orders:
        """Parse; raises BadKey."""
        size = ORDER_BITS // 8
        if len(data) != 2 * size:
            raise BadKey(f"the orders of a subgroup take {2 * size} bytes, these are {len(data)}")
        return cls(mpz.from_bytes(data[:size], "big"), mpz.from_bytes(data[size:], "big"))

    def validate(self, p: mpz, q: mpz, base: mpz) -> None:
        """Refuse orders that are not those of the base; raises BadKey."""
        for order, prime in ((self.p, p), (self.q, q)):
            if order.bit_length() != ORDER_BITS or (prime - 1) % order or not gmpy2.is_prime(order, _PRIME_ROUNDS):
                raise BadKey("the orders do not fit the primes: restore the key or make a new one")
            if gmpy2.powmod(base, order, prime * prime) != 1:
                raise BadKey("the noise base is not in the subgroup: restore the key or make a new one")


def subgroup_prime(bits: int) -> tuple[mpz, mpz]:
    """A prime p of `bits` bits, 3 modulo 4 and its two highest bits set, with a random prime factor of p - 1."""
    order = mpz(0)
    while order.bit_length() != ORDER_BITS:
        order = gmpy2.next_prime(mpz(secrets.randbits(ORDER_BITS)) | 1 << (ORDER_BITS - 1))
    lowest, highest = (3 << (bits - 2)) // (2 * order) + 1, (1 << bits) // (2 * order) - 1
    while True:
        factor = lowest + secrets.randbelow(int(highest - lowest)) | 1
        prime = 2 * order * factor + 1
        if prime.bit_length() == bits and gmpy2.is_prime(prime, _PRIME_ROUNDS):
            return prime, order


def subgroup_base(p: mpz, q: mpz, orders: Orders) -> mpz:
    """A random n-th residue modulo n^2 of order alpha_p * alpha_q: odd, so it is a square with Jacobi symbol 1."""
    n = p * q
    by_p, by_q = _element(p, orders.p), _element(q, orders.q)
    root = by_q + q * ((by_p - by_q) * gmpy2.invert(q, p) % p)
    return gmpy2.powmod(root, n, n * n)


def _element(prime: mpz, order: mpz) -> mpz:
    element = mpz(1)
    while element == 1:
        element = gmpy2.powmod(2 + secrets.randbelow(int(prime) - 3), (prime - 1) // order, prime)
    return element
