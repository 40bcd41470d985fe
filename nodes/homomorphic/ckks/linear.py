"""CKKS through TenSEAL: approximate and faster than Paillier on large batches; the extra `ckks` brings TenSEAL.

One ciphertext carries the same column of 4,096 rows (Cheon, Kim, Kim and Song, ASIACRYPT '17). Integers are encoded at
a fixed scale and multiplied by the integer weights of a program, so that the scale never grows, nothing is rescaled,
and linear programs may follow each other as long as their values stay in a slot. What is left over of the modulus below
the slot's 63 bits keeps the noise away from the numbers.

The error of a decrypted value is at most NOISE for every ciphertext that went into it, times its weight. Values with an
error below half a unit are rounded to what they were; `require_accuracy` refuses programs whose larger errors would be
more than RELATIVE_ERROR of the largest result.

Two rules. *Decryptions stay with the renter*: an approximate decryption carries the noise of the key, and whoever sees
ciphertext, program and decryption can compute the key from it (Li and Micciancio, EUROCRYPT '21); `keeps_decryptions`
says so, and `scheme.require_shareable` refuses to hand them on. *SEAL parses bytes from outside*: authenticate a body
before it comes here, and evaluate for strangers in a process that may die.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.frames import INPUT_BITS_DEFAULT
from nodes.homomorphic.ckks.seal import Engine, Memory
from nodes.homomorphic.errors import BadCiphertext, BadKey, TooCoarse, invalid
from nodes.homomorphic.packing import blocks_of, body_bytes
from nodes.homomorphic.port import SLOT_BITS, SLOT_VALUE_LIMIT, IntegerProgram, Noise
from schemas.errors import BadData

SLOTS: Final = ckks_seal.SLOTS
UNIT: Final = 2.0**54
"""An integer x is encoded as x * UNIT: with a slot's 63 bits and a sign below the 120 bits of the modulus."""
NOISE: Final = 2.0**-35
"""The error of one ciphertext in units of its integers; 2^-40.0 was the largest seen in 9,240 ciphertexts."""
RELATIVE_ERROR: Final = 2.0**-42
"""Of the largest possible value; 2^-50.0 was the largest seen in 263 random programs that fill their slots."""
EXACT_ERROR: Final = 0.5
"""Errors below this many units vanish when decrypted values are rounded."""

_PUBLIC: Final = b"SCP2"
_SECRET: Final = b"SCS2"


MODULUS_BITS: Final = (60, 60, 60)
"""Of the primes. Sizes of 60 leave SEAL's compression nothing to gain: ciphertexts are an eighth longer than with one
of 40, but read in a quarter of the time."""
FRAME_BYTES: Final = 262_656
"""One ciphertext with its header, padded."""

_DEPTHS: Final = (1,)
"""What keys carry where those of `ckks_polynomial` say how many products they are for."""


