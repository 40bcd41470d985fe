"""Evidence of every kind, made and signed by vendors of our own: well formed in all that is not changed on purpose.

A forged vendor's root is pinned only in the verifiers that are made here; the real ones must refuse it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from nodes.enclave.agreement.labels import H
from nodes.enclave.attestation.adapters.certificates import fingerprint, key_fingerprint
from nodes.enclave.attestation.adapters.dcap import DcapVerifier
from nodes.enclave.attestation.adapters.nitro import NitroVerifier
from nodes.enclave.attestation.adapters.snp import TCB_PARTS, SnpVerifier
from nodes.enclave.attestation.adapters.software import SoftwareVerifier
from nodes.enclave.attestation.envelope import decode
from nodes.enclave.attestation.judge import judge
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import KINDS, NITRO, SGX, SNP, TDX, Claims, Evidence, Verifier
from nodes.enclave.attestation.producers.software import SoftwareQuoter

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NONCE = bytes(range(32))
JOB = "job-1"
PUBLIC = b"enclave key"
REPORT_DATA = H("test-report")

Edit = Callable[[bytearray], None]


def nothing(raw: bytearray) -> None:
    """No change."""


@dataclass(frozen=True)
class Forged:
    """Evidence, what it reports, and when, by whom and under which policy it is good."""

    verifier: Verifier
    evidence: Evidence
    policy: Policy
    report_data: bytes = REPORT_DATA
    now: datetime = NOW

    def judged(
        self,
        *,
        policy: Policy | None = None,
        report_data: bytes | None = None,
        later: timedelta = timedelta(),
        collateral: Mapping[str, bytes] | None = None,
    ) -> Claims:
        """Its claims, when they stand before the judge."""
        return judge(
            self.evidence,
            expected_report_data=self.report_data if report_data is None else report_data,
            policy=policy or self.policy,
            verifiers=dict.fromkeys(KINDS, self.verifier),
            now=self.now + later,
            collateral=collateral or {},
        )


def evidence(kind: str, blob: bytes, aux: bytes) -> Evidence:
    """In its envelope."""
    return Evidence(kind=kind, blob=blob, aux=aux, pub=PUBLIC, nonce=NONCE, job=JOB)


# ---------------------------------------------------------------- certificates


@dataclass(frozen=True)
class Authority:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def name(common: str) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def issue(
    common: str,
    issuer: Authority | None,
    *,
    curve: ec.EllipticCurve,
    ca: bool = True,
    extensions: Mapping[str, bytes] | None = None,
    days: tuple[int, int] = (-30, 365),
    serial: int = 7,
    path_length: int | None = None,
) -> Authority:
    """A certificate for a fresh key; without an issuer a root."""
    key = ec.generate_private_key(curve)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(issuer.certificate.subject if issuer else name(common))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
    )
    for oid, value in (extensions or {}).items():
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    digest = SHA384() if curve.key_size == 384 else SHA256()
    return Authority(key, builder.sign(issuer.key if issuer else key, digest))


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes, order: str = "big", width: int = 0) -> bytes:
    """r ‖ s."""
    size = key.curve.key_size // 8
    digest: HashAlgorithm = SHA384() if size == 48 else SHA256()
    pair = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    return b"".join(each.to_bytes(width or size, "little" if order == "little" else "big") for each in pair)


# ---------------------------------------------------------------- software


def software(*, debug: bool = False) -> Forged:
    """A software enclave's."""
    measured = H("test-measurement")
    quoter = SoftwareQuoter(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), measured)
    raw = quoter.quote(report_data=REPORT_DATA, pub=PUBLIC, nonce=NONCE, job=JOB, debug=debug)
    policy = Policy(accept_software=True, measurements=frozenset({measured}))
    return Forged(SoftwareVerifier(), decode(raw), policy)


# ---------------------------------------------------------------- SNP

CHIP = bytes(range(64))
SNP_TCB = {"bootloader": 3, "tee": 0, "snp": 8, "microcode": 209}
SNP_MEASUREMENT = hashlib.sha384(b"guest").digest()
_AMD = "1.3.6.1.4.1.3704.1."


def vcek_extensions(chip: bytes = CHIP, tcb: Mapping[str, int] | None = None) -> dict[str, bytes]:
    """What AMD says in the certificate of a chip's key."""
    levels = dict(SNP_TCB) | dict(tcb or {})
    oids = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8"}
    return {_AMD + oids[part]: der_integer(level) for part, level in levels.items()} | {_AMD + "4": chip}


