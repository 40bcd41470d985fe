"""CKKS with products of ciphertexts: polynomials of degree 2 or 4, evaluated without a key.

Integers are divided by their bound, so that values of at most 1 in size travel at the scale 2^40; `products.py`
multiplies them. Coefficients are divided by a power of two that is at least the sum of their sizes; it travels with the
result. The error is then at most POLYNOMIAL_ERROR of that power.

As with `ckks`, decryptions stay with the renter, bodies are to be authenticated before they come here, and strangers'
polynomials are evaluated in a process that may die.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks import keys
from nodes.homomorphic.ckks import products as ckks_products
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.frames import INPUT_BITS_DEFAULT
from nodes.homomorphic.ckks.products import RESULT_SCALE, SCALE, Block
from nodes.homomorphic.ckks.seal import SLOTS, Memory
from nodes.homomorphic.errors import BadCiphertext, invalid
from nodes.homomorphic.packing import blocks_of, body_bytes
from nodes.homomorphic.port import SLOT_VALUE_LIMIT, IntegerProgram, Noise
from schemas.errors import BadConfig, BadData, BadProgram

POLYNOMIAL_ERROR: Final = 2.0**-19
"""Of the power of two that bounds a result; 2^-24.5 was the largest seen in 708 random polynomials."""
RELATIVE_ERROR: Final = 2 * POLYNOMIAL_ERROR
"""Of the largest possible value, which is more than half of that power."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The primes of a modulus, in bits, and the lengths of ciphertexts going in and coming out."""

    modulus_bits: tuple[int, ...]
    frame_bytes: int
    result_bytes: int

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return sum(self.modulus_bits)


CHAINS: Final[Mapping[int, Chain]] = MappingProxyType(
    {
        1: Chain((50, 40, 40, 50), 331_776, 225_280),
        2: Chain((50, 40, 40, 40, 48), 434_176, 225_280),
    }
)
"""By products in a row. At most 218 bits together: 128-bit security at 8,192 (HomomorphicEncryption.org standard)."""


@dataclass(frozen=True, eq=False)
class PolynomialPublic(keys.Public):
    """Encrypts, and evaluates polynomials of degree 2^depth. Implements the PublicKey port, but for sums over rows and
    programs on results of programs. Results are of level `depth`, and shorter than what goes in."""

    relinearisation: Any

    relative_error = RELATIVE_ERROR
    kind = b"SQP1"
    depths = CHAINS

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return CHAINS[self.depth].bits

    @property
    def degree(self) -> int:
        """The highest degree of a polynomial."""
        return 1 << self.depth

    @classmethod
    def from_bytes(cls, data: bytes) -> PolynomialPublic:
        """Parse; raises BadKey."""
        input_bits, depth, key, rest = ckks_frames.key_parts(data, cls.kind, cls.depths)
        engine = ckks_seal.engine(CHAINS[depth].modulus_bits)
        public, relinearisation = engine.api.PublicKey(), engine.api.RelinKeys()
        ckks_frames.load_key(engine, public, key)
        ckks_frames.load_key(engine, relinearisation, rest)
        return cls(data, input_bits, depth, engine, engine.api.Encryptor(engine.context, public), relinearisation)

    def frame_bytes(self, level: int) -> int:
        return CHAINS[self.depth].result_bytes if level else CHAINS[self.depth].frame_bytes

    def scale(self, level: int) -> float:
        return RESULT_SCALE if level else SCALE

    def result_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix that comes out."""
        return body_bytes(rows, width, SLOTS, self.frame_bytes(self.depth))

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """int64 [rows, width] of at most 2^input_bits in size; raises BadData."""
        return self.encrypted(self.fractions(values), self.encryptor.encrypt)

    def fractions(self, values: NDArray[np.int64]) -> NDArray[np.float64]:
        """int64 in units of their bound; raises BadData."""
        if values.dtype != np.int64:
            raise BadData(f"only int64 can be encrypted, not {values.dtype}")
        return np.ldexp(values, -self.input_bits)

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        """As the port says; raises BadProgram for sums over rows, too many products and a degree above the key's.

        Every product of columns is in units of the values' bound, as its weight expects.
        """
        program.require_room(rows)
        if program.sum_rows:
            raise BadProgram("the program adds rows up, which keys for polynomials do not compute")
        if program.input_max < 1 << self.input_bits:
            raise BadProgram(f"the program is for values of at most {program.input_max}, the key for larger ones")
        monomials = [*((column,) for column in range(program.width_in)), *program.products]
        units = [math.ldexp(1.0, self.input_bits * len(m)) / program.input_max ** (len(m) - 1) for m in monomials]
        outputs = tuple(
            {(): float(bias)} | {m: w * unit for m, w, unit in zip(monomials, weights, units, strict=True) if w}
            for weights, bias in zip(program.weights, program.bias, strict=True)
        )
        return evaluate_polynomial(self, body, rows, ckks_products.Polynomials(program.width_in, outputs))

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """As the port says, of inputs or of results."""
        level = self.level(left, rows, width)
        frames: list[bytes] = []
        with Memory() as memory:
            pairs = zip(
                *(self.all_ciphertexts(each, rows, width, memory, level) for each in (left, right)), strict=True
            )
            for (one, a), (other, b) in pairs:
                if one != other:
                    raise BadCiphertext("results of different programs cannot be added", code="ciphertext-invalid")
                self.engine.evaluator.add_inplace(a, b)
                frames.extend(self.frame(level, one, a, memory))
        return b"".join(frames)

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext, of inputs or of results."""
        level = self.level(body, rows, width)
        frames: list[bytes] = []
        parms = tuple(self.engine.levels())[level]
        with Memory() as memory:
            for exponent, ciphertext in self.all_ciphertexts(body, rows, width, memory, level):
                zeros = self.engine.ciphertext()
                self.encryptor.encrypt(self.engine.plaintext(0.0, self.scale(level), parms), zeros)
                self.engine.evaluator.add_inplace(ciphertext, zeros)
                frames.extend(self.frame(level, exponent, ciphertext, memory))
        return b"".join(frames)

    def encrypted(self, values: NDArray[np.float64], encrypt: Any) -> bytes:
        """As `encrypt`, by SEAL's `encrypt(plaintext, ciphertext)`."""
        if values.ndim != 2 or 0 in values.shape or not (np.abs(values) <= 1).all():
            raise BadData(
                f"only [rows, columns] of at most 2^{self.input_bits} in size can be encrypted: make another key"
            )
        return self.packed(values, 0, encrypt)

    def level(self, body: bytes, rows: int, width: int) -> int:
        """What a body's length says: `depth` of results, else 0."""
        return self.depth if len(body) == self.result_bytes(rows, width) else 0


