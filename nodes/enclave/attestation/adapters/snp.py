"""Evidence of kind `snp`: attestation reports of AMD SEV-SNP (SEV-SNP firmware ABI, document 56860, table 23). Pure.

    blob = the report, 1,184 bytes; the signature covers the first 672, and its own padding must be zero
    aux  = certificates of the chip (VCEK), of AMD's intermediate (ASK) and root (ARK): PEM, or the hypervisor's table

The VCEK belongs to one chip at one firmware level, and says both; a report that names another chip or level than the
key that signed it is refused. Reports under a provider's VLEK are refused, because they prove no chip.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from nodes.enclave.attestation.adapters import certificates
from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.port import SNP, Claims, Evidence
from nodes.enclave.errors import Code, Rejected

AMD_ROOTS: Final = frozenset(
    bytes.fromhex(each)
    for each in (
        "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",  # ARK-Milan
        "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",  # ARK-Genoa
    )
)
"""SHA-256 of the public keys of AMD's roots. Turin has another TCB layout, which this module does not read."""

COLLATERAL: Final = "snp-certificates"
"""Name in `collateral` of certificates that the renter has itself; they replace `aux`."""
STATEMENT: Final = "AMD SEV-SNP"
REPORT_BYTES: Final = 1184
SIGNED_BYTES: Final = 0x2A0
VERSIONS: Final = range(2, 6)
TCB_PARTS: Final = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
"""Byte of each part in a TCB version (Milan, Genoa)."""

_NUMBER_BYTES: Final = 72
_ECDSA_P384_SHA384: Final = 1
_SMT_RESERVED: Final = 1 << 17
_MIGRATION: Final = 1 << 18
_DEBUG: Final = 1 << 19
_AMD: Final = "1.3.6.1.4.1.3704.1."
_TCB_OIDS: Final = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8"}
_CHIP_OID: Final = "4"
_VCEK_NAME: Final = "SEV-VCEK"
_CHIP_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Report:
    """The fields of a report that count here."""

    version: int
    policy: int
    vmpl: int
    signature_algorithm: int
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    tcb: tuple[tuple[str, int], ...]
    chip: bytes
    signed: bytes
    signature: tuple[int, int]

    @property
    def debug(self) -> bool:
        """Whether the hypervisor may read and write the guest's memory."""
        return bool(self.policy & _DEBUG)


def parse(blob: bytes) -> Report:
    """The report in these bytes, unverified.

    Raises:
        Rejected: `evidence-malformed` or `evidence-version`.
    """
    if len(blob) != REPORT_BYTES:
        raise Rejected(Code.EVIDENCE_MALFORMED, f"an SNP report has {REPORT_BYTES} bytes, not {len(blob)}")
    version, policy = struct.unpack_from("<I4xQ", blob)
    if version not in VERSIONS:
        raise Rejected(Code.EVIDENCE_VERSION, f"SNP report {version}")
    vmpl, algorithm = struct.unpack_from("<II", blob, 0x30)
    (flags,) = struct.unpack_from("<I", blob, 0x48)
    first, second = SIGNED_BYTES + _NUMBER_BYTES, SIGNED_BYTES + 2 * _NUMBER_BYTES
    if any(blob[second:]):
        raise Rejected(Code.EVIDENCE_MALFORMED, "bytes behind the signature of an SNP report")
    return Report(
        version=version,
        policy=policy,
        vmpl=vmpl,
        signature_algorithm=algorithm,
        signing_key=flags >> 2 & 7,
        report_data=blob[0x50:0x90],
        measurement=blob[0x90:0xC0],
        host_data=blob[0xC0:0xE0],
        tcb=tuple((name, blob[0x180 + place]) for name, place in TCB_PARTS.items()),
        chip=blob[0x1A0:0x1E0],
        signed=blob[:SIGNED_BYTES],
        signature=(
            int.from_bytes(blob[SIGNED_BYTES:first], "little"),
            int.from_bytes(blob[first:second], "little"),
        ),
    )


@dataclass(frozen=True, slots=True)
class SnpVerifier:
    """Verifies SNP reports. `roots` are SHA-256 of the accepted roots' public keys."""

    roots: frozenset[bytes] = field(default=AMD_ROOTS)

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        """What the chip signed, when the chain from its key ends at AMD."""
        report = parse(evidence.blob)
        chip = self._check_signer(report, collateral.get(COLLATERAL, evidence.aux), now)
        _check_report(report)
        return _claims(report, chip)

    def _check_signer(self, report: Report, bundle: bytes, now: datetime) -> bytes:
        """The chip (64 bytes) whose own key signed the report."""
        found = certificates.read_bundle(bundle)
        with guarded(Code.EVIDENCE_CHAIN, "certificates of an SNP platform"):
            chip_keys = [each for each in found if certificates.common_name(each) == _VCEK_NAME]
            if len(chip_keys) != 1:
                raise Rejected(Code.EVIDENCE_CHAIN, "no certificate of a chip (VCEK)")
            chain = certificates.order(chip_keys[0], found)
            if certificates.key_fingerprint(chain[-1]) not in self.roots:
                raise Rejected(Code.EVIDENCE_ROOT, "AMD")
            certificates.check_chain(chain, now)
        with guarded(Code.EVIDENCE_SIGNATURE):
            if report.signature_algorithm != _ECDSA_P384_SHA384:
                raise Rejected(Code.EVIDENCE_SIGNATURE, "unknown algorithm")
            certificates.verify_ecdsa(chain[0], ec.SECP384R1, report.signature, report.signed, SHA384())
        with guarded(Code.PLATFORM_MISMATCH):
            return _check_platform(report, chain[0])


def _check_platform(report: Report, vcek: x509.Certificate) -> bytes:
    chip = _extension(vcek, _CHIP_OID)
    certified = tuple((name, _small_number(_extension(vcek, oid))) for name, oid in _TCB_OIDS.items())
    masked = not any(report.chip)
    if len(chip) != _CHIP_BYTES or (report.chip != chip and not masked):
        raise Rejected(Code.PLATFORM_MISMATCH, "chip")
    if certified != report.tcb:
        raise Rejected(Code.PLATFORM_MISMATCH, "firmware")
    return chip


def _check_report(report: Report) -> None:
    if report.signing_key != 0:
        raise Rejected(Code.SIGNING_KEY)
    if report.policy & _MIGRATION:
        raise Rejected(Code.MIGRATION)
    if not report.policy & _SMT_RESERVED:
        raise Rejected(Code.EVIDENCE_MALFORMED, "guest policy")
    if report.vmpl != 0:
        raise Rejected(Code.PRIVILEGE, f"VMPL {report.vmpl}")


def _claims(report: Report, chip: bytes) -> Claims:
    return Claims(
        kind=SNP,
        measurement=report.measurement,
        report_data=report.report_data,
        signer=chip,
        debug=report.debug,
        confidential=True,
        statement=STATEMENT,
        tcb=report.tcb,
    )


def _extension(certificate: x509.Certificate, oid: str) -> bytes:
    value = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(_AMD + oid)).value
    return value.value if isinstance(value, x509.UnrecognizedExtension) else b""


def _small_number(der: bytes) -> int:
    """A DER INTEGER between 0 and 255."""
    value = int.from_bytes(der[2:], "big", signed=True)
    if der[:1] != b"\x02" or der[1] != len(der) - 2 or not 0 <= value <= 255:
        raise Rejected(Code.PLATFORM_MISMATCH, "firmware level in the certificate")
    return value
