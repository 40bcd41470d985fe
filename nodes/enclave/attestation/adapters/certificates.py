"""Certificate chains of vendors: reading bundles, ordering and checking chains, plain ECDSA. Pure.

A chain counts only when its root is pinned by the caller. Everything else about it comes with the evidence and is
worth nothing by itself.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from nodes.enclave.attestation.guard import guarded
from nodes.enclave.errors import Code, Rejected

CERTIFICATES_MAX: Final = 8
BUNDLE_BYTES_MAX: Final = 64 * 1024
_PEM: Final = b"-----BEGIN"
_TABLE_ENTRY: Final = struct.Struct("<16sII")
_DER_SEQUENCE: Final = b"\x30\x82"


def load(der: bytes) -> x509.Certificate:
    """One certificate. AMD's have the serial number 0, about which the parser warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def read_bundle(raw: bytes) -> list[x509.Certificate]:
    """The certificates in PEM, in one DER, or in the table that a hypervisor hands to SNP guests (GHCB, 4.1.8.1).

    Raises:
        Rejected: `evidence-chain`.
    """
    with guarded(Code.EVIDENCE_CHAIN, "certificates cannot be read"):
        found = _split(raw)
        if not 0 < len(found) <= CERTIFICATES_MAX or len(raw) > BUNDLE_BYTES_MAX:
            raise Rejected(Code.EVIDENCE_CHAIN, f"{len(found)} certificates")
        return [load(der) for der in found]


def order(leaf: x509.Certificate, bundle: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The chain from `leaf` to a self-issued root, by names.

    Raises:
        Rejected: `evidence-chain` when an issuer is missing.
    """
    with guarded(Code.EVIDENCE_CHAIN, "names cannot be read"):
        chain, by_name = [leaf], {each.subject: each for each in bundle}
        while chain[-1].issuer != chain[-1].subject:
            issuer = by_name.get(chain[-1].issuer)
            if issuer is None or len(chain) == CERTIFICATES_MAX:
                raise Rejected(Code.EVIDENCE_CHAIN, "the certificate of an issuer is missing")
            chain.append(issuer)
        return chain


def check_chain(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """Whether each certificate was issued by the next, the last by itself, and all are valid at `now`.

    Raises:
        Rejected: `evidence-chain` or `certificate-expired`. That the root is the vendor's is for the caller to check.
    """
    with guarded(Code.EVIDENCE_CHAIN, "not one chain of signatures"):
        for below in reversed(range(len(chain))):  # from the root down: no key is used before it is proven
            each, issuer = chain[below], chain[min(below + 1, len(chain) - 1)]
            limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
            between = min(below, len(chain) - 2)
            if not limits.ca or (limits.path_length is not None and limits.path_length < between):
                raise Rejected(Code.EVIDENCE_CHAIN, "issued by what is no authority")
            each.verify_directly_issued_by(issuer)
        for each in chain:
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                first, last = each.not_valid_before_utc, each.not_valid_after_utc
                raise Rejected(Code.CERTIFICATE_EXPIRED, f"valid {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}")


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name; empty when it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 (32 bytes) of the certificate."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def key_fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 (32 bytes) of the certificate's SubjectPublicKeyInfo."""
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).digest()


def verify_ecdsa(
    certificate: x509.Certificate,
    curve: type[ec.EllipticCurve],
    signature: tuple[int, int],
    data: bytes,
    digest: HashAlgorithm,
) -> None:
    """Check a plain (r, s) signature by a certificate's key. To be called in a `guarded` block: raises anything."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
        raise Rejected(Code.EVIDENCE_CHAIN, "the certified key is of another type")
    check_ecdsa(key, signature, data, digest)


def check_ecdsa(key: ec.EllipticCurvePublicKey, signature: tuple[int, int], data: bytes, digest: HashAlgorithm) -> None:
    """Check a plain (r, s) signature by a key. To be called in a `guarded` block: raises anything."""
    key.verify(encode_dss_signature(*signature), data, ec.ECDSA(digest))


def pair(raw: bytes) -> tuple[int, int]:
    """(r, s) of a big-endian raw signature."""
    half = len(raw) // 2
    return int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")


def _split(raw: bytes) -> list[bytes]:
    if _PEM in raw:
        blocks = raw.split(b"-----BEGIN CERTIFICATE-----")[1:]
        return [base64.b64decode(each.partition(b"-----END CERTIFICATE-----")[0]) for each in blocks]
    if raw.startswith(_DER_SEQUENCE):
        return [raw]
    return _table(raw)


def _table(raw: bytes) -> list[bytes]:
    found: list[bytes] = []
    for position in range(0, len(raw) - _TABLE_ENTRY.size + 1, _TABLE_ENTRY.size):
        name, offset, length = _TABLE_ENTRY.unpack_from(raw, position)
        if name == bytes(16):
            break
        entry = raw[offset : offset + length]
        if len(found) == CERTIFICATES_MAX or len(entry) != length:
            raise Rejected(Code.EVIDENCE_CHAIN, "certificate table")
        found.append(entry)
    return found
