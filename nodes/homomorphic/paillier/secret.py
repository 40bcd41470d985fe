"""Packed Paillier, compatible with phe: the default scheme. This module holds the secret half and makes keys.

Keys are made of phe's primes, and stock phe reads the ciphertexts. Nothing here may log, or put a secret into a
message or a repr.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import gmpy2
import numpy as np
from gmpy2 import invert, mpz
from numpy.typing import NDArray
from phe import PaillierPrivateKey
from phe.util import getprimeover

from nodes.homomorphic import packing
from nodes.homomorphic.errors import BadKey, invalid
from nodes.homomorphic.paillier import noise as noises
from nodes.homomorphic.paillier.public import KEY_BITS, PaillierPublic, key_bits, noise_base
from nodes.homomorphic.paillier.residues import join
from nodes.homomorphic.paillier.subgroup import Orders, subgroup_base, subgroup_prime
from nodes.homomorphic.port import IntegerProgram, Noise
from schemas.errors import BadConfig

KEY_BITS_DEFAULT: Final = 3072
"""128-bit security; 2048 bits give 112."""

_MAGIC: Final = b"SPS1"
_MAGIC_SUBGROUP: Final = b"SPS2"
_HEADER_BYTES: Final = 6
_PRIME_ROUNDS: Final = 25


@dataclass(frozen=True, repr=False)
class PaillierSecret:
    """The primes and the public key. Implements the SecretKey port; never leaves the renter."""

    public: PaillierPublic
    p: mpz
    q: mpz
    orders: Orders | None = None
    """Of a subgroup key only; see subgroup.py."""

    keeps_decryptions: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"PaillierSecret(bits={self.public.bits}, public={self.public.digest[:16]})"

    def to_bytes(self) -> bytes:
        """`SPS1`, size of n in bits (2 bytes), p, q, h; a subgroup key is `SPS2` and ends with its two orders.

        This is the secret: seal it before it is stored.
        """
        half, public = self.public.bits // 16, self.public
        return b"".join(
            (
                _MAGIC if self.orders is None else _MAGIC_SUBGROUP,
                public.bits.to_bytes(2, "big"),
                self.p.to_bytes(half, "big"),
                self.q.to_bytes(half, "big"),
                public.base.to_bytes(public.ciphertext_bytes, "big"),
                b"" if self.orders is None else self.orders.to_bytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PaillierSecret:
        """Parse and validate; raises BadKey."""
        in_subgroup = data[: len(_MAGIC)] == _MAGIC_SUBGROUP
        bits = key_bits(data, _MAGIC_SUBGROUP if in_subgroup else _MAGIC)
        half = bits // 16
        first, second = 6 + half, 6 + 2 * half
        end = second + bits // 4
        if len(data) < end or (len(data) > end and not in_subgroup):
            raise BadKey(f"a secret key of {bits} bits takes {end} bytes, this one has {len(data)}")
        p, q = mpz.from_bytes(data[6:first], "big"), mpz.from_bytes(data[first:second], "big")
        orders = Orders.from_bytes(data[end:]) if in_subgroup else None
        secret = cls(PaillierPublic(p * q, mpz.from_bytes(data[second:end], "big")), p, q, orders)
        secret._validate(bits)
        return secret

    @classmethod
    def from_phe(cls, key: PaillierPrivateKey) -> PaillierSecret:
        """Take over a key made by phe, with a fresh noise base."""
        secret = cls(PaillierPublic.from_phe(key.public_key), mpz(key.p), mpz(key.q))
        secret._validate(secret.public.bits)
        return secret

    def laid_out(self, program: IntegerProgram) -> PaillierSecret:
        """As PaillierPublic.laid_out."""
        return replace(self, public=self.public.laid_out(program))

    def to_phe(self) -> PaillierPrivateKey:
        """The same key for stock phe."""
        return PaillierPrivateKey(self.public.to_phe(), int(self.p), int(self.q))

    def _validate(self, bits: int) -> None:
        p, q = self.p, self.q
        if p == q or p * q != self.public.n or gmpy2.gcd(self.public.n, (p - 1) * (q - 1)) != 1:
            raise BadKey("the secret primes do not make this key: restore it or make a new one")
        if not (gmpy2.is_prime(p, _PRIME_ROUNDS) and gmpy2.is_prime(q, _PRIME_ROUNDS)):
            raise BadKey("the secret factors are not prime: restore the key or make a new one")
        self.public.validate(bits)
        if self.orders is not None:
            self.orders.validate(p, q, self.public.base)

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As PaillierPublic.encrypt; `exact` noise is uniform over all n-th residues and needs no assumption."""
        if noise == "fixed-base":
            return self.public.encrypt(values)
        return self.public.serialise(self._encrypt_exactly(self.public.pack(values)))

    def _encrypt_exactly(self, plaintexts: Sequence[mpz]) -> list[mpz]:
        """r^n mod p^2 depends on r mod p only, and r -> r^q permutes those: so y^p with y uniform is the same noise."""
        p_part = self._residues(self.p, self._p_squared, len(plaintexts))
        q_part = self._residues(self.q, self._q_squared, len(plaintexts))
        sealed = []
        for plaintext, by_p, by_q in zip(plaintexts, p_part, q_part, strict=True):
            residue = by_q + self._q_squared * ((by_p - by_q) * self._q_squared_inverse % self._p_squared)
            sealed.append(noises.seal(self.public.n, (residue, mpz(0)), plaintext))
        return sealed

    @staticmethod
    def _residues(prime: mpz, squared: mpz, count: int) -> list[mpz]:
        bases = [mpz(1 + secrets.randbelow(int(prime) - 1)) for _ in range(count)]
        return list(gmpy2.powmod_base_list(bases, prime, squared))

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """int64 [rows, width]; with `sum_rows` the sums int64 [1, width] of the `rows` rows that went in.

        Raises BadCiphertext: one code and one message for everything but a wrong length, so that whoever sent the
        body learns nothing from the refusal.
        """
        slots, bits = self.public.slots, self.public.slot_bits
        held = min(rows, slots) if sum_rows else rows
        blocks = [join(pair, self.public.n) for pair in self.public.parse(body, held, width)]
        n, lift = self.public.n, packing.lift(slots, bits)
        try:
            values = packing.unpack([(plain + lift) % n for plain in self.decrypt_plaintexts(blocks)], slots, bits)
        except OverflowError:
            raise invalid() from None
        columns = values.reshape(width, -1)
        if columns[:, held:].any():
            raise invalid()
        if sum_rows:
            columns = columns.sum(axis=1, dtype=np.int64, keepdims=True)
        return np.ascontiguousarray(columns[:, :rows].T, dtype=np.int64)

    def plaintexts(self, body: bytes, width: int) -> list[mpz]:
        """What `width` single ciphertexts hold, modulo n and not taken for packed; raises BadCiphertext."""
        return self.decrypt_plaintexts([join(pair, self.public.n) for pair in self.public.parse(body, 1, width)])

    def decrypt_plaintexts(self, blocks: Sequence[mpz]) -> list[mpz]:
        """Plaintexts modulo n of valid ciphertexts (Paillier's section 7, by Chinese remainders)."""
        by_p = self._half(blocks, self.p, self._p_squared, self.q, self.orders and self.orders.p)
        by_q = self._half(blocks, self.q, self._q_squared, self.p, self.orders and self.orders.q)
        p, q, inverse = self.p, self.q, self._q_inverse
        return [b + q * ((a - b) * inverse % p) for a, b in zip(by_p, by_q, strict=True)]

    @staticmethod
    def _half(blocks: Sequence[mpz], prime: mpz, squared: mpz, other: mpz, order: mpz | None) -> list[mpz]:
        """c^e = 1 + m e other prime modulo prime^2 when e takes the noise away: the order of h, or else prime - 1.

        A subgroup key also reads ciphertexts whose noise is any n-th residue (exact noise, stock phe), the long way.
        """
        reduced = [block % squared for block in blocks]
        exponent = order or prime - 1
        powers = gmpy2.powmod_base_list(reduced, exponent, squared)
        scale = invert(other * exponent, prime)
        values = [(power - 1) // prime * scale % prime for power in powers]
        noisy = [at for at, power in enumerate(powers) if order and power % prime != 1]
        if noisy:
            rest = PaillierSecret._half([reduced[at] for at in noisy], prime, squared, other, None)
            for at, value in zip(noisy, rest, strict=True):
                values[at] = value
        return values

    @cached_property
    def _p_squared(self) -> mpz:
        return self.p * self.p

    @cached_property
    def _q_squared(self) -> mpz:
        return self.q * self.q

    @cached_property
    def _q_inverse(self) -> mpz:
        return invert(self.q, self.p)

    @cached_property
    def _q_squared_inverse(self) -> mpz:
        return invert(self._q_squared, self._p_squared)


def generate(bits: int = KEY_BITS_DEFAULT, *, subgroup: bool = False) -> PaillierSecret:
    """A new key pair of `bits` bits from the system's randomness; raises BadConfig for an unsupported size.

    A `subgroup` key decrypts several times faster, under one more assumption (subgroup.py).

    Both primes are 3 mod 4 (a Blum modulus), so that -1 is a non-residue with Jacobi symbol 1 and -y^2 generates
    what Damgård, Jurik and Nielsen ask for.
    """
    if bits not in KEY_BITS:
        raise BadConfig(f"a Paillier key has {', '.join(map(str, KEY_BITS))} bits, not {bits}", field="key_bits")
    p = q = mpz(0)
    if subgroup:
        while p == q:
            (p, by_p), (q, by_q) = subgroup_prime(bits // 2), subgroup_prime(bits // 2)
        orders = Orders(by_p, by_q)
        return PaillierSecret(PaillierPublic(p * q, subgroup_base(p, q, orders)), p, q, orders)
    while p == q or (p * q).bit_length() != bits:
        p, q = _blum_prime(bits // 2), _blum_prime(bits // 2)
    return PaillierSecret(PaillierPublic(p * q, noise_base(p * q)), p, q)


def _blum_prime(bits: int) -> mpz:
    prime = mpz(0)
    while prime % 4 != 3 or prime.bit_length() != bits:
        prime = mpz(getprimeover(bits))
    return prime