@cache
def amd() -> tuple[Authority, Authority, Authority]:
    """VCEK, ASK and ARK."""
    ark = issue("ARK-Test", None, curve=ec.SECP384R1())
    ask = issue("SEV-Test", ark, curve=ec.SECP384R1(), path_length=0)
    vcek = issue("SEV-VCEK", ask, curve=ec.SECP384R1(), ca=False, extensions=vcek_extensions())
    return vcek, ask, ark


def snp_report(*, debug: bool = False, edit: Edit = nothing, key: Authority | None = None) -> bytes:
    """A signed report; `edit` changes it before it is signed."""
    raw = bytearray(0x2A0)
    struct.pack_into("<IIQ", raw, 0, 2, 0, 0x30000 | (0x80000 if debug else 0))
    struct.pack_into("<II", raw, 0x30, 0, 1)
    raw[0x50:0x90], raw[0x90:0xC0], raw[0x1A0:0x1E0] = REPORT_DATA, SNP_MEASUREMENT, CHIP
    for part, place in TCB_PARTS.items():
        raw[0x180 + place] = SNP_TCB[part]
    edit(raw)
    signature = raw_signature((key or amd()[0]).key, bytes(raw), "little", 72)
    return bytes(raw) + signature.ljust(512, b"\0")


def snp(
    *, debug: bool = False, edit: Edit = nothing, chain: Sequence[Authority] | None = None, aux: bytes | None = None
) -> Forged:
    """An SNP guest's; `chain` is of another vendor than `amd`."""
    authorities = chain or amd()
    blob = snp_report(debug=debug, edit=edit, key=authorities[0])
    bundle = aux if aux is not None else b"".join(each.pem for each in authorities)
    policy = Policy(kinds=frozenset({SNP}), measurements=frozenset({SNP_MEASUREMENT}))
    verifier = SnpVerifier(frozenset({key_fingerprint(authorities[-1].certificate)}))
    return Forged(verifier, evidence(SNP, blob, bundle), policy)


def certificate_table(*ders: bytes) -> bytes:
    """As a hypervisor hands them to its guests."""
    names = [bytes([number + 1]) * 16 for number in range(len(ders))]
    offset = 24 * (len(ders) + 1)
    entries, body = b"", b""
    for each, der in zip(names, ders, strict=True):
        entries += struct.pack("<16sII", each, offset + len(body), len(der))
        body += der
    return (entries + bytes(24) + body).ljust(4096, b"\0")


# ---------------------------------------------------------------- Nitro

PCRS = {number: hashlib.sha384(bytes([number])).digest() if number < 3 else bytes(48) for number in range(16)}


@cache
def aws() -> tuple[Authority, ...]:
    """An instance's certificate, its authorities and the root."""
    root = issue("aws.test", None, curve=ec.SECP384R1())
    zone = issue("zone", root, curve=ec.SECP384R1())
    return issue("i-0123-enc4567", zone, curve=ec.SECP384R1(), ca=False), zone, root


def nitro(
    *,
    debug: bool = False,
    changes: Mapping[str, Any] | None = None,
    chain: Sequence[Authority] | None = None,
    key: Authority | None = None,
) -> Forged:
    """A Nitro enclave's; `changes` are of the document, `key` signs instead of the certified one."""
    authorities = chain or aws()
    document: dict[str, Any] = {
        "module_id": "i-0123-enc4567",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": dict.fromkeys(PCRS, bytes(48)) if debug else PCRS,
        "certificate": authorities[0].der,
        "cabundle": [each.der for each in reversed(authorities[1:])],
        "public_key": None,
        "user_data": REPORT_DATA,
        "nonce": None,
    } | dict(changes or {})
    payload = cbor2.dumps(document)
    protected = cbor2.dumps({1: -35})
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    signature = raw_signature((key or authorities[0]).key, signed)
    blob = cbor2.dumps([protected, {}, payload, signature])
    measured = hashlib.sha384(b"".join(document["pcrs"].get(number, b"") for number in range(3))).digest()
    policy = Policy(kinds=frozenset({NITRO}), measurements=frozenset({measured}))
    verifier = NitroVerifier(frozenset({fingerprint(authorities[-1].certificate)}))
    return Forged(verifier, evidence(NITRO, blob, b""), policy)


# ---------------------------------------------------------------- Intel

FMSPC = bytes.fromhex("00a067110000")
PPID = bytes(range(16))
CPU_SVN = bytes([5] * 16)
PCE_SVN = 11
QE_SIGNER = hashlib.sha256(b"quoting enclave").digest()
_SGX_OID = "1.2.840.113741.1.13.1"


