"""The envelope in which evidence travels. Pure.

One deterministic CBOR map (RFC 8949, 4.2) with exactly the keys v, kind, blob, aux, pub, nonce, job. Its size is
checked before a byte is parsed, and a decoded envelope must encode to the very same bytes again: unknown or repeated
keys, trailing bytes, other number widths and tags are all refused by that one rule.

`nonce` and `job` are compared with what the renter asked for; `pub` counts only because the report data binds it.
"""

from __future__ import annotations

from typing import Final

import cbor2

from nodes.enclave.agreement.key_agreement import NONCE_BYTES_MAX, NONCE_BYTES_MIN
from nodes.enclave.attestation.port import KINDS, Evidence
from nodes.enclave.errors import Code, Rejected

EVIDENCE_VERSION: Final = 1
EVIDENCE_BYTES_MAX: Final = 64 * 1024
PUBLIC_BYTES_MAX: Final = 4096
JOB_CHARS_MAX: Final = 128
CBOR_DEPTH_MAX: Final = 2


def encode(evidence: Evidence) -> bytes:
    """The envelope as deterministic CBOR."""
    fields = {
        "v": EVIDENCE_VERSION,
        "kind": evidence.kind,
        "blob": evidence.blob,
        "aux": evidence.aux,
        "pub": evidence.pub,
        "nonce": evidence.nonce,
        "job": evidence.job,
    }
    return bytes(cbor2.dumps(fields, canonical=True))


def decode(raw: bytes) -> Evidence:
    """The envelope in these bytes.

    Raises:
        Rejected: `evidence-size`, `evidence-malformed` or `evidence-version`.
    """
    if len(raw) > EVIDENCE_BYTES_MAX:
        raise Rejected(Code.EVIDENCE_SIZE, f"{len(raw)} bytes, at most {EVIDENCE_BYTES_MAX}")
    evidence = _evidence(_loads(raw))
    if encode(evidence) != raw:
        raise Rejected(Code.EVIDENCE_MALFORMED, "not the one encoding of its content")
    return evidence


def _loads(raw: bytes) -> dict[str, object]:
    try:
        fields = cbor2.loads(raw, max_depth=CBOR_DEPTH_MAX)
    except Exception:  # whatever a parser throws at hostile bytes, it is malformed evidence
        raise Rejected(Code.EVIDENCE_MALFORMED) from None
    if not isinstance(fields, dict):
        raise Rejected(Code.EVIDENCE_MALFORMED, "not a map")
    return fields


def _evidence(fields: dict[str, object]) -> Evidence:
    if fields.get("v") != EVIDENCE_VERSION:
        raise Rejected(Code.EVIDENCE_VERSION)
    kind, job = _text(fields, "kind"), _text(fields, "job")
    if kind not in KINDS:
        raise Rejected(Code.EVIDENCE_MALFORMED, "unknown kind")
    nonce = _raw(fields, "nonce", NONCE_BYTES_MAX)
    if len(nonce) < NONCE_BYTES_MIN:
        raise Rejected(Code.EVIDENCE_MALFORMED, "short nonce")
    return Evidence(
        kind=kind,
        blob=_raw(fields, "blob", EVIDENCE_BYTES_MAX),
        aux=_raw(fields, "aux", EVIDENCE_BYTES_MAX),
        pub=_raw(fields, "pub", PUBLIC_BYTES_MAX),
        nonce=nonce,
        job=job,
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > JOB_CHARS_MAX:
        raise Rejected(Code.EVIDENCE_MALFORMED, name)
    return value


def _raw(fields: dict[str, object], name: str, bytes_max: int) -> bytes:
    value = fields.get(name)
    if not isinstance(value, bytes) or len(value) > bytes_max:
        raise Rejected(Code.EVIDENCE_MALFORMED, name)
    return value
