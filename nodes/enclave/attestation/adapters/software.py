"""Evidence of kind `software`: an honest stand-in for development, never called confidential. Pure.

The report is signed with an Ed25519 development key of the lessor, which chains to no hardware: whoever owns the host
can sign anything. It shows that the protocol works, not that anybody is kept out, and the claims say so. A renter's
policy must accept it by name.

    blob = version (1) ‖ flags (1: debug) ‖ measurement (64) ‖ report data (64) ‖ signature (64)      all of it signed
    aux  = the development public key (32)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from nodes.enclave.agreement.labels import DIGEST_BYTES, H
from nodes.enclave.attestation.port import SOFTWARE, Claims, Evidence
from nodes.enclave.errors import Code, Rejected

STATEMENT: Final = "software, not confidential"
REPORT_VERSION: Final = 1
SIGNATURE_BYTES: Final = 64
SIGNED_BYTES: Final = 2 + 2 * DIGEST_BYTES
BLOB_BYTES: Final = SIGNED_BYTES + SIGNATURE_BYTES
_DEBUG: Final = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What a software report says."""

    measurement: bytes
    report_data: bytes
    debug: bool


def signed_part(measurement: bytes, report_data: bytes, *, debug: bool) -> bytes:
    """The part of a report that is signed (130 bytes)."""
    return bytes((REPORT_VERSION, _DEBUG if debug else 0)) + measurement + report_data


def to_sign(signed: bytes) -> bytes:
    """What the development key signs of it (64 bytes)."""
    return H("software-report", signed)


def parse(blob: bytes) -> Report:
    """The report in these bytes, unverified.

    Raises:
        Rejected: `evidence-malformed`.
    """
    if len(blob) != BLOB_BYTES or blob[0] != REPORT_VERSION or blob[1] not in {0, _DEBUG}:
        raise Rejected(Code.EVIDENCE_MALFORMED, "software report")
    return Report(
        measurement=blob[2 : 2 + DIGEST_BYTES],
        report_data=blob[2 + DIGEST_BYTES : SIGNED_BYTES],
        debug=blob[1] == _DEBUG,
    )


@dataclass(frozen=True, slots=True)
class SoftwareVerifier:
    """Verifies software evidence. It has no collateral, and time does not matter to it: the nonce makes it fresh."""

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        """What the development key signed."""
        report = parse(evidence.blob)
        _check_signature(evidence.aux, evidence.blob[SIGNED_BYTES:], evidence.blob[:SIGNED_BYTES])
        return _claims(report, evidence.aux)


def _claims(report: Report, signer: bytes) -> Claims:
    return Claims(
        kind=SOFTWARE,
        measurement=report.measurement,
        report_data=report.report_data,
        signer=signer,
        debug=report.debug,
        confidential=False,
        statement=STATEMENT,
    )


def _check_signature(public: bytes, signature: bytes, signed: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, to_sign(signed))
    except (InvalidSignature, ValueError):
        raise Rejected(Code.EVIDENCE_SIGNATURE) from None
