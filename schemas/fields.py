"""Types of fields that several structs share. Pure."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from schemas import limits

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
CERTIFIED_BYTES: Final = 160
"""A signature by a key that took the place of the known one (`schemas.succession`)."""
SCALE_BITS_MAX: Final = 1100
"""Reals are scaled by powers of two, up or down: as far as doubles reach (2^-1074 to 2^1023), and a little further."""

Code = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z", max_length=64)]
"""A reason that programs and tests tell apart, in kebab-case."""
Text = Annotated[str, Meta(max_length=limits.REASON_CHARS_MAX)]
"""A reason for people."""
PublicKeyField = Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
"""Ed25519 (RFC 8032)."""
SignatureField = Annotated[bytes, Meta(max_length=CERTIFIED_BYTES)]
"""Ed25519, by a node's key or its successor; empty in what is yet to be signed."""
ScaleBits = Annotated[int, Meta(ge=-SCALE_BITS_MAX, le=SCALE_BITS_MAX)]