def require_accuracy(program: IntegerProgram, rows: int) -> None:
    """Raises TooCoarse where noise could change a result by more than RELATIVE_ERROR of the largest one.

    Only programs with weights of more than 2^34 on values of less than 8 bits come to that.
    """
    repeats = blocks_of(rows, SLOTS) if program.sum_rows else 1
    error = NOISE * (max(sum(map(abs, weights)) for weights in program.weights) * repeats + 1)
    allowed = RELATIVE_ERROR / 2 * program.largest(min(rows, repeats))
    if error >= max(EXACT_ERROR, allowed):
        raise TooCoarse(
            f"results could be wrong by {error:.3g}, more than {allowed:.3g}: values of {program.input_max} at most "
            "are too small for these weights; scale the values up, or use Paillier",
            reachable=error,
            asked=allowed,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One ciphertext of integers of at most 2^exponent in size."""

    exponent: int
    ciphertext: Any


@dataclass(frozen=True, eq=False)
class CkksPublic:
    """Encrypts and computes. Implements the PublicKey port; `input_bits` bounds what can be encrypted."""

    data: bytes
    input_bits: int
    engine: Engine
    encryptor: Any

    slots = SLOTS
    relative_error = RELATIVE_ERROR

    def __reduce__(self) -> tuple[Any, ...]:
        return CkksPublic.from_bytes, (self.data,)

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return sum(MODULUS_BITS)

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one serialised ciphertext."""
        return FRAME_BYTES

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the serialised key, hex."""
        return hashlib.sha256(self.data).hexdigest()

    def to_bytes(self) -> bytes:
        """`SCP2`, input bits, 1, and SEAL's public key, without secret or Galois keys: 0.4 MB."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> CkksPublic:
        """Parse; raises BadKey."""
        input_bits, _, key, rest = ckks_frames.key_parts(data, _PUBLIC, _DEPTHS)
        engine = ckks_seal.engine(MODULUS_BITS)
        public = engine.api.PublicKey()
        ckks_frames.load_key(engine, public, key)
        if rest:
            raise BadKey("the CKKS key is longer than it says: its owner must publish it again")
        return cls(data, input_bits, engine, engine.api.Encryptor(engine.context, public))

    def body_bytes(self, rows: int, width: int) -> int:
        """Exact length of the body of a [rows, width] matrix."""
        return body_bytes(rows, width, SLOTS, self.ciphertext_bytes)

    def result_bytes(self, rows: int, width: int) -> int:
        """As `body_bytes`."""
        return self.body_bytes(rows, width)

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """int64 [rows, width] of at most 2^input_bits in size; raises BadData."""
        return self.encrypted(values, self.encryptor.encrypt)

    def encrypted(self, values: NDArray[np.int64], encrypt: Any) -> bytes:
        """As `encrypt`, by SEAL's `encrypt(plaintext, ciphertext)`."""
        if values.ndim != 2 or values.dtype != np.int64 or 0 in values.shape:
            raise BadData(f"only int64 [rows, columns] can be encrypted, not {values.dtype} {list(values.shape)}")
        if max(-int(values.min()), int(values.max())) > 1 << self.input_bits:
            raise BadData(f"a value is past 2^{self.input_bits}, the bound of this key: make a key for larger values")
        frames: list[bytes] = []
        with Memory() as memory:
            for column in values.T.astype(np.float64):
                for at in range(0, len(column), SLOTS):
                    ciphertext = self.engine.ciphertext()
                    encrypt(self.engine.plaintext(column[at : at + SLOTS].tolist(), UNIT), ciphertext)
                    frames.extend(self.frame(Column(self.input_bits, ciphertext), memory))
        return b"".join(frames)

    def evaluate(self, body: bytes, rows: int, program: IntegerProgram) -> bytes:
        """As the port says; the bias comes in a fresh ciphertext, which randomises the result.

        Raises Overflow and TooCoarse before any work, and BadCiphertext.
        """
        program.require_linear()
        program.require_room(rows)
        require_accuracy(program, rows)
        exponent, blocks = program.largest(rows).bit_length(), blocks_of(rows, SLOTS)
        frames: list[list[bytes]] = [[] for _ in program.bias]
        with Memory() as memory:
            columns = self._random_access(body, rows, program.width_in, memory)
            for at in range(1 if program.sum_rows else blocks):
                held = 1 if program.sum_rows else min(SLOTS, rows - at * SLOTS)
                block = range(blocks) if program.sum_rows else (at,)
                inputs = (self._sum(columns, column * blocks, block) for column in range(program.width_in))
                for made, bias, total in zip(frames, program.bias, self._weighted(inputs, program), strict=True):
                    fresh = self._fresh(bias, held)
                    if total is not None:
                        self.engine.evaluator.add_inplace(fresh, total)
                    made.extend(self.frame(Column(exponent, fresh), memory))
        return b"".join(itertools.chain.from_iterable(frames))

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        """As the port says."""
        with Memory() as memory:
            pairs = list(zip(*(list(self.columns(body, rows, width, memory)) for body in (left, right)), strict=True))
            for a, b in pairs:
                self.engine.evaluator.add_inplace(a.ciphertext, b.ciphertext)
            sums = [Column(min(max(a.exponent, b.exponent) + 1, SLOT_BITS - 1), a.ciphertext) for a, b in pairs]
            return b"".join([piece for column in sums for piece in self.frame(column, memory)])

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext."""
        frames: list[bytes] = []
        with Memory() as memory:
            for column in self.columns(body, rows, width, memory):
                self.engine.evaluator.add_inplace(column.ciphertext, self._fresh(0, 1))
                frames.extend(self.frame(column, memory))
        return b"".join(frames)

    def _sum(self, columns: Callable[[int], Column], first: int, block: Iterable[int]) -> Any:
        """The ciphertexts at `first` plus each of `block`, added up."""
        ciphertexts = (columns(first + at).ciphertext for at in block)
        total = next(ciphertexts)
        for other in ciphertexts:
            self.engine.evaluator.add_inplace(total, other)
        return total

    def _weighted(self, ciphertexts: Iterable[Any], program: IntegerProgram) -> list[Any]:
        """[width_out] sums of products; None where all weights are zero, for no product may hide nothing.

        One ciphertext at a time, so that it is read, multiplied and forgotten while it is in the processor's cache.
        """
        evaluator, product = self.engine.evaluator, self.engine.ciphertext()
        totals: list[Any] = [None] * program.width_out
        for column, ciphertext in enumerate(ciphertexts):
            for output, weights in enumerate(program.weights):
                if not weights[column]:
                    continue
                factor = self.engine.plaintext(float(weights[column]), 1.0)
                if totals[output] is None:
                    totals[output] = self.engine.ciphertext()
                    evaluator.multiply_plain(ciphertext, factor, totals[output])
                else:
                    evaluator.multiply_plain(ciphertext, factor, product)
                    evaluator.add_inplace(totals[output], product)
        return totals

    def _fresh(self, number: int, held: int) -> Any:
        """A fresh ciphertext of one number in the first `held` slots; the others hold zeros."""
        numbers = float(number) if held == SLOTS or not number else [float(number)] * held
        ciphertext = self.engine.ciphertext()
        self.encryptor.encrypt(self.engine.plaintext(numbers, UNIT), ciphertext)
        return ciphertext

    def columns(self, body: bytes, rows: int, width: int, memory: Memory) -> Iterator[Column]:
        """The ciphertexts of a body, column after column; raises BadCiphertext, for the length before any work."""
        column = self._random_access(body, rows, width, memory)
        return map(column, range(len(body) // self.ciphertext_bytes))

    def _random_access(self, body: bytes, rows: int, width: int, memory: Memory) -> Callable[[int], Column]:
        expected, size, view = self.body_bytes(rows, width), self.ciphertext_bytes, memoryview(body)
        if not 0 < len(body) == expected:
            raise BadCiphertext(f"the body takes {expected} bytes, this one has {len(body)}", code="ciphertext-length")
        return lambda at: self._column(view[at * size : (at + 1) * size], memory)

    def _column(self, frame: memoryview, memory: Memory) -> Column:
        level, exponent, data = ckks_frames.unpack(frame, self.digest)
        if level or not 0 <= exponent < SLOT_BITS:
            raise invalid()
        ciphertext = ckks_frames.load(self.engine, data, memory)
        if not self.engine.is_whole(ciphertext, 0) or ciphertext.scale != UNIT:
            raise invalid()
        return Column(exponent, ciphertext)

    def frame(self, column: Column, memory: Memory) -> tuple[bytes, bytes, bytes]:
        """The bytes of one ciphertext, in pieces to be joined."""
        data = memory.save(column.ciphertext)
        return ckks_frames.pack(self.digest, 0, column.exponent, data, self.ciphertext_bytes)


@dataclass(frozen=True, repr=False, eq=False)
class CkksSecret:
    """Decrypts. Implements the SecretKey port."""

    public: CkksPublic
    data: bytes
    encryptor: Any
    decryptor: Any

    keeps_decryptions = True

    def __repr__(self) -> str:
        return f"CkksSecret(public={self.public.digest[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return CkksSecret.from_bytes, (self.data,)

    def to_bytes(self) -> bytes:
        """`SCS2`, input bits, 1, SEAL's secret key, and the public key: seal it before it is stored."""
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> CkksSecret:
        """Parse, the public key too; raises BadKey."""
        input_bits, _, key, rest = ckks_frames.key_parts(data, _SECRET, _DEPTHS)
        public = CkksPublic.from_bytes(rest)
        if public.input_bits != input_bits:
            raise BadKey("the halves of this CKKS key do not belong together: restore it or make a new one")
        api, context = public.engine.api, public.engine.context
        secret = api.SecretKey()
        ckks_frames.load_key(public.engine, secret, key)
        return cls(public, data, api.Encryptor(context, secret), api.Decryptor(context, secret))

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As CkksPublic.encrypt, faster and with less noise; CKKS has one kind of it, and `noise` chooses nothing."""
        return self.public.encrypted(values, self.encryptor.encrypt_symmetric)

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """int64, rounded; wrong by at most RELATIVE_ERROR of the largest possible value. Raises BadCiphertext."""
        held = min(rows, SLOTS) if sum_rows else rows
        with Memory() as memory:
            columns = list(self.public.columns(body, held, width, memory))
        numbers = np.array([self._numbers(column) for column in columns]).reshape(width, -1)
        noise = max(EXACT_ERROR, math.ldexp(RELATIVE_ERROR, max(column.exponent for column in columns)))
        values = np.rint(numbers[:, :held])
        if not ((np.abs(numbers[:, held:]) < noise).all() and (np.abs(values) < SLOT_VALUE_LIMIT).all()):
            raise invalid()
        result = values.astype(np.int64)
        if sum_rows:
            result = result.sum(axis=1, dtype=np.int64, keepdims=True)
        return np.ascontiguousarray(result.T)

    def _numbers(self, column: Column) -> NDArray[np.float64]:
        plain = self.public.engine.api.Plaintext()
        self.decryptor.decrypt(column.ciphertext, plain)
        return np.fromiter(self.public.engine.encoder.decode_double(plain), np.float64, SLOTS)


def generate(input_bits: int = INPUT_BITS_DEFAULT) -> CkksSecret:
    """A new key pair for values of up to 2^input_bits; raises BadConfig, also when TenSEAL is not installed."""
    ckks_frames.require_input_bits(input_bits)
    engine = ckks_seal.engine(MODULUS_BITS)
    generator, public = engine.api.KeyGenerator(engine.context), engine.api.PublicKey()
    generator.create_public_key(public)
    with Memory() as memory:
        shown, hidden = memory.save(public), memory.save(generator.secret_key())
    data = ckks_frames.key_bytes(_PUBLIC, input_bits, *_DEPTHS, shown)
    return CkksSecret.from_bytes(ckks_frames.key_bytes(_SECRET, input_bits, *_DEPTHS, hidden) + data)
