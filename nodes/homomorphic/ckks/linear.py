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

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks import keys
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.frames import INPUT_BITS_DEFAULT
from nodes.homomorphic.ckks.seal import SLOTS, Memory
from nodes.homomorphic.errors import BadKey, TooCoarse, invalid
from nodes.homomorphic.packing import blocks_of
from nodes.homomorphic.port import SLOT_BITS, SLOT_VALUE_LIMIT, IntegerProgram, Noise
from schemas.errors import BadData

UNIT: Final = 2.0**54
"""An integer x is encoded as x * UNIT: with a slot's 63 bits and a sign below the 120 bits of the modulus."""
NOISE: Final = 2.0**-35
"""The error of one ciphertext in units of its integers; 2^-40.0 was the largest seen in 9,240 ciphertexts."""
RELATIVE_ERROR: Final = 2.0**-42
"""Of the largest possible value; 2^-50.0 was the largest seen in 263 random programs that fill their slots."""
EXACT_ERROR: Final = 0.5
"""Errors below this many units vanish when decrypted values are rounded."""

MODULUS_BITS: Final = (60, 60, 60)
"""Of the primes. Sizes of 60 leave SEAL's compression nothing to gain: ciphertexts are an eighth longer than with one
of 40, but read in a quarter of the time."""
FRAME_BYTES: Final = 262_656
"""One ciphertext with its header, padded."""


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


@dataclass(frozen=True, eq=False)
class CkksPublic(keys.Public):
    """Encrypts and computes; nothing is rescaled, so there is one level. Implements the PublicKey port."""

    relative_error = RELATIVE_ERROR
    kind = b"SCP2"
    depths = (0,)

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return sum(MODULUS_BITS)

    @classmethod
    def from_bytes(cls, data: bytes) -> CkksPublic:
        """Parse; raises BadKey."""
        input_bits, depth, key, rest = ckks_frames.key_parts(data, cls.kind, cls.depths)
        engine = ckks_seal.engine(MODULUS_BITS)
        public = engine.api.PublicKey()
        ckks_frames.load_key(engine, public, key)
        if rest:
            raise BadKey("the CKKS key is longer than it says: its owner must publish it again")
        return cls(data, input_bits, depth, engine, engine.api.Encryptor(engine.context, public))

    def frame_bytes(self, level: int) -> int:
        return FRAME_BYTES

    def scale(self, level: int) -> float:
        return UNIT

    def result_bytes(self, rows: int, width: int) -> int:
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
        return self.packed(values.astype(np.float64), self.input_bits, encrypt)

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
            columns = self.ciphertexts(body, rows, program.width_in, memory)
            for at in range(1 if program.sum_rows else blocks):
                held = 1 if program.sum_rows else min(SLOTS, rows - at * SLOTS)
                block = range(blocks) if program.sum_rows else (at,)
                inputs = (self._sum(columns, column * blocks, block) for column in range(program.width_in))
                for made, bias, total in zip(frames, program.bias, self._weighted(inputs, program), strict=True):
                    fresh = self._fresh(bias, held)
                    if total is not None:
                        self.engine.evaluator.add_inplace(fresh, total)
                    made.extend(self.frame(0, exponent, fresh, memory))
        return b"".join(itertools.chain.from_iterable(frames))

    def add(self, left: bytes, right: bytes, rows: int, width: int) -> bytes:
        frames: list[bytes] = []
        with Memory() as memory:
            pairs = zip(*(list(self.all_ciphertexts(body, rows, width, memory)) for body in (left, right)), strict=True)
            for (one, a), (other, b) in pairs:
                self.engine.evaluator.add_inplace(a, b)
                frames.extend(self.frame(0, min(max(one, other) + 1, SLOT_BITS - 1), a, memory))
        return b"".join(frames)

    def rerandomise(self, body: bytes, rows: int, width: int) -> bytes:
        """Adds a fresh encryption of zeros to every ciphertext."""
        frames: list[bytes] = []
        with Memory() as memory:
            for exponent, ciphertext in self.all_ciphertexts(body, rows, width, memory):
                self.engine.evaluator.add_inplace(ciphertext, self._fresh(0, 1))
                frames.extend(self.frame(0, exponent, ciphertext, memory))
        return b"".join(frames)

    def unframed(self, frame: memoryview, level: int, memory: Memory) -> tuple[int, Any]:
        exponent, ciphertext = super().unframed(frame, level, memory)
        if not 0 <= exponent < SLOT_BITS:  # no number passes a slot
            raise invalid()
        return exponent, ciphertext

    def _sum(self, columns: Callable[[int], tuple[int, Any]], first: int, block: Iterable[int]) -> Any:
        """The ciphertexts at `first` plus each of `block`, added up."""
        ciphertexts = (columns(first + at)[1] for at in block)
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


@dataclass(frozen=True, repr=False, eq=False)
class CkksSecret(keys.Secret[CkksPublic]):
    """Decrypts. Implements the SecretKey port."""

    kind = b"SCS2"
    public_class = CkksPublic

    def encrypt(self, values: NDArray[np.int64], *, noise: Noise = "fixed-base") -> bytes:
        """As CkksPublic.encrypt, faster and with less noise; CKKS has one kind of it, and `noise` chooses nothing."""
        return self.public.encrypted(values, self.encryptor.encrypt_symmetric)

    def decrypt(self, body: bytes, rows: int, width: int, *, sum_rows: bool = False) -> NDArray[np.int64]:
        """int64, rounded; wrong by at most RELATIVE_ERROR of the largest possible value. Raises BadCiphertext."""
        held = min(rows, SLOTS) if sum_rows else rows
        with Memory() as memory:
            columns = list(self.public.all_ciphertexts(body, held, width, memory))
        numbers = np.array([self.numbers(ciphertext) for _, ciphertext in columns]).reshape(width, -1)
        noise = max(EXACT_ERROR, math.ldexp(RELATIVE_ERROR, max(exponent for exponent, _ in columns)))
        values = np.rint(numbers[:, :held])
        if not ((np.abs(numbers[:, held:]) < noise).all() and (np.abs(values) < SLOT_VALUE_LIMIT).all()):
            raise invalid()
        result = values.astype(np.int64)
        if sum_rows:
            result = result.sum(axis=1, dtype=np.int64, keepdims=True)
        return np.ascontiguousarray(result.T)


def generate(input_bits: int = INPUT_BITS_DEFAULT) -> CkksSecret:
    """A new key pair for values of up to 2^input_bits; raises BadConfig, also when TenSEAL is not installed."""
    return CkksSecret.make(input_bits, 0, MODULUS_BITS)
