"""Many small signed integers in one large one: slot i of a plaintext is worth 2^(slot_bits i). Pure.

A slot is signed because the plaintext is the signed sum of its slots, which may be negative as a whole. Adding
2^(slot_bits - 1) to every slot makes each of them a plain unsigned number of so many bits, so a block is moved between
numpy and a large integer as one string of bits, with the borrows between slots done by a single subtraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.port import SLOT_BITS

KEPT: Final = 256
"""Constants for this many slot counts and widths are remembered; a process sees few of either."""

_WORD_BYTES: Final = 8


@lru_cache(maxsize=KEPT)
def ones(slots: int, slot_bits: int = SLOT_BITS) -> mpz:
    """The plaintext with a 1 in each of the first `slots` slots."""
    return mpz(((1 << (slot_bits * slots)) - 1) // ((1 << slot_bits) - 1))


@lru_cache(maxsize=KEPT)
def lift(slots: int, slot_bits: int = SLOT_BITS) -> mpz:
    """What must be added to a plaintext to make its `slots` slots unsigned: 2^(slot_bits - 1) in each."""
    return ones(slots, slot_bits) << (slot_bits - 1)


def blocks_of(rows: int, slots: int) -> int:
    """Number of plaintexts that `rows` values of one column take."""
    return -(-rows // slots)


def body_bytes(rows: int, width: int, slots: int, ciphertext_bytes: int) -> int:
    """Exact length of the body of a [rows, width] matrix."""
    return blocks_of(rows, slots) * width * ciphertext_bytes


def pack(column: NDArray[np.int64], slots: int, slot_bits: int = SLOT_BITS) -> list[mpz]:
    """int64 [rows] to ceil(rows / slots) signed plaintexts, first row in the lowest slot; spare slots hold 0.

    Raises Overflow when a value does not fit its slot.
    """
    count = blocks_of(len(column), slots)
    words = np.zeros(count * slots, dtype=np.uint64)
    words[: len(column)] = column.view(np.uint64)
    words += np.uint64(1 << (slot_bits - 1))  # modulo 2^64, as negative numbers are
    if slot_bits < SLOT_BITS and (words >> np.uint64(slot_bits)).any():
        reached, limit = max(-int(column.min()), int(column.max())), 1 << (slot_bits - 1)
        raise Overflow(f"a value of {reached} does not fit a slot of {slot_bits} bits", reached=reached, limit=limit)
    bits = np.unpackbits(_bytes_of(words), axis=1, count=slot_bits, bitorder="little")
    raw = np.packbits(bits.reshape(count, slots * slot_bits), axis=1, bitorder="little")
    offset = lift(slots, slot_bits)
    return [mpz.from_bytes(block.tobytes(), "little") - offset for block in raw]


def unpack(lifted: Sequence[mpz], slots: int, slot_bits: int = SLOT_BITS) -> NDArray[np.int64]:
    """Plaintexts, each already raised by `lift(slots, slot_bits)`, to int64 [len(lifted) * slots].

    Raises OverflowError when one of them does not fit: it was never a packed plaintext.
    """
    used = slots * slot_bits
    if any(plaintext >> used for plaintext in lifted):
        raise OverflowError(f"a plaintext of more than {used} bits")
    size = -(-used // 8)
    raw = np.frombuffer(b"".join([plaintext.to_bytes(size, "little") for plaintext in lifted]), dtype=np.uint8)
    bits = np.unpackbits(raw.reshape(len(lifted), size), axis=1, count=used, bitorder="little")
    packed = np.packbits(bits.reshape(-1, slot_bits), axis=1, bitorder="little")
    words = np.zeros(len(packed), dtype=np.uint64)
    _bytes_of(words)[:, : packed.shape[1]] = packed
    return (words - np.uint64(1 << (slot_bits - 1))).view(np.int64)


def _bytes_of(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """uint64 [N] as uint8 [N, 8], the lowest byte first; the same memory."""
    return words.view(np.uint8).reshape(-1, _WORD_BYTES)
