"""The partner's secret rotation of its cross moments: what the renter sees of them. Pure; randomness comes in as bytes.

With X_C the partner's standardised columns, M = X_C' [X_A, y] and W'W = (X_C'X_C + penalty)^-1, the renter needs only
M' W' W M. It gets R M with R = round(2^step_bits Q W), Q orthogonal and uniform (Haar), fresh and secret in each job.
M'' = 2^-step_bits R M is known up to rotation, and M'' up to rotation *is* M' W'W M: nothing else is told but what the
rounding of R adds.

The renter's answer v = m''_y - M''_A w_A gives the partner its own weights, W'Q'v, and exactly those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier import ciphertexts
from nodes.homomorphic.paillier.multiexp import compile_signed
from nodes.homomorphic.paillier.residues import join, split
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint.columns import Columns, Floats
from nodes.joint.guards import inverse_root

ROTATION_BITS = 24
"""Of the largest entry of R for standardised columns, the sign among them: columns of small integers take more."""
ROTATION_BITS_MIN = 14
"""With fewer, weights are wrong in their second digit."""

_FLOAT_SLACK = 1 + 2.0**-30
"""Covers the rounding of float64 sums of up to 2^20 terms."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """`weights` int64 [width, width] and `exact` float64 of the same shape are secret; the rest goes to the renter."""

    weights: NDArray[np.int64] = field(repr=False)
    exact: Floats = field(repr=False)
    """Q W, per integer of the columns."""
    step_bits: int
    size_bits: int
    """No number of the result reaches 2^size_bits: proved from the partner's own columns, and told no finer."""

    def coefficients(self, reply: Floats) -> Floats:
        """The partner's weights per integer of its columns, float64 [width], from the renter's v."""
        return np.asarray(self.exact.T @ reply, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Room:
    """What the renter's rows leave: their slots, and the size that none of their numbers passes."""

    layout: Layout
    size_max: int


def random_bytes(width: int) -> int:
    """Bytes of randomness that `rotation` takes."""
    return 16 * width * width


def haar(width: int, random: bytes) -> Floats:
    """A uniform orthogonal matrix [width, width]: the QR decomposition of a Gaussian one with its signs put right
    (Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54, 2007)."""
    words = np.frombuffer(random, dtype="<u8").reshape(2, width, width)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    gaussian = np.sqrt(-2 * np.log(uniform[0])) * np.cos(2 * np.pi * uniform[1])
    found, triangle = np.linalg.qr(gaussian)
    return np.asarray(found * np.sign(np.diag(triangle)), dtype=np.float64)


def rotation(columns: Columns, penalty: float, room: Room, random: bytes, *, bits: int = ROTATION_BITS) -> Rotation:
    """The finest rotation, of `bits` at most, for which no slot can overflow.

    Raises Overflow when not even a coarse one fits.
    """
    exact = haar(columns.width, random) @ inverse_root(columns.gram, columns.rows, penalty)
    largest = float(np.abs(exact * columns.deviations).max(initial=0)) / float(columns.deviations.max())
    if not largest:
        raise Overflow("no column of the partner varies: there is nothing to compute", reached=0, limit=0)
    step_bits = finest = bits - 1 - int(np.ceil(np.log2(largest)))
    while True:
        weights = np.rint(np.ldexp(exact, step_bits)).astype(np.int64)
        size_bits = reached(columns, weights, room.size_max).bit_length()
        if 1 << size_bits <= room.layout.limit:
            return Rotation(weights, exact, step_bits, size_bits)
        step_bits -= max(size_bits - room.layout.limit.bit_length() + 1, 1)
        if finest - step_bits > bits - ROTATION_BITS_MIN:
            raise Overflow(
                f"a sum could reach 2^{size_bits} in slots of {room.layout.slot_bits} bits: take fewer bits for "
                "columns, a longer key, or fewer rows",
                reached=1 << size_bits,
                limit=room.layout.limit,
            )


def reached(columns: Columns, weights: NDArray[np.int64], size_max: int) -> int:
    """What no slot of the result can pass: size_max times the largest sum over rows of |sum_j R_kj x_j|."""
    sums, most, least = np.zeros(len(weights)), 0, 0
    for _, block in columns.blocks():
        sums += np.abs(block.astype(np.float64) @ weights.T).sum(axis=0)
        most, least = max(most, int(block.max())), min(least, int(block.min()))
    largest = float(most - least)
    rounding = columns.rows * columns.width * largest * float(np.abs(weights).sum(axis=1).max()) * 2.0**-52
    return size_max * (int(sums.max() * _FLOAT_SLACK + rounding) + 1)


def rotated(moments: Sequence[mpz], weights: NDArray[np.int64], n: mpz) -> list[mpz]:
    """The ciphertexts of `weights` [k, width] times the moments, whose noise depends on theirs: put full noise on them
    before they leave."""
    bases = [split(moment, n) for moment in moments]
    # Not remembered, unlike a program's weights: these are secret and never come again.
    compiled = [compile_signed.__wrapped__(tuple(row)) for row in weights.tolist()]
    started = [each.start(bases, n) for each in compiled]
    inverses = ciphertexts.inverses([running.lows[-1] for running in started], n)
    finished = zip(compiled, started, inverses, strict=True)
    return [join(each.finish(running, inverse, mpz(0), n), n) for each, running, inverse in finished]
