"""The public half of packed Paillier: encrypts, computes and re-randomises without any secret (H2, T2, J3).

Paillier (EUROCRYPT '99) with g = n + 1. One ciphertext carries the same column of `slots` rows (packing.py), noise
comes from a table (noise.py) and weights act on whole ciphertexts (multiexp.py). Knows numbers and bytes only, no
jobs and no parties.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray
from phe import PaillierPublicKey

from nodes.homomorphic import packing
from nodes.homomorphic.errors import BadKey
from nodes.homomorphic.paillier import ciphertexts, noise
from nodes.homomorphic.paillier.multiexp import SignedPowers, compile_powers, compile_signed
from nodes.homomorphic.paillier.residues import Pair, add_message, join
from nodes.homomorphic.paillier.slots import Layout
from nodes.homomorphic.port import SLOT_BITS, IntegerProgram
from schemas.errors import BadData

KEY_BITS: Final = (2048, 3072, 4096)

_MAGIC: Final = b"SPP1"
_HEADER_BYTES: Final = 6


@dataclass(frozen=True)
class PaillierPublic:
    """n and the noise base h, an n-th residue modulo n^2. Implements the PublicKey port.

    Keep the object between batches: its noise table is built once.
    """

    n: mpz
    base: mpz
    slot_bits: int = SLOT_BITS
    """No part of the key as it travels: each side packs by the program that it knows (`IntegerProgram.slot_bits`)."""

    relative_error: ClassVar[float] = 0.0

    @cached_property
    def n_squared(self) -> mpz:
        """The modulus of ciphertexts."""
        return self.n * self.n

    @cached_property
    def bits(self) -> int:
        """Size of n."""
        return int(self.n.bit_length())

    @cached_property
    def slots(self) -> int:
        """Rows per ciphertext: 47 in slots of 64 bits at 3072, 73 in slots of 42. A plaintext stays below n / 3."""
        return slots_of(self.bits, self.slot_bits)

    @cached_property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext."""
        return self.bits // 4

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """`SPP1`, size of n in bits (2 bytes), n, h; all big-endian and of fixed width."""
        return b"".join(
            (
                _MAGIC,
                self.bits.to_bytes(2, "big"),
                self.n.to_bytes(self.bits // 8, "big"),
                self.base.to_bytes(self.ciphertext_bytes, "big"),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PaillierPublic:
        """Parse and validate; raises BadKey. That h is an n-th residue cannot be seen from outside: a key whose
        owner lies about it harms the owner's own results."""
        bits = key_bits(data, _MAGIC)
        cut = 6 + bits // 8
        if len(data) != cut + bits // 4:
            raise BadKey(f"a public key of {bits} bits takes {cut + bits // 4} bytes, this one has {len(data)}")
        key = cls(mpz.from_bytes(data[6:cut], "big"), mpz.from_bytes(data[cut:], "big"))
        key.validate(bits)
        return key

    @classmethod
    def from_phe(cls, key: PaillierPublicKey) -> PaillierPublic:
        """Take over a key made by phe, with a fresh noise base."""
        n = mpz(key.n)
        public = cls(n, noise_base(n))
        public.validate(n.bit_length())
        return public

    def laid_out(self, program: IntegerProgram) -> PaillierPublic:
        """The same key, in slots as narrow as this program allows."""
        return replace(self, slot_bits=program.slot_bits)

    def to_phe(self) -> PaillierPublicKey:
        """The same key for stock phe, which needs no noise base."""
        return PaillierPublicKey(int(self.n))

    def validate(self, bits: int) -> None:
        """Refuse a key that is no key, or whose noise would hide nothing; raises BadKey."""
        n, base = self.n, self.base
        if bits not in KEY_BITS or n.bit_length() != bits:
            raise BadKey(f"the modulus has {n.bit_length()} bits, not one of {KEY_BITS}: make a new key")
        if n % 2 == 0 or gmpy2.is_square(n) or gmpy2.is_prime(n):
            raise BadKey("the modulus is not a product of two odd primes: make a new key")
        if not 1 < base < self.n_squared - 1 or base % n in (1, n - 1) or gmpy2.gcd(base, n) != 1:
            raise BadKey("the noise base hides nothing: make a new key")
        if gmpy2.jacobi(base, n) != 1:
            raise BadKey("the noise base shows a bit of every exponent: make a new key")

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix."""
        return packing.body_bytes(rows, width, self.slots, self.ciphertext_bytes)

    def result_bytes(self, rows: int, width: int) -> int:
        """As `body_bytes`."""
        return self.body_bytes(rows, width)

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """Encrypt int64 [rows, width] into a body of ceil(rows / slots) ciphertexts per column, on fixed-base noise."""
        return self.encrypt_plaintexts(self.pack(values))

    def encrypt_rows(self, rows: NDArray[np.int64]) -> bytes:
        """One ciphertext for each row of int64 [rows, width], all its numbers in slots as wide as they can be."""
        return self.encrypt_plaintexts(Layout.widest(self.bits, rows.shape[1]).pack(rows))

    def encrypt_plaintexts(self, plaintexts: Sequence[mpz]) -> bytes:
        """Ciphertexts of plaintexts that the caller packed, any integers modulo n, on fixed-base noise."""
        fresh = zip(self._noise.draw(len(plaintexts)), plaintexts, strict=True)
        return self.serialise([noise.seal(self.n, drawn, plaintext) for drawn, plaintext in fresh])

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        """Run `program` on the body of a [rows, F] matrix, without any key (H2).

        Returns the re-randomised body of [rows, K]; with `sum_rows` one block of partial sums per output, the bias
        in its first slot. Raises Overflow before any work, BadCiphertext for a body that is not wholly valid.
        """
        program.require_linear()
        program.require_room(rows, self.slot_bits)
        columns = self._columns(body, rows, program)
        if program.sum_rows:
            added = compile_powers([1] * len(columns[0]))
            columns = [[added.run(column, self.n)] for column in columns]
        blocks = list(zip(*columns, strict=True))
        filled = [1 if program.sum_rows else min(self.slots, rows - at * self.slots) for at in range(len(blocks))]
        ones = [packing.ones(count, self.slot_bits) for count in filled]
        outputs = (
            self._weighted(blocks, compile_signed(weights), [bias * one for one in ones])
            for weights, bias in zip(program.weights, program.bias, strict=True)
        )
        return self.serialise([block for output in outputs for block in output])

    def _columns(self, body: bytes, rows: int, program: IntegerProgram) -> list[list[Pair]]:
        """The input columns. Those with a weight are proved coprime to n by `inverses` of products of them."""
        width = program.width_in
        pairs = ciphertexts.parse_unproven(body, self.n, self.ciphertext_bytes, self.body_bytes(rows, width))
        size = len(pairs) // width
        columns = [pairs[at : at + size] for at in range(0, len(pairs), size)]
        unused = [column for column, *weights in zip(columns, *program.weights, strict=True) if not any(weights)]
        ciphertexts.require_units([low for column in unused for _, low in column], self.n)
        return columns

    def _weighted(self, blocks: Sequence[Sequence[Pair]], weights: SignedPowers, messages: Sequence[mpz]) -> list[mpz]:
        """One output of several blocks: weights, bias and fresh noise."""
        n = self.n
        started = [weights.start(block, n) for block in blocks]
        inverses = ciphertexts.inverses([running.lows[-1] for running in started], n)
        results = []
        drawn = self._noise.draw(len(blocks))
        for running, last_inverse, message, (product, tail) in zip(started, inverses, messages, drawn, strict=True):
            weighted = weights.finish(running, last_inverse, message + tail, n)
            results.append(join(weighted, n) * product % self.n_squared)
        return results

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """The body of the sums of two [rows, width] matrices; raises BadCiphertext.

        Its noise is that of its operands: `rerandomise` it before it leaves. The caller sees to it that the sums stay
        within their slots.
        """
        expected = self.body_bytes(rows, width)
        numbers = [ciphertexts.read(body, self.n, self.ciphertext_bytes, expected) for body in (left, right)]
        return self.serialise(ciphertexts.added(numbers[0], numbers[1], self.n_squared))

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """The same matrix under fresh noise; raises BadCiphertext."""
        return self.add_values(body, np.zeros((rows, width), dtype=np.int64))

    def add_values(self, body: bytes, values: NDArray[np.int64]) -> bytes:
        """The body of the sum of a matrix and these values of the same shape, under fresh noise.

        The caller sees to it that the sums stay within their slots. Raises BadCiphertext, and as `pack`.
        """
        rows, width = values.shape
        blocks = self.parse(body, rows, width)
        fresh = zip(blocks, self.pack(values), self._noise.draw(len(blocks)), strict=True)
        return self.serialise(
            [
                join(add_message(block, message + tail, self.n), self.n) * product % self.n_squared
                for block, message, (product, tail) in fresh
            ]
        )

    def parse(self, body: bytes, rows: int, width: int) -> list[Pair]:
        """The ciphertexts of a body as pairs, all of them valid; raises BadCiphertext."""
        return ciphertexts.parse(body, self.n, self.ciphertext_bytes, self.body_bytes(rows, width))

    def serialise(self, blocks: Sequence[mpz]) -> bytes:
        """The body of these ciphertexts."""
        return ciphertexts.serialise(blocks, self.ciphertext_bytes)

    def pack(self, values: NDArray[np.int64]) -> list[mpz]:
        """The plaintexts of int64 [rows, width], column after column.

        Raises BadData for anything else, and Overflow for values that pass their slots.
        """
        if values.ndim != 2 or values.dtype != np.int64 or 0 in values.shape:
            raise BadData(f"only int64 [rows, columns] can be encrypted, not {values.dtype} {list(values.shape)}")
        return [block for column in values.T for block in packing.pack(column, self.slots, self.slot_bits)]

    @cached_property
    def _noise(self) -> noise.NoiseSource:
        return noise.NoiseSource(self.n, self.base)


def slots_of(key_bits: int, slot_bits: int) -> int:
    """Rows that share one ciphertext."""
    return (key_bits - 3) // slot_bits


def noise_base(n: mpz) -> mpz:
    """h = (+-y^2)^n mod n^2 for a random y; the sign keeps the Jacobi symbol at 1 for moduli that are not Blum's."""
    root = mpz(0)
    while gmpy2.gcd(root, n) != 1:
        root = mpz(secrets.randbelow(int(n)))
    square = root * root % n
    return gmpy2.powmod(n - square if n % 4 == 1 else square, n, n * n)


def key_bits(data: bytes, magic: bytes) -> int:
    """The size in bits that a serialised key announces."""
    if data[:4] != magic:
        raise BadKey("these bytes are not a Paillier key of the expected kind")
    bits = int.from_bytes(data[4:6], "big")
    if bits not in KEY_BITS:
        raise BadKey(f"a key of {bits} bits is not accepted, only {KEY_BITS}: make a new key")
    return bits