def der(tag: int, content: bytes) -> bytes:
    """One DER value."""
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def der_integer(value: int) -> bytes:
    """A DER INTEGER."""
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def der_oid(dotted: str) -> bytes:
    """A DER OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes([first * 40 + second])
    for part in rest:
        septets = [part & 0x7F]
        while part := part >> 7:
            septets.append(part & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return der(6, content)


def pck_extension() -> bytes:
    """What Intel says in the certificate of a platform's key."""

    def entry(suffix: str, value: bytes) -> bytes:
        return der(0x30, der_oid(f"{_SGX_OID}.{suffix}") + value)

    parts = [entry(f"2.{number + 1}", der_integer(CPU_SVN[number])) for number in range(16)]
    tcb = der(0x30, b"".join([*parts, entry("2.17", der_integer(PCE_SVN)), entry("2.18", der(4, CPU_SVN))]))
    entries = [entry("1", der(4, PPID)), entry("2", tcb), entry("3", der(4, bytes(2))), entry("4", der(4, FMSPC))]
    return der(0x30, b"".join([*entries, entry("5", der(10, b"\0"))]))


@dataclass(frozen=True)
class Intel:
    """A vendor: the platform's key, its authority, the signer of TCB levels, and the root."""

    pck: Authority
    platform: Authority
    tcb: Authority
    root: Authority


@cache
def intel() -> Intel:
    """The vendor that the verifiers made here trust."""
    root = issue("Intel SGX Root CA", None, curve=ec.SECP256R1())
    platform = issue("Intel SGX PCK Platform CA", root, curve=ec.SECP256R1(), serial=8, path_length=0)
    tcb = issue("Intel SGX TCB Signing", root, curve=ec.SECP256R1(), ca=False, serial=9)
    extensions = {_SGX_OID: pck_extension()}
    pck = issue("Intel SGX PCK Certificate", platform, curve=ec.SECP256R1(), ca=False, extensions=extensions, serial=10)
    return Intel(pck, platform, tcb, root)


