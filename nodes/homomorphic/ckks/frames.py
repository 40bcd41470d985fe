"""How CKKS's ciphertexts and keys lie in bytes: SEAL's own bytes behind short headers that we read ourselves.

A frame is one ciphertext, padded to a fixed length, so that the length of a body follows from its rows and columns. A
key says its kind, bounds and depth, which is how many products in a row it is for; the moduli follow from the depth,
and are never taken from who sends a key.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any, Final

from nodes.homomorphic.ckks.seal import PARSE_ERRORS, Engine, Memory
from nodes.homomorphic.errors import BadKey, invalid
from schemas.errors import BadConfig

INPUT_BITS_MAX: Final = 52
"""float64 has no more."""
INPUT_BITS_DEFAULT: Final = 32
KEY_BYTES_MAX: Final = 4 * 1024 * 1024
EXPONENT_MIN: Final = -128
EXPONENT_MAX: Final = 127

_FRAME: Final = struct.Struct(">8sBbI")
"""Key, levels used, exponent of a power of two that no value passes, bytes of the ciphertext."""
_KEY: Final = struct.Struct(">4sBBI")
"""Kind, input bits, depth, bytes of the key that follows."""


def pack(digest: str, level: int, exponent: int, data: bytes, size: int) -> tuple[bytes, bytes, bytes]:
    """The pieces of a frame of `size` bytes, to be joined once for a whole body; raises BadConfig for longer data."""
    if _FRAME.size + len(data) > size:
        raise BadConfig(f"a ciphertext takes {len(data)} bytes: this build of SEAL does not compress", field="scheme")
    header = _FRAME.pack(bytes.fromhex(digest)[:8], level, exponent, len(data))
    return header, data, bytes(size - len(header) - len(data))


def unpack(frame: memoryview, digest: str) -> tuple[int, int, memoryview]:
    """Level, exponent and the ciphertext's bytes; raises BadCiphertext, also for another key."""
    key, level, exponent, size = _FRAME.unpack_from(frame)
    data, padding = frame[_FRAME.size : _FRAME.size + size], frame[_FRAME.size + size :]
    if key != bytes.fromhex(digest)[:8] or len(data) != size or padding != bytes(len(padding)):
        raise invalid()
    return level, exponent, data


def load(engine: Engine, data: memoryview, memory: Memory) -> Any:
    """The ciphertext, not yet checked for shape and scale; raises BadCiphertext."""
    try:
        return memory.load(engine.ciphertext(), engine.context, data)
    except PARSE_ERRORS:
        raise invalid() from None


def require_input_bits(input_bits: int) -> None:
    """Raises BadConfig for a bound that no key has."""
    if not 1 <= input_bits <= INPUT_BITS_MAX:
        raise BadConfig(f"{input_bits} input bits are not from 1 to {INPUT_BITS_MAX}", field="input_bits")


def key_bytes(kind: bytes, input_bits: int, depth: int, data: bytes) -> bytes:
    """A key with its header."""
    return _KEY.pack(kind, input_bits, depth, len(data)) + data


def key_parts(data: bytes, kind: bytes, depths: Container[int]) -> tuple[int, int, bytes, bytes]:
    """Input bits, depth, the key, and what follows it; raises BadKey."""
    if not _KEY.size < len(data) <= KEY_BYTES_MAX:
        raise BadKey("these bytes are not a CKKS key")
    magic, input_bits, depth, size = _KEY.unpack_from(data)
    end = _KEY.size + size
    if magic != kind or not 1 <= input_bits <= INPUT_BITS_MAX or depth not in depths or end > len(data):
        raise BadKey("these bytes are not a CKKS key of the expected kind")
    return input_bits, depth, data[_KEY.size : end], data[end:]


def load_key(engine: Engine, key: Any, data: bytes) -> None:
    """Fill SEAL's `key`; raises BadKey."""
    try:
        with Memory() as memory:
            memory.load(key, engine.context, data)
    except PARSE_ERRORS:
        raise BadKey("the CKKS key cannot be read: its owner must make or publish it again") from None
