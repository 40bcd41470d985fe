"""CKKS with products of ciphertexts: polynomials of degree 2 or 4, evaluated without a key.

Integers are divided by their bound, so that values of at most 1 in size travel at the scale 2^40; `ckks_products`
multiplies them. Coefficients are divided by a power of two that is at least the sum of their sizes; it travels with the
result. The error is then at most POLYNOMIAL_ERROR of that power.

As with `ckks`, decryptions stay with the renter, bodies are to be authenticated before they come here, and strangers'
polynomials are evaluated in a process that may die.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks import products as ckks_products
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.frames import INPUT_BITS_DEFAULT
from nodes.homomorphic.ckks.products import RESULT_SCALE, SCALE, Block
from nodes.homomorphic.ckks.seal import SLOTS, Engine, Memory
from nodes.homomorphic.errors import BadCiphertext, BadKey, invalid
from nodes.homomorphic.packing import blocks_of, body_bytes
from nodes.homomorphic.port import SLOT_VALUE_LIMIT, IntegerProgram, Noise
from nodes.programs.polynomial import PolynomialMap
from schemas.errors import BadConfig, BadData, BadProgram

POLYNOMIAL_ERROR: Final = 2.0**-19
"""Of the power of two that bounds a result; 2^-24.5 was the largest seen in 708 random polynomials."""
RELATIVE_ERROR: Final = 2 * POLYNOMIAL_ERROR
"""Of the largest possible value, which is more than half of that power."""

_PUBLIC: Final = b"SQP1"
_SECRET: Final = b"SQS1"


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
class PolynomialPublic:
    """Encrypts, and evaluates polynomials of degree 2^depth. Implements the PublicKey port, but for sums over rows and
    programs on results of programs. `input_bits` bounds what can be encrypted."""

    data: bytes
    input_bits: int
    depth: int
    engine: Engine
    encryptor: Any
    relinearisation: Any

    slots = SLOTS
    relative_error = RELATIVE_ERROR

    def __reduce__(self) -> tuple[Any, ...]:
        return PolynomialPublic.from_bytes, (self.data,)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return CHAINS[self.depth].bits

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext that goes in."""
        return CHAINS[self.depth].frame_bytes

    @property
    def degree(self) -> int:
        """The highest degree of a polynomial."""
        return 1 << self.depth

    def to_bytes(self) -> bytes:
        """`SQP1`, input bits, depth, SEAL's public key and its relinearisation keys; no secret and no Galois keys."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> PolynomialPublic:
        """Parse; raises BadKey."""
        input_bits, depth, key, rest = ckks_frames.key_parts(data, _PUBLIC, CHAINS)
        engine = ckks_seal.engine(CHAINS[depth].modulus_bits)
        public, relinearisation = engine.api.PublicKey(), engine.api.RelinKeys()
        ckks_frames.load_key(engine, public, key)
        ckks_frames.load_key(engine, relinearisation, rest)
        return cls(data, input_bits, depth, engine, engine.api.Encryptor(engine.context, public), relinearisation)

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix that goes in."""
        return body_bytes(rows, width, SLOTS, CHAINS[self.depth].frame_bytes)

    def result_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix that comes out."""
        return body_bytes(rows, width, SLOTS, CHAINS[self.depth].result_bytes)

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
        return evaluate_polynomial(self, body, rows, PolynomialMap(program.width_in, outputs))

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """As the port says, of inputs or of results."""
        level = self.level(left, rows, width)
        with Memory() as memory:
            frames: list[bytes] = []
            for (one, a), (other, b) in zip(
                *(self.parsed(body, rows, width, level) for body in (left, right)), strict=True
            ):
                if one != other:
                    raise BadCiphertext("results of different programs cannot be added", code="ciphertext-invalid")
                self.engine.evaluator.add_inplace(a, b)
                frames.extend(self.frame(level, one, a, memory))
        return b"".join(frames)

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext, of inputs or of results."""
        level = self.level(body, rows, width)
        frames: list[bytes] = []
        scale, parms = (RESULT_SCALE if level else SCALE), tuple(self.engine.levels())[level]
        with Memory() as memory:
            for exponent, ciphertext in self.parsed(body, rows, width, level):
                zeros = self.engine.ciphertext()
                self.encryptor.encrypt(self.engine.plaintext(0.0, scale, parms), zeros)
                self.engine.evaluator.add_inplace(ciphertext, zeros)
                frames.extend(self.frame(level, exponent, ciphertext, memory))
        return b"".join(frames)

    def encrypted(self, values: NDArray[np.float64], encrypt: Any) -> bytes:
        """As `encrypt`, by SEAL's `encrypt(plaintext, ciphertext)`."""
        if values.ndim != 2 or 0 in values.shape or not (np.abs(values) <= 1).all():
            raise BadData(
                f"only [rows, columns] of at most 2^{self.input_bits} in size can be encrypted: make another key"
            )
        frames: list[bytes] = []
        with Memory() as memory:
            for column in values.T:
                for at in range(0, len(column), SLOTS):
                    ciphertext = self.engine.ciphertext()
                    encrypt(self.engine.plaintext(column[at : at + SLOTS].tolist(), SCALE), ciphertext)
                    frames.extend(self.frame(0, 0, ciphertext, memory))
        return b"".join(frames)

    def frame(self, level: int, exponent: int, ciphertext: Any, memory: Memory) -> tuple[bytes, bytes, bytes]:
        """The bytes of one ciphertext, in pieces to be joined."""
        return ckks_frames.pack(self.digest, level, exponent, memory.save(ciphertext), self._frame_bytes(level))

    def level(self, body: bytes, rows: int, width: int) -> int:
        """What a body's length says: `depth` of results, else 0."""
        return self.depth if len(body) == self.result_bytes(rows, width) else 0

    def _frame_bytes(self, level: int) -> int:
        return CHAINS[self.depth].result_bytes if level else CHAINS[self.depth].frame_bytes

    def parsed(self, body: bytes, rows: int, width: int, level: int) -> Iterator[tuple[int, Any]]:
        """Exponents and ciphertexts of a body that went in (level 0) or came out (`depth`); raises BadCiphertext."""
        expected, size = body_bytes(rows, width, SLOTS, self._frame_bytes(level)), self._frame_bytes(level)
        if not 0 < len(body) == expected:
            raise BadCiphertext(f"the body takes {expected} bytes, this one has {len(body)}", code="ciphertext-length")
        with Memory() as memory:
            for at in range(0, len(body), size):
                claimed, exponent, data = ckks_frames.unpack(memoryview(body)[at : at + size], self.digest)
                ciphertext = ckks_frames.load(self.engine, data, memory)
                scale = RESULT_SCALE if level else SCALE
                if claimed != level or not self.engine.is_whole(ciphertext, level) or ciphertext.scale != scale:
                    raise invalid()
                yield exponent, ciphertext


