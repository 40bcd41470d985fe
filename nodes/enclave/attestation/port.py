"""The port of attestation: the evidence envelope, the renter's policy, the claims, and what a verifier is. Pure.

Evidence is one deterministic CBOR map (RFC 8949, 4.2) with exactly the keys v, kind, blob, aux, pub, nonce, job. Its
size is checked before a byte is parsed, and a decoded envelope must encode to the very same bytes again: unknown or
repeated keys, trailing bytes, other number widths and tags are all refused by that one rule.

A verifier trusts nothing in the envelope but what the signature in `blob` covers; `nonce` and `job` are compared with
what the renter asked for, and `pub` counts only because the report data binds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import cbor2

from nodes.enclave.errors import Code, Rejected
from nodes.enclave.labels import H
from nodes.enclave.session import NONCE_BYTES_MAX, NONCE_BYTES_MIN

EVIDENCE_VERSION: Final = 1
EVIDENCE_BYTES_MAX: Final = 64 * 1024
PUBLIC_BYTES_MAX: Final = 4096
JOB_CHARS_MAX: Final = 128
CBOR_DEPTH_MAX: Final = 2
NONCE_SECONDS_MAX: Final = 300.0

SOFTWARE: Final = "software"
KINDS: Final = frozenset({"snp", "tdx", "sgx", "nitro", SOFTWARE})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an enclave shows to be trusted. `blob` is the signed report, `aux` what is needed to verify it."""

    kind: str
    blob: bytes = field(repr=False)
    aux: bytes = field(repr=False)
    pub: bytes = field(repr=False)
    nonce: bytes
    job: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What verified evidence says. `statement` is how every log line and result must speak of such an enclave."""

    kind: str
    measurement: bytes
    report_data: bytes = field(repr=False)
    signer: bytes
    debug: bool
    confidential: bool
    statement: str

    def digest(self) -> bytes:
        """64 bytes that bind every claim into the key agreement."""
        return H(
            "claims",
            self.kind,
            self.measurement,
            self.report_data,
            self.signer,
            int(self.debug),
            int(self.confidential),
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a renter accepts. Nothing is accepted by default: `measurements` are reference values (RFC 9334).

    `accept_software` is apart from `kinds`, so that no list of kinds can let in what is not confidential.
    `signers`, when given, lists the platforms or development keys whose reports count.
    """

    kinds: frozenset[str] = frozenset()
    measurements: frozenset[bytes] = frozenset()
    accept_software: bool = False
    allow_debug: bool = False
    signers: frozenset[bytes] | None = None
    nonce_seconds_max: float = NONCE_SECONDS_MAX

    def digest(self) -> bytes:
        """64 bytes that bind the policy into the key agreement."""
        signers = (b"any",) if self.signers is None else (b"only", *sorted(self.signers))
        return H(
            "policy",
            H("policy-kinds", *sorted(self.kinds)),
            H("policy-measurements", *sorted(self.measurements)),
            int(self.accept_software),
            int(self.allow_debug),
            H("policy-signers", *signers),
            int(self.nonce_seconds_max * 1000),
        )

    def check(self, claims: Claims) -> None:
        """Hold claims against this policy.

        Raises:
            Rejected: `software-not-accepted`, `kind-not-accepted`, `debug`, `signer-not-accepted` or `measurement`.
        """
        self.check_kind(claims.kind)
        if claims.debug and not self.allow_debug:
            raise Rejected(Code.DEBUG)
        if self.signers is not None and claims.signer not in self.signers:
            raise Rejected(Code.SIGNER_NOT_ACCEPTED, claims.signer.hex()[:16])
        if claims.measurement not in self.measurements:
            raise Rejected(Code.MEASUREMENT, claims.measurement.hex()[:16])

    def check_kind(self, kind: str) -> None:
        """Whether this kind of evidence may be looked at at all.

        Raises:
            Rejected: `software-not-accepted` or `kind-not-accepted`.
        """
        if kind == SOFTWARE:
            if not self.accept_software:
                raise Rejected(Code.SOFTWARE_NOT_ACCEPTED)
        elif kind not in self.kinds:
            raise Rejected(Code.KIND_NOT_ACCEPTED, kind)


class Verifier(Protocol):
    """Verifies one kind of evidence. `collateral` is what its vendor publishes (certificates, revocations) or None."""

    def verify(
        self,
        evidence: Evidence,
        *,
        expected_report_data: bytes,
        now: datetime,
        collateral: Mapping[str, bytes] | None,
        policy: Policy,
    ) -> Claims:
        """What the evidence proves at `now` (aware), under this policy.

        Raises:
            Rejected: anything is wrong. Never raises anything else, whatever the bytes.
        """
        ...


class Quoter(Protocol):
    """Produces evidence for an enclave: the quoting service of the platform."""

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """The encoded evidence that this platform's enclave, with this public key, reports this report data."""
        ...


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
