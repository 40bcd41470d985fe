"""Many small signed integers in one large one: slot i of a plaintext is worth 2^(64 i). Pure.

A slot is signed because the plaintext is the signed sum of its slots, which may be negative as a whole. Adding
2^63 to every slot makes each of them a plain unsigned 64-bit word, so a block is moved between numpy and a large
integer as one string of bytes, with the borrows between slots done by a single subtraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.port import SLOT_BITS

KEPT: Final = 128
"""Constants for this many slot counts are remembered; the largest key has fewer."""

_SLOT_BYTES = SLOT_BITS // 8
_SIGN = np.uint64(1 << (SLOT_BITS - 1))


@lru_cache(maxsize=KEPT)
def ones(slots: int) -> mpz:
    """The plaintext with a 1 in each of the first `slots` slots."""
    return mpz(((1 << (SLOT_BITS * slots)) - 1) // ((1 << SLOT_BITS) - 1))


@lru_cache(maxsize=KEPT)
def lift(slots: int) -> mpz:
    """What must be added to a plaintext to make its `slots` slots unsigned: 2^63 in each."""
    return ones(slots) << (SLOT_BITS - 1)


def blocks_of(rows: int, slots: int) -> int:
    """Number of plaintexts that `rows` values of one column take."""
    return -(-rows // slots)


def body_bytes(rows: int, width: int, slots: int, ciphertext_bytes: int) -> int:
    """Exact length of the body of a [rows, width] matrix."""
    return blocks_of(rows, slots) * width * ciphertext_bytes


def pack(column: NDArray[np.int64], slots: int) -> list[mpz]:
    """int64 [rows] to ceil(rows / slots) signed plaintexts, first row in the lowest slot; spare slots hold 0."""
    count = blocks_of(len(column), slots)
    padded = np.zeros(count * slots, dtype=np.int64)
    padded[: len(column)] = column
    raw = (padded.view(np.uint64) ^ _SIGN).astype("<u8", copy=False).tobytes()
    size, offset = slots * _SLOT_BYTES, lift(slots)
    return [mpz.from_bytes(raw[at : at + size], "little") - offset for at in range(0, count * size, size)]


def unpack(lifted: Sequence[mpz], slots: int) -> NDArray[np.int64]:
    """Plaintexts, each already raised by `lift(slots)`, to int64 [len(lifted) * slots].

    Raises OverflowError when one of them does not fit: it was never a packed plaintext.
    """
    size = slots * _SLOT_BYTES
    raw = b"".join([plaintext.to_bytes(size, "little") for plaintext in lifted])
    words = np.frombuffer(raw, dtype="<u8").astype(np.uint64, copy=False)
    return (words ^ _SIGN).view(np.int64)