@dataclass(frozen=True, repr=False, eq=False)
class PolynomialSecret(keys.Secret[PolynomialPublic]):
    """Decrypts. Implements the SecretKey port."""

    kind = b"SQS1"
    public_class = PolynomialPublic

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As PolynomialPublic.encrypt, faster and with less noise; CKKS has one kind, and `noise` chooses nothing."""
        return self.encrypt_fractions(self.public.fractions(values))

    def encrypt_fractions(self, values: NDArray[np.float64]) -> bytes:
        """float64 [rows, width], at most 1 in size; raises BadData."""
        return self.public.encrypted(values, self.encryptor.encrypt_symmetric)

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """Results, int64, rounded; wrong by at most RELATIVE_ERROR of the largest possible value. Raises BadCiphertext.

        Also what was encrypted and not computed with yet.
        """
        if sum_rows:
            raise BadProgram("keys for polynomials do not add rows up: nothing can have been added")
        level = self.public.level(body, rows, width)
        numbers = self._numbers(body, rows, width, level)
        values = np.rint(numbers if level else np.ldexp(numbers, self.public.input_bits))
        if not (np.abs(values) < SLOT_VALUE_LIMIT).all():
            raise invalid()
        return values.astype(np.int64)

    def decrypt_numbers(self, body: bytes, rows: int, width: int) -> NDArray[np.float64]:
        """Results, float64 [rows, width], wrong by at most POLYNOMIAL_ERROR of their bounds; raises BadCiphertext."""
        return self._numbers(body, rows, width, self.public.depth)

    def _numbers(self, body: bytes, rows: int, width: int, level: int) -> NDArray[np.float64]:
        with Memory() as memory:
            ciphertexts = self.public.all_ciphertexts(body, rows, width, memory, level)
            columns = [np.ldexp(self.numbers(ciphertext), exponent) for exponent, ciphertext in ciphertexts]
        return np.ascontiguousarray(np.concatenate(columns).reshape(width, -1)[:, :rows].T)


def generate(depth: int = 2, input_bits: int = INPUT_BITS_DEFAULT) -> PolynomialSecret:
    """A new key pair for `depth` products in a row, 1 for polynomials of degree 2, 2 for degree 4, of values of up to
    2^input_bits. Raises BadConfig."""
    if depth not in CHAINS:
        raise BadConfig(
            f"there are no CKKS keys for {depth} products in a row, only for {sorted(CHAINS)}", field="depth"
        )
    return PolynomialSecret.make(input_bits, depth, CHAINS[depth].modulus_bits)


def evaluate_polynomial(public: PolynomialPublic, body: bytes, rows: int, program: ckks_products.Polynomials) -> bytes:
    """The polynomials of each row, [rows, width_out], randomised afresh by the encryption of their constants.

    Raises BadProgram before any work for a higher degree than the key's, or more than PRODUCTS_MAX products of columns;
    BadCiphertext.
    """
    if program.degree > public.degree:
        raise BadProgram(
            f"the polynomials have degree {program.degree}, but the key computes degree {public.degree} at most"
        )
    pairs = ckks_products.pairs(program)
    exponents = [ckks_products.bound_exponent(output) for output in program.outputs]
    blocks = blocks_of(rows, SLOTS)
    frames: list[list[bytes]] = [[] for _ in program.outputs]
    with Memory() as memory:
        columns = [ciphertext for _, ciphertext in public.all_ciphertexts(body, rows, program.width_in, memory)]
        for at in range(blocks):
            block = Block.of(public, columns[at::blocks], pairs)
            held = min(SLOTS, rows - at * SLOTS)
            for output, exponent, made in zip(program.outputs, exponents, frames, strict=True):
                scaled = {monomial: math.ldexp(number, -exponent) for monomial, number in output.items()}
                made.extend(public.frame(public.depth, exponent, block.value(scaled, held), memory))
    return b"".join(itertools.chain.from_iterable(frames))
