"""Evidence of kind `nitro`: attestation documents of AWS Nitro Enclaves. Pure.

    blob = COSE_Sign1 (RFC 9052) under ES384 over the document; its certificates are inside it
    aux  = empty

The document's public key field is too short for the enclave's key, so the report data stands in `user_data`. Its
certificates live for three hours: what is genuine is soon rejected for its age. PCR0 to PCR2 are zero in debug mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from nodes.enclave.attestation.adapters import certificates
from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.port import NITRO, Claims, Evidence
from nodes.enclave.errors import Code, Rejected

AWS_ROOTS: Final = frozenset({bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")})
"""SHA-256 of the root certificate."""
STATEMENT: Final = "AWS Nitro Enclave"
DOCUMENT_BYTES_MAX: Final = 16 * 1024
CBOR_DEPTH_MAX: Final = 8
PCR_BYTES: Final = 48
PCRS_MAX: Final = 32
MEASURED_PCRS: Final = (0, 1, 2)
"""Image, kernel with its boot files, application: together they are what runs."""
MODULE_CHARS_MAX: Final = 128

T = TypeVar("T", str, int, bytes)

_ES384: Final = b"\xa1\x01\x38\x22"
_SIGNATURE_BYTES: Final = 96


@dataclass(frozen=True, slots=True)
class Document:
    """The fields of a document that count here."""

    module: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    authorities: tuple[bytes, ...]
    report_data: bytes
    payload: bytes
    signature: bytes

    @property
    def debug(self) -> bool:
        """Whether the enclave's console can be read: then its PCRs are zero."""
        return not all(any(self.pcrs[number]) for number in MEASURED_PCRS)

    @property
    def measurement(self) -> bytes:
        """SHA-384 (48 bytes) over PCR0, PCR1 and PCR2."""
        return hashlib.sha384(b"".join(self.pcrs[number] for number in MEASURED_PCRS)).digest()


def parse(blob: bytes) -> Document:
    """The document in these bytes, unverified.

    Raises:
        Rejected: `evidence-size` or `evidence-malformed`.
    """
    if len(blob) > DOCUMENT_BYTES_MAX:
        raise Rejected(Code.EVIDENCE_SIZE, f"a Nitro document of {len(blob)} bytes, at most {DOCUMENT_BYTES_MAX}")
    with guarded(Code.EVIDENCE_MALFORMED, "Nitro document"):
        protected, header, payload, signature = cbor2.loads(blob, max_depth=CBOR_DEPTH_MAX)
        if protected != _ES384 or header != {} or len(signature) != _SIGNATURE_BYTES:
            raise Rejected(Code.EVIDENCE_MALFORMED, "not signed with ES384")
        if cbor2.dumps([protected, header, payload, signature]) != blob:
            raise Rejected(Code.EVIDENCE_MALFORMED, "not the one encoding of its content")
        said = cbor2.loads(payload, max_depth=CBOR_DEPTH_MAX)
        return Document(
            module=_checked(said["module_id"], str, MODULE_CHARS_MAX),
            timestamp_ms=_checked(said["timestamp"], int),
            pcrs=_pcrs(said),
            certificate=_checked(said["certificate"], bytes),
            authorities=tuple(_checked(each, bytes) for each in said["cabundle"]),
            report_data=_checked(said.get("user_data") or b"", bytes),
            payload=payload,
            signature=signature,
        )


@dataclass(frozen=True, slots=True)
class NitroVerifier:
    """Verifies Nitro documents. `roots` are SHA-256 of the accepted root certificates."""

    roots: frozenset[bytes] = field(default=AWS_ROOTS)

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        """What the security module signed, when its chain ends at AWS. There is no collateral."""
        if evidence.aux:
            raise Rejected(Code.EVIDENCE_MALFORMED, "more than a Nitro document")
        document = parse(evidence.blob)
        self._check_signature(document, now)
        return _claims(document)

    def _check_signature(self, document: Document, now: datetime) -> None:
        ders = (document.certificate, *reversed(document.authorities))
        with guarded(Code.EVIDENCE_CHAIN, "certificates of a Nitro document"):
            if len(ders) > certificates.CERTIFICATES_MAX:
                raise Rejected(Code.EVIDENCE_CHAIN, f"{len(ders)} certificates")
            chain = [certificates.load(der) for der in ders]
            if certificates.fingerprint(chain[-1]) not in self.roots:
                raise Rejected(Code.EVIDENCE_ROOT, "AWS")
            certificates.check_chain(chain, now)
        with guarded(Code.EVIDENCE_SIGNATURE):
            signed = cbor2.dumps(["Signature1", _ES384, b"", document.payload])
            certificates.verify_ecdsa(chain[0], ec.SECP384R1, certificates.pair(document.signature), signed, SHA384())


def _claims(document: Document) -> Claims:
    return Claims(
        kind=NITRO,
        measurement=document.measurement,
        report_data=document.report_data,
        signer=document.module.partition("-enc")[0].encode(),
        debug=document.debug,
        confidential=True,
        statement=STATEMENT,
    )


def _pcrs(said: Mapping[str, object]) -> dict[int, bytes]:
    pcrs = said["pcrs"]
    if said["digest"] != "SHA384" or not isinstance(pcrs, dict) or len(pcrs) > PCRS_MAX:
        raise Rejected(Code.EVIDENCE_MALFORMED, "PCRs")
    if not all(isinstance(value, bytes) and len(value) == PCR_BYTES for value in pcrs.values()):
        raise Rejected(Code.EVIDENCE_MALFORMED, "PCRs")
    return {number: pcrs[number] for number in sorted(pcrs)}


def _checked(value: object, kind: type[T], length_max: int = DOCUMENT_BYTES_MAX) -> T:
    if not isinstance(value, kind) or (not isinstance(value, int) and len(value) > length_max):
        raise Rejected(Code.EVIDENCE_MALFORMED, "Nitro document")
    return value
