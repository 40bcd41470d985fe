"""Audits a lessor's results: were all rows of a batch computed as the program says? Pure.

Freivalds' check (R. Freivalds, "Probabilistic machines can use less running time", 1977): with a row vector r that the
lessor does not know, V = X·W + b implies r·V = (r·X)·W + (Σr)·b. It is held modulo a prime p of 31 bits that the lessor
does not know either, for an error that is a multiple of a known p would pass. A wrong number passes with a probability
below 10^-7: at most two primes of that size divide an error of 64 bits, and there are 25 million to draw from; and r
hits a root with 2^-30. Paillier is exact, so an honest result always passes.

The right side is computed when a batch is encrypted, while its rows are at hand: one pass over them, a small part
of what encrypting them costs. Every row of every batch is audited, so no work of a caught lessor needs to be redone.

Under an approximate scheme no equation holds exactly. There some rows of every batch are *canaries*: the renter knows
their results, the lessor cannot tell them from others, and each must be as near as the scheme promises. Who computes a
share s of the rows wrongly passes a batch with probability (1 - s)^CANARIES: 4e-12 for a twentieth.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import gmpy2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.homomorphic.port import IntegerProgram
from schemas.signing import length_prefixed

MODULUS_MIN: Final = 1 << 30
"""Moduli lie between this and twice this: products of residues, and sums over a batch's rows, fit 64 bits."""

CANARIES: Final = 512
"""Rows of a batch whose results are known; all of a smaller batch."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What only the renter knows of a batch: the prime, and a weight below it per row of the result."""

    modulus: int
    weights: Integers


class Expected(Struct, frozen=True):
    """What is known of an honest result: what it adds up to, a residue per output, or the results of its canaries."""

    residues: tuple[int, ...] = ()
    canaries: bytes = b""
    """float64, little-endian, [canaries, K]."""


def challenge(secret: bytes, batch: str, rows: int) -> Challenge:
    """The challenge for one batch's result of `rows` rows: SHAKE-256 (FIPS 202) of the job's secret, labelled.

    Any worker of the renter gets the same for the same batch, so checksums need not be kept.
    """
    stream = hashlib.shake_256(length_prefixed(b"sublet/v1/audit", secret, batch.encode())).digest(8 + 8 * rows)
    start = MODULUS_MIN + int.from_bytes(stream[:8], "big") % (MODULUS_MIN // 2)
    modulus = int(gmpy2.next_prime(start))
    drawn = np.frombuffer(stream[8:], dtype="<u8")
    return Challenge(modulus, (drawn % modulus).astype(np.int64))


def expect(values: Integers, program: IntegerProgram, given: Challenge) -> Expected:
    """The checksums of an honest result.

    Args:
        values: encoded input, int64 [N, F].
        program: what the lessor computes.
        given: a challenge of as many rows as the result has: N, or 1 with `program.sum_rows`.
    """
    modulus = given.modulus
    rows = values % modulus
    if program.sum_rows:
        rows = rows.sum(axis=0, keepdims=True) % modulus
    columns = [int(each) for each in _combined(rows, given)]
    total = int(given.weights.sum())
    residues = (
        (sum(weight * column for weight, column in zip(row, columns, strict=True)) + bias * total) % modulus
        for row, bias in zip(program.weights, program.bias, strict=True)
    )
    return Expected(tuple(residues))


def passes(result: Integers, expected: Expected, given: Challenge) -> bool:
    """Whether a decrypted result, int64 [rows, K], is the one expected."""
    if result.shape != (len(given.weights), len(expected.residues)):
        return False
    return tuple(int(each) for each in _combined(result % given.modulus, given)) == expected.residues


def canaries(secret: bytes, batch: str, rows: int) -> Integers:
    """Which of a batch's `rows` results are canaries, drawn as `challenge` draws; in order."""
    stream = hashlib.shake_256(length_prefixed(b"sublet/v1/canaries", secret, batch.encode())).digest(8 * rows)
    drawn = np.frombuffer(stream, dtype="<u8")
    return np.sort(np.argsort(drawn, kind="stable")[:CANARIES]).astype(np.int64)


def expect_canaries(values: Integers, program: IntegerProgram, chosen: Integers) -> Expected:
    """The results of the canaries, in float64: far nearer than any approximate scheme."""
    rows = values.sum(axis=0, keepdims=True, dtype=np.float64) if program.sum_rows else values.astype(np.float64)
    weights, bias = np.array(program.weights, dtype=np.float64), np.array(program.bias, dtype=np.float64)
    return Expected(canaries=(program.terms(rows[chosen]) @ weights.T + bias).astype("<f8").tobytes())


def canaries_live(result: Integers, expected: Expected, chosen: Integers, tolerance: float) -> bool:
    """Whether the canaries of a decrypted result, int64 [rows, K], are all within `tolerance` of what is known."""
    known = np.frombuffer(expected.canaries, dtype="<f8").reshape(len(chosen), -1)
    shown = result[chosen].astype(np.float64)
    return shown.shape == known.shape and bool((np.abs(shown - known) <= tolerance).all())


@dataclass(frozen=True, slots=True)
class Auditor:
    """The audit that fits a scheme, of one batch's result of `rows` rows; exact where nothing is tolerated."""

    program: IntegerProgram
    secret: bytes
    batch: str
    rows: int
    tolerance: float
    """By which an honest result may be wrong."""

    def expect(self, values: Integers) -> Expected:
        """What an honest result of int64 [N, F] looks like."""
        if self.tolerance:
            return expect_canaries(values, self.program, self._canaries())
        return expect(values, self.program, challenge(self.secret, self.batch, self.rows))

    def honest(self, result: Integers, expected: Expected) -> bool:
        """Whether a decrypted result, int64 [rows, K], is as expected."""
        if not self.tolerance:
            return passes(result, expected, challenge(self.secret, self.batch, self.rows))
        return len(result) == self.rows and canaries_live(result, expected, self._canaries(), self.tolerance)

    def _canaries(self) -> Integers:
        return canaries(self.secret, self.batch, self.rows)


def program_digest(program: IntegerProgram) -> str:
    """SHA-256 of the integer program, in hex: both sides compile it and must agree, or a check would not be fair."""
    text = repr((program.weights, program.bias, program.sum_rows, program.input_max, program.products))
    return hashlib.sha256(text.encode()).hexdigest()


def _combined(rows: Integers, given: Challenge) -> Integers:
    combined: Integers = (rows * given.weights[:, None] % given.modulus).sum(axis=0) % given.modulus
    return combined
