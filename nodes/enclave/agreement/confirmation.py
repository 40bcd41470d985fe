"""How an enclave proves that it opened a seal, and how that is checked where the secret is not. Pure.

    mac    = HMAC(HKDF-Expand(HKDF-Extract(transcript, secret), lp("sublet/v1/confirm")), transcript)
    digest = H("confirmation", mac)

The transcript is everything that was said in one handshake, so a MAC proves that this enclave saw this very offer, seal
and signature, and fits no other. The renter computes it where the secret is and keeps the digest, which lets whoever
reads the records recognise the MAC and not make it.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from nodes.enclave.agreement.labels import H, lp


def confirmation(secret: bytes, transcript: bytes) -> bytes:
    """The MAC (64 bytes) that only who has the subtask secret can make over this transcript."""
    prk = HKDF.extract(SHA512(), transcript, secret)
    key = HKDFExpand(SHA512(), SHA512.digest_size, lp("sublet/v1/confirm")).derive(prk)
    return hmac.digest(key, transcript, "sha512")


def confirmation_digest(mac: bytes) -> str:
    """What to keep of an expected MAC: 128 hexadecimal digits."""
    return H("confirmation", mac).hex()


def is_confirmed(mac: bytes, digest: str) -> bool:
    """Whether this is the MAC of that digest, in a time that does not depend on where they differ."""
    return hmac.compare_digest(confirmation_digest(mac).encode(), digest.encode())
