"""Intel's collateral for quotes: TCB levels, the quoting enclave's identity and revocation lists. Pure.

It is signed by Intel, so it may come from anywhere: with the evidence or from the renter. What makes it count are its
signatures, a root that is pinned, and its dates: expired collateral is refused, never a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

from nodes.enclave.attestation.adapters import certificates
from nodes.enclave.attestation.guard import guarded
from nodes.enclave.errors import Code, Rejected

COLLATERAL_BYTES_MAX: Final = 60 * 1024
_SIGNATURE_BYTES: Final = 64
_SIGNER_NAME: Final = "Intel SGX TCB Signing"


class Collateral(Struct, frozen=True, forbid_unknown_fields=True):
    """Collateral as libraries exchange it in JSON: chains in PEM, lists and signatures in hexadecimal."""

    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str
    pck_certificate_chain: str | None = None


class Dated(Struct, frozen=True):
    """What TCB levels and identities have in common."""

    issue_date: datetime = msgspec.field(name="issueDate")
    next_update: datetime = msgspec.field(name="nextUpdate")
    evaluation: int = msgspec.field(name="tcbEvaluationDataNumber")
    fmspc: str = ""


def read(raw: bytes) -> Collateral:
    """The collateral in these bytes of JSON.

    Raises:
        Rejected: `collateral-missing` or `collateral-malformed`.
    """
    if not raw:
        raise Rejected(Code.COLLATERAL_MISSING)
    if len(raw) > COLLATERAL_BYTES_MAX:
        raise Rejected(Code.COLLATERAL_MALFORMED, f"{len(raw)} bytes, at most {COLLATERAL_BYTES_MAX}")
    with guarded(Code.COLLATERAL_MALFORMED):
        return msgspec.json.decode(raw, type=Collateral)


def to_json(collateral: Collateral) -> str:
    """The same in one form, so that everybody who reads it reads the same. The quote brings the PCK's chain."""
    return msgspec.json.encode(msgspec.structs.replace(collateral, pck_certificate_chain=None)).decode()


def check(
    collateral: Collateral, pck_chain: Sequence[x509.Certificate], *, root: x509.Certificate, now: datetime
) -> tuple[Dated, Dated]:
    """Check signatures, dates and revocations against `root`; the dated heads of TCB levels and identity.

    Raises:
        Rejected: `collateral-malformed`, `collateral-signature`, `collateral-expired`, `certificate-revoked`,
            `evidence-root`, `evidence-chain` or `certificate-expired`.
    """
    levels = _signed(collateral.tcb_info, collateral.tcb_info_signature, collateral.tcb_info_issuer_chain, root, now)
    identity = _signed(
        collateral.qe_identity, collateral.qe_identity_signature, collateral.qe_identity_issuer_chain, root, now
    )
    with guarded(Code.COLLATERAL_MALFORMED, "revocation lists"):
        issuers = chain_to(collateral.pck_crl_issuer_chain, root, now)
        of_root = _revocations(collateral.root_ca_crl, root, now)
        of_pcks = _revocations(collateral.pck_crl, issuers[0], now)
        authorities = [*pck_chain[1:], *issuers]
        for chain in (collateral.tcb_info_issuer_chain, collateral.qe_identity_issuer_chain):
            authorities += chain_to(chain, root, now)
        if any(of_root.get_revoked_certificate_by_serial_number(each.serial_number) for each in authorities):
            raise Rejected(Code.CERTIFICATE_REVOKED, "an authority")
        if of_pcks.issuer != pck_chain[0].issuer:
            raise Rejected(Code.COLLATERAL_MISMATCH, "the revocation list is of another authority")
        if of_pcks.get_revoked_certificate_by_serial_number(pck_chain[0].serial_number):
            raise Rejected(Code.CERTIFICATE_REVOKED, "the platform's")
    return levels, identity


def chain_to(pem: str, root: x509.Certificate, now: datetime) -> list[x509.Certificate]:
    """The checked chain in `pem`, leaf first.

    Raises:
        Rejected: `evidence-chain`, `certificate-expired` or `evidence-root`.
    """
    found = certificates.read_bundle(pem.encode())
    chain = certificates.order(found[0], found)
    if chain[-1] != root:
        raise Rejected(Code.EVIDENCE_ROOT, "Intel, collateral")
    certificates.check_chain(chain, now)
    return chain


def _signed(text: str, signature: str, issuer_chain: str, root: x509.Certificate, now: datetime) -> Dated:
    with guarded(Code.COLLATERAL_MALFORMED):
        chain = chain_to(issuer_chain, root, now)
        if len(chain) != 2 or certificates.common_name(chain[0]) != _SIGNER_NAME:
            raise Rejected(Code.EVIDENCE_CHAIN, "collateral under a key that Intel certified for something else")
        raw = bytes.fromhex(signature)
    with guarded(Code.COLLATERAL_SIGNATURE):
        if len(raw) != _SIGNATURE_BYTES:
            raise Rejected(Code.COLLATERAL_SIGNATURE)
        certificates.verify_ecdsa(chain[0], ec.SECP256R1, certificates.pair(raw), text.encode(), SHA256())
    with guarded(Code.COLLATERAL_MALFORMED):
        dated = msgspec.json.decode(text, type=Dated)
        if not dated.issue_date <= now <= dated.next_update:
            raise Rejected(Code.COLLATERAL_EXPIRED, f"{dated.issue_date:%Y-%m-%d} to {dated.next_update:%Y-%m-%d}")
    return dated


def _revocations(hexadecimal: str, issuer: x509.Certificate, now: datetime) -> x509.CertificateRevocationList:
    with guarded(Code.COLLATERAL_MALFORMED, "revocation list"):
        found = x509.load_der_x509_crl(bytes.fromhex(hexadecimal))
    with guarded(Code.COLLATERAL_SIGNATURE, "revocation list"):
        key = issuer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or found.issuer != issuer.subject:
            raise Rejected(Code.COLLATERAL_SIGNATURE, "revocation list of another authority")
        if not found.is_signature_valid(key):
            raise Rejected(Code.COLLATERAL_SIGNATURE, "revocation list")
    ends = found.next_update_utc
    if ends is None or not found.last_update_utc <= now <= ends:
        raise Rejected(Code.COLLATERAL_EXPIRED, "revocation list")
    return found
