"""Domain-separated hashing: every hash and key of the enclave protocol is taken under a label of its own. Pure.

Nothing may be hashed, signed or derived in this room without a label: bytes made for one purpose must mean nothing
in another.
"""

from __future__ import annotations

import hashlib

DOMAIN = "sublet/v1/"
DIGEST_BYTES = 64

Part = bytes | str | int


def lp(*parts: Part) -> bytes:
    """The parts, each behind its length as 4 big-endian bytes, so that no two different lists look the same.

    Text is UTF-8, a non-negative integer 8 big-endian bytes. At one position of one label there is always one type.
    """
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in map(_raw, parts))


def H(label: str, *parts: Part) -> bytes:  # noqa: N802 - named as in the formulas of the protocol
    """SHA-512 (64 bytes) over the label and the length-prefixed parts."""
    return hashlib.sha512(lp(DOMAIN + label, *parts)).digest()


def _raw(part: Part) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, int):
        return part.to_bytes(8, "big")
    return part
