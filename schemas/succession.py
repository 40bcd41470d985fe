"""A key's successor: whoever knows a node by the key that it had believes what the next one signs. Pure.

    certified signature = the successor's signature (64) ‖ the successor (32) ‖ the known key's over both keys (64)

So a node may sign with a new key at any moment, whatever contracts, orders and directories name the old one, and nobody
has to be told before: each verifies by the key that it knows, offline. Whoever has a private key could sign anything
anyway, so naming a successor gives away nothing more. One step only: a successor's successor is not believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from schemas.fields import CERTIFIED_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from schemas.signing import length_prefixed

_LABEL: Final = b"sublet/v1/succession"
_KEY_ENDS: Final = SIGNATURE_BYTES + PUBLIC_KEY_BYTES


def succession_bytes(known: bytes, successor: bytes) -> bytes:
    """What the owner of `known` signs to name its successor; both are public keys (32 bytes)."""
    return length_prefixed(_LABEL, known, successor)


def is_signed(known: bytes, data: bytes, signature: bytes, verify: Callable[[bytes, bytes, bytes], bool]) -> bool:
    """Whether `known`, or a successor that it named, signed `data`.

    Args:
        known: the public key by which the signer is known here, 32 bytes.
        data: what is signed.
        signature: 64 bytes, or 160 of a successor.
        verify: (public key, bytes, signature) -> whether this plain Ed25519 signature (RFC 8032) is right.
    """
    if len(signature) != CERTIFIED_BYTES:
        return verify(known, data, signature)
    by, successor, word = signature[:SIGNATURE_BYTES], signature[SIGNATURE_BYTES:_KEY_ENDS], signature[_KEY_ENDS:]
    named = successor == known or verify(known, succession_bytes(known, successor), word)
    return named and verify(successor, data, by)
