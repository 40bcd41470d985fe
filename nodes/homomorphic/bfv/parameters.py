"""Which parameters a job's key has: the smallest of `SETS` under which its results are proved right. Pure.

BFV (Brakerski, CRYPTO '12; Fan and Vercauteren, 2012) carries a number m modulo t as q m / t + e modulo q. Decryption
is right as long as 2 t |e| < q. We count *noise*, twice the size of e at most, in the worst case and not on average:

    43                   for a number that the key's owner encrypts: an error of FRESH_ERROR, and a half from rounding
    2 E + 1              for one encrypted with the public key, E = FRESH_ERROR (2 N + 1) / P + (N + 1) / 2, where P is
                         the special prime; without one, E = FRESH_ERROR (2 N + 1)
    sum_j |w_j| noise_j  for a weighted sum, and as much as the public key's for the bias that comes in fresh

and ask for SLACK t noise < q, two bits more than the theory: SEAL divides by q in residues, which rounds once more.
Nothing here is a probability: SEAL draws errors from a centred binomial distribution, which has a largest value. A
worst case also leaves no failures to learn from, as attacks on exact schemes need them (Cheon, Choe, Passelègue, Stehlé
and Suvanto, CCS '24).

Row i of a column is coefficient i of a polynomial. Weights are constants, so that coefficients never mix, and t need be
no prime: just odd, without a factor of q, and above twice every result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gmpy2 import is_prime

from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import IntegerProgram, Shape

FRESH_ERROR: Final = 21
"""The largest error of a fresh ciphertext: SEAL subtracts 21 random bits from 21 others."""
FRESH_NOISE: Final = 2 * FRESH_ERROR + 1
"""Of what the key's owner encrypts."""
SLACK: Final = 4
LIMIT_BITS_MAX: Final = 58
"""Of results: SEAL's plaintext modulus has at most 60 bits."""
MODULUS_BITS_MAX: Final = {2048: 52, 4096: 105, 8192: 212}
"""Of all primes together, the special one too, by degree, for 128 bits of security with ternary secrets against
classical computers. Below both tables that are in use:

    54, 109, 218    HomomorphicEncryption.org security standard 1.1 (2018): `CoeffModulus::MaxBitCount` of SEAL
    53, 106, 214    Bossuat et al., "Security Guidelines for Implementing Homomorphic Encryption" (ePrint 2024/463), by
                    its script (gong-cr/FHE-Security-Guidelines), as HomomorphicEncryption/SparseLWEkit lists them
"""
HEADER_BYTES: Final = 16
"""Of each ciphertext: key and noise."""


@dataclass(frozen=True, slots=True)
class Set:
    """Degree of the polynomials, sizes in bits of the primes that make up q, and of the special prime; 0: none."""

    degree: int
    prime_bits: tuple[int, ...]
    special_bits: int = 0

    @property
    def modulus_bits(self) -> tuple[int, ...]:
        """Of all primes, the special one last."""
        return (*self.prime_bits, self.special_bits) if self.special_bits else self.prime_bits

    @property
    def key_primes(self) -> tuple[int, ...]:
        """All primes, the special one last."""
        return primes(self.degree, self.modulus_bits)

    @property
    def q(self) -> int:
        """The modulus of ciphertexts."""
        return math.prod(self.key_primes[: len(self.prime_bits)])

    @property
    def public_noise(self) -> int:
        """Of what is encrypted with the public key."""
        spread = 2 * FRESH_ERROR * (2 * self.degree + 1)
        if not self.special_bits:
            return spread + 1
        return -(-spread // self.key_primes[-1]) + self.degree + 2

    @property
    def word_bytes(self) -> int:
        """Of one coefficient modulo one prime, as it travels."""
        return -(-max(self.prime_bits) // 8)

    @property
    def ciphertext_bytes(self) -> int:
        """Of one ciphertext: two polynomials, a word per coefficient and prime, behind a header."""
        return HEADER_BYTES + 2 * self.degree * len(self.prime_bits) * self.word_bytes

    @property
    def shape(self) -> Shape:
        """In the words of the port."""
        return Shape(sum(self.modulus_bits), self.degree, self.ciphertext_bytes, 0.0, self.ciphertext_bytes)


@lru_cache(maxsize=len(MODULUS_BITS_MAX) * 8)
def primes(degree: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """For each size in bits the largest prime, 1 modulo 2 N, that does not stand before it."""
    found: list[int] = []
    for bits in sizes:
        candidate = (1 << bits) - 2 * degree + 1
        while candidate in found or not is_prime(candidate):
            candidate -= 2 * degree
        found.append(candidate)
    return tuple(found)


SETS: Final = (
    Set(2048, (48,)),
    Set(2048, (52,)),
    Set(4096, (56,)),
    Set(4096, (60,)),
    Set(4096, (32, 32), 36),
    Set(4096, (40, 40), 25),
    Set(4096, (44, 44), 17),
    Set(8192, (48, 48), 48),
    Set(8192, (56, 56), 56),
    Set(8192, (60, 60), 60),
)
"""From the cheapest to the dearest; no two have ciphertexts of the same shape."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one key: results reach `limit` in size at most, and noise `noise`.

    Raises Overflow where the set has no room for both.
    """

    chosen: int
    """Of SETS."""
    limit: int
    noise: int

    def __post_init__(self) -> None:
        if not 0 < self.limit < 1 << LIMIT_BITS_MAX:
            raise Overflow(
                f"a result could reach 2^{self.limit.bit_length()}, but this scheme has room for 2^{LIMIT_BITS_MAX} at "
                "most: allow more error, narrow the bounds, or use Paillier",
                reached=self.limit,
                limit=1 << LIMIT_BITS_MAX,
            )
        if margin(self) <= 0:
            raise Overflow(
                f"results of 2^{self.limit.bit_length()} and noise of 2^{self.noise.bit_length()} do not fit a modulus "
                f"of {self.set.q.bit_length()} bits: allow more error, narrow the bounds, or use Paillier",
                reached=SLACK * self.t * self.noise,
                limit=self.set.q,
            )

    @property
    def set(self) -> Set:
        """Degree and primes."""
        return SETS[self.chosen]

    @property
    def t(self) -> int:
        """The plaintext modulus: odd, above twice every result, and without a factor of q."""
        t = 2 * self.limit + 1
        while math.gcd(t, self.set.q) != 1:
            t += 2
        return t


def margin(parameters: Parameters) -> int:
    """By how much q is larger than the proof needs; never negative for a key that can be made."""
    return parameters.set.q - SLACK * parameters.t * parameters.noise


def noise_of(weights: tuple[int, ...], noise: int, public_noise: int) -> int:
    """Of a weighted sum of ciphertexts of this noise, and a bias in a fresh one."""
    return sum(map(abs, weights)) * noise + public_noise


def fitting(program: IntegerProgram, rows: int, first: int = 0) -> Parameters:
    """The cheapest parameters, from the `first` on, for what the key's owner encrypts, `rows` rows at a time.

    Raises Overflow.
    """
    program.require_linear()
    program.require_room(rows)
    for chosen, each in list(enumerate(SETS))[first:]:
        blocks = blocks_of(rows, each.degree) if program.sum_rows else 1
        limit = max(program.largest(blocks), program.input_max)
        noise = max(noise_of(row, blocks * FRESH_NOISE, each.public_noise) for row in program.weights)
        try:
            return Parameters(chosen, limit, noise)
        except Overflow:
            if chosen == len(SETS) - 1:
                raise
    raise AssertionError  # SETS is not empty