@dataclass(frozen=True, repr=False, eq=False)
class PolynomialSecret:
    """Decrypts. Implements the SecretKey port."""

    public: PolynomialPublic
    data: bytes
    encryptor: Any
    decryptor: Any

    keeps_decryptions = True

    def __repr__(self) -> str:
        return f"PolynomialSecret(public={self.public.digest[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PolynomialSecret.from_bytes, (self.data,)

    def to_bytes(self) -> bytes:
        """`SQS1`, input bits, depth, SEAL's secret key, and the public key: seal it before it is stored."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> PolynomialSecret:
        """Parse, the public key too; raises BadKey."""
        input_bits, depth, key, rest = ckks_frames.key_parts(data, _SECRET, CHAINS)
        public = PolynomialPublic.from_bytes(rest)
        if (public.input_bits, public.depth) != (input_bits, depth):
            raise BadKey("the halves of this CKKS key do not belong together: restore it or make a new one")
        api, context = public.engine.api, public.engine.context
        secret = api.SecretKey()
        ckks_frames.load_key(public.engine, secret, key)
        return cls(public, data, api.Encryptor(context, secret), api.Decryptor(context, secret))

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
        columns = []
        for exponent, ciphertext in self.public.parsed(body, rows, width, level):
            plain = self.public.engine.api.Plaintext()
            self.decryptor.decrypt(ciphertext, plain)
            columns.append(np.ldexp(np.array(self.public.engine.encoder.decode_double(plain)), exponent))
        return np.ascontiguousarray(np.concatenate(columns).reshape(width, -1)[:, :rows].T)


def generate(depth: int = 2, input_bits: int = INPUT_BITS_DEFAULT) -> PolynomialSecret:
    """A new key pair for `depth` products in a row, 1 for polynomials of degree 2, 2 for degree 4, of values of up to
    2^input_bits. Raises BadConfig."""
    ckks_frames.require_input_bits(input_bits)
    if depth not in CHAINS:
        raise BadConfig(
            f"there are no CKKS keys for {depth} products in a row, only for {sorted(CHAINS)}", field="depth"
        )
    engine = ckks_seal.engine(CHAINS[depth].modulus_bits)
    generator, public = engine.api.KeyGenerator(engine.context), engine.api.PublicKey()
    generator.create_public_key(public)
    with Memory() as memory:
        shown, hidden = memory.save(public), memory.save(generator.secret_key())
        data = ckks_frames.key_bytes(_PUBLIC, input_bits, depth, shown) + memory.save(generator.create_relin_keys())
    return PolynomialSecret.from_bytes(ckks_frames.key_bytes(_SECRET, input_bits, depth, hidden) + data)


def evaluate_polynomial(public: PolynomialPublic, body: bytes, rows: int, program: PolynomialMap) -> bytes:
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
    columns = [ciphertext for _, ciphertext in public.parsed(body, rows, program.width_in, 0)]
    frames: list[list[bytes]] = [[] for _ in program.outputs]
    with Memory() as memory:
        for at in range(blocks):
            block = Block.of(public, columns[at::blocks], pairs)
            held = min(SLOTS, rows - at * SLOTS)
            for output, exponent, made in zip(program.outputs, exponents, frames, strict=True):
                scaled = {monomial: math.ldexp(number, -exponent) for monomial, number in output.items()}
                made.extend(public.frame(public.depth, exponent, block.value(scaled, held), memory))
    return b"".join(itertools.chain.from_iterable(frames))