def revocations(issuer: Authority, *serials: int, days: tuple[int, int] = (-5, 25)) -> str:
    """A signed revocation list in hexadecimal."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW + days[0] * DAY)
        .next_update(NOW + days[1] * DAY)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, SHA256()).public_bytes(Encoding.DER).hex()


def levels(kind: str) -> dict[str, Any]:
    """TCB levels of one kind of platform: one that is up to date, one that needs hardening, one out of date."""

    def level(svn: int, status: str, *advisories: str) -> dict[str, Any]:
        components = [{"svn": svn} for _ in range(16)]
        tcb: dict[str, Any] = {"sgxtcbcomponents": components, "pcesvn": PCE_SVN}
        if kind == TDX:
            tcb["tdxtcbcomponents"] = [{"svn": 0} for _ in range(16)]
        found: dict[str, Any] = {"tcb": tcb, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}
        return found | ({"advisoryIDs": list(advisories)} if advisories else {})

    said: dict[str, Any] = {
        "id": kind.upper(),
        "version": 3,
        "issueDate": "2026-02-20T00:00:00Z",
        "nextUpdate": "2026-03-20T00:00:00Z",
        "fmspc": FMSPC.hex().upper(),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 17,
        "tcbLevels": [level(5, "UpToDate"), level(3, "SWHardeningNeeded", "INTEL-SA-00001")],
    }
    if kind == TDX:
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        said["tdxModule"] = module
        said["tdxModuleIdentities"] = []
    return said


def hardening_needed(said: dict[str, Any]) -> None:
    """Raise the bar above this platform, which then is not up to date and has an advisory."""
    for component in said["tcbLevels"][0]["tcb"]["sgxtcbcomponents"]:
        component["svn"] = 6


def identity(kind: str) -> dict[str, Any]:
    """Of the quoting enclave."""
    return {
        "id": "TD_QE" if kind == TDX else "QE",
        "version": 2,
        "issueDate": "2026-02-20T00:00:00Z",
        "nextUpdate": "2026-03-20T00:00:00Z",
        "tcbEvaluationDataNumber": 17,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": 2 if kind == TDX else 1,
        "tcbLevels": [{"tcb": {"isvsvn": 4}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": "UpToDate"}],
    }


EditSaid = Callable[[dict[str, Any]], None]


def unchanged(said: dict[str, Any]) -> None:
    """No change."""


def collateral(
    kind: str, *, vendor: Intel | None = None, edit_levels: EditSaid = unchanged, edit_identity: EditSaid = unchanged
) -> dict[str, Any]:
    """Signed collateral; the edits are made before it is signed."""
    by = vendor or intel()
    said, quoting = levels(kind), identity(kind)
    edit_levels(said)
    edit_identity(quoting)
    tcb_info, qe_identity = json.dumps(said), json.dumps(quoting)
    signer = (by.tcb.pem + by.root.pem).decode()
    return {
        "pck_crl_issuer_chain": (by.platform.pem + by.root.pem).decode(),
        "root_ca_crl": revocations(by.root),
        "pck_crl": revocations(by.platform),
        "tcb_info_issuer_chain": signer,
        "tcb_info": tcb_info,
        "tcb_info_signature": raw_signature(by.tcb.key, tcb_info.encode()).hex(),
        "qe_identity_issuer_chain": signer,
        "qe_identity": qe_identity,
        "qe_identity_signature": raw_signature(by.tcb.key, qe_identity.encode()).hex(),
    }


def _sgx_body(attributes: int, mrsigner: bytes, report_data: bytes, *, product: int = 0, svn: int = 0) -> bytearray:
    raw = bytearray(384)
    raw[0:16] = CPU_SVN
    struct.pack_into("<Q", raw, 48, attributes)
    raw[64:96], raw[128:160], raw[320:384] = hashlib.sha256(b"enclave").digest(), mrsigner, report_data
    struct.pack_into("<HH", raw, 256, product, svn)
    return raw


def _body(kind: str, debug: bool) -> bytearray:
    if kind == SGX:
        return _sgx_body(0x07 if debug else 0x05, bytes(32), REPORT_DATA)
    raw = bytearray(584)
    struct.pack_into("<Q", raw, 120, 1 << 28 | int(debug))
    raw[136:184] = hashlib.sha384(b"trust domain").digest()
    raw[520:584] = REPORT_DATA
    return raw


def intel_quote(kind: str, *, debug: bool = False, edit: Edit = nothing, vendor: Intel | None = None) -> bytes:
    """A signed quote; `edit` changes the report before it is signed."""
    by = vendor or intel()
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    authentication = bytes(32)
    bound = hashlib.sha256(public + authentication).digest() + bytes(32)
    quoting = bytes(_sgx_body(0x11, QE_SIGNER, bound, product=2 if kind == TDX else 1, svn=4))
    body = _body(kind, debug)
    edit(body)
    header = struct.pack("<HHIHH", 3 if kind == SGX else 4, 2, 0 if kind == SGX else 0x81, 0, 0)
    vendor_id = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
    signed = header + vendor_id + bytes(20) + bytes(body)
    chain = by.pck.pem + by.platform.pem + by.root.pem
    certified = quoting + raw_signature(by.pck.key, quoting)
    certified += struct.pack("<H", len(authentication)) + authentication + struct.pack("<HI", 5, len(chain)) + chain
    if kind == TDX:
        certified = struct.pack("<HI", 6, len(certified)) + certified
    signature = raw_signature(key, signed) + public + certified
    return signed + struct.pack("<I", len(signature)) + signature


def intel_forged(
    kind: str,
    *,
    debug: bool = False,
    edit: Edit = nothing,
    vendor: Intel | None = None,
    said: Mapping[str, Any] | None = None,
) -> Forged:
    """An Intel enclave's; `said` replaces the collateral."""
    by = vendor or intel()
    blob = intel_quote(kind, debug=debug, edit=edit, vendor=by)
    aux = json.dumps(said if said is not None else collateral(kind, vendor=by)).encode()
    body = _body(kind, debug)
    edit(body)
    registers = bytes(body[64:96]) if kind == SGX else bytes(body[136:184] + body[328:520])
    measured = registers if kind == SGX else hashlib.sha384(registers).digest()
    policy = Policy(kinds=frozenset({kind}), measurements=frozenset({measured}))
    verifier = DcapVerifier(frozenset({fingerprint(by.root.certificate)}))
    return Forged(verifier, evidence(kind, blob, aux), policy)


def tdx(*, debug: bool = False) -> Forged:
    """A trust domain's."""
    return intel_forged(TDX, debug=debug)


def sgx(*, debug: bool = False) -> Forged:
    """An SGX enclave's."""
    return intel_forged(SGX, debug=debug)


def with_aux(forged: Forged, aux: bytes) -> Forged:
    """With other certificates or collateral."""
    return replace(forged, evidence=replace(forged.evidence, aux=aux))


def der_of(pem: bytes) -> bytes:
    """The one certificate in PEM, as DER."""
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))
