"""What travels to enclaves in a joint job's rounds: scales and parameters, and rows where they are not there yet. Pure.

    plaintext = result bits (4, signed) ‖ value bits (4) ‖ parameters (8 each) ‖ rows (8 a value), little-endian

Rows stay in the enclave between rounds (J6), so later rounds bring none; an enclave that lacks them says so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.fields import SCALE_BITS_MAX
from schemas.joint import VALUE_BITS_MAX

_HEAD: Final = struct.Struct("<iI")
VALUE_BYTES: Final = 8
KEPT_BYTES_MAX: Final = 256 * 1024**2
"""Of rows that stay between rounds: the oldest give way, and come again when they are wanted."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One round for one batch: results are sealed as round(y·2^result_bits), none larger than 2^value_bits."""

    result_bits: int
    value_bits: int
    parameters: NDArray[np.float64]
    rows: NDArray[np.float64] | None
    """[rows, F]; None where the enclave has them."""


def packed(opening: Opening) -> bytes:
    """As it is encrypted."""
    head = _HEAD.pack(opening.result_bits, opening.value_bits)
    parameters = np.ascontiguousarray(opening.parameters, dtype="<f8").tobytes()
    return head + parameters + (b"" if opening.rows is None else np.ascontiguousarray(opening.rows, "<f8").tobytes())


def unpacked(raw: memoryview | bytes, parameters: int, rows: int, width: int) -> Opening:
    """Of so many parameters, and `rows` of `width` values, if any came. Raises ValueError for another length."""
    raw = memoryview(raw)
    start = _HEAD.size + parameters * VALUE_BYTES
    if len(raw) not in (start, start + rows * width * VALUE_BYTES):
        raise ValueError("not the length of a round")
    result_bits, value_bits = _HEAD.unpack_from(raw)
    if not (-SCALE_BITS_MAX <= result_bits <= SCALE_BITS_MAX and 1 <= value_bits <= VALUE_BITS_MAX):
        raise ValueError("not the scales of a round")
    values = np.frombuffer(raw[_HEAD.size : start], dtype="<f8")
    found = np.frombuffer(raw[start:], dtype="<f8").reshape(rows, width).copy() if len(raw) > start else None
    return Opening(result_bits, value_bits, values, found)
