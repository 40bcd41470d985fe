"""Audits a lessor's results: were all rows of a batch computed as the program says? Pure.

Freivalds' check (R. Freivalds, "Probabilistic machines can use less running time", 1977): with a row vector r that the
lessor does not know, V = X·W + b implies r·V = (r·X)·W + (Σr)·b. It is held over the integers. Whatever the other rows
are, one wrong number is made up for by one r of its row at most: with ROUNDS vectors of WEIGHT_BITS bits it passes with
a probability of 2^-64 at most. Exact schemes are exact, so an honest result always passes.

Integers are cut into limbs of 16 bits, whose products and sums float64 holds exactly: so a matrix product of floats,
the fastest there is, computes them.

The right side is computed when a batch is encrypted, while its rows are at hand: one pass over them, a small part
of what encrypting them costs. Every row of every batch is audited, so no work of a caught lessor needs to be redone.

Under an approximate scheme no equation holds exactly. There some rows of every batch are *canaries*: the renter knows
their results, the lessor cannot tell them from others, and each must be as near as the scheme promises. Who computes a
share s of the rows wrongly passes a batch with probability (1 - s)^CANARIES: 4e-12 for a twentieth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import mul
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.homomorphic.port import IntegerProgram
from schemas.signing import length_prefixed

ROUNDS: Final = 2
"""Vectors that one result is held against."""
WEIGHT_BITS: Final = 32
"""Of an integer in them."""

CANARIES: Final = 512
"""Rows of a batch whose results are known; all of a smaller batch."""

_LIMB_BITS: Final = 16
_ROWS_AT_ONCE: Final = 1 << 16
"""Sums of so many products of two limbs stay below 2^48; float64 is exact up to 2^53."""
_SUM_BYTES: Final = 24
"""Of a checksum: 63 bits of a result, 32 of a weight, and room for sums over more rows than there are."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Limbs = NDArray[np.uint16]


class Expected(Struct, frozen=True):
    """What is known of an honest result: what it adds up to, or the results of its canaries."""

    sums: bytes = b""
    """A checksum per round and output, signed and big-endian."""
    canaries: bytes = b""
    """float64, little-endian, [canaries, K]."""


def challenge(secret: bytes, batch: str, rows: int) -> Limbs:
    """The challenge for one batch's result of `rows` rows: SHAKE-256 (FIPS 202) of the job's secret, labelled.

    Any worker of the renter gets the same for the same batch, so checksums need not be kept. The vectors' limbs,
    [2 ROUNDS, rows], the lower half of each before the upper one.
    """
    stream = hashlib.shake_256(length_prefixed(b"sublet/v1/audit", secret, batch.encode()))
    limbs = ROUNDS * WEIGHT_BITS // _LIMB_BITS
    return np.frombuffer(stream.digest(2 * limbs * rows), dtype="<u2").reshape(limbs, rows)


def expect(values: Integers, program: IntegerProgram, given: Limbs) -> Expected:
    """The checksums of an honest result.

    Args:
        values: encoded input, int64 [N, F].
        program: what the lessor computes.
        given: a challenge of as many rows as the result has: N, or 1 with `program.sum_rows`.
    """
    drawn = _integers(given.sum(axis=1, dtype=np.int64)[:, None].tolist())
    if program.sum_rows:
        (added,) = _combined(np.ones((1, len(values)), dtype=np.uint16), values)
        columns = [[weight * column for column in added] for (weight,) in drawn]
    else:
        columns = _integers(_combined(given, values))
    return Expected(
        _serialised(
            sum(map(mul, weights, column)) + bias * total
            for column, (total,) in zip(columns, drawn, strict=True)
            for weights, bias in zip(program.weights, program.bias, strict=True)
        )
    )


def passes(result: Integers, expected: Expected, given: Limbs) -> bool:
    """Whether a decrypted result, int64 [rows, K], is the one expected."""
    if len(result) != given.shape[1] or ROUNDS * _SUM_BYTES * result.shape[1] != len(expected.sums):
        return False
    return _serialised(chain.from_iterable(_integers(_combined(given, result)))) == expected.sums


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


def _combined(limbs: Limbs, values: Integers) -> list[list[int]]:
    """limbs · values, exactly: [R, N] and int64 [N, F] to [R, F].

    Values are raised to be unsigned, so that all of their limbs are; narrow ones have half as many.
    """
    narrow = values.min(initial=0) >= -(1 << 31) and values.max(initial=0) < 1 << 31
    sign = 1 << 31 if narrow else 1 << 63
    raised = values.astype("<u4" if narrow else "<u8") ^ sign
    words = np.ascontiguousarray(raised).view("<u2")
    sums = np.zeros((len(limbs), words.shape[1]), dtype=np.int64)
    for at in range(0, len(words), _ROWS_AT_ONCE):
        part = slice(at, at + _ROWS_AT_ONCE)
        sums += (limbs[:, part].astype(np.float64) @ words[part].astype(np.float64)).astype(np.int64)
    lifts = limbs.sum(axis=1, dtype=np.int64).tolist()
    each = words.shape[1] // values.shape[1]
    return [
        [_integer(row[at : at + each]) - sign * lift for at in range(0, len(row), each)]
        for row, lift in zip(sums.tolist(), lifts, strict=True)
    ]


def _integers(limbs: list[list[int]]) -> list[list[int]]:
    """Of sums by each limb of the vectors, the sums by each vector."""
    halves = WEIGHT_BITS // _LIMB_BITS
    return [list(map(_integer, zip(*limbs[at : at + halves], strict=True))) for at in range(0, len(limbs), halves)]


def _integer(limbs: Sequence[int]) -> int:
    """What limbs are worth together, lowest first; each may be of any size."""
    return sum(limb << _LIMB_BITS * at for at, limb in enumerate(limbs))


def _serialised(sums: Iterable[int]) -> bytes:
    return b"".join(each.to_bytes(_SUM_BYTES, "big", signed=True) for each in sums)
