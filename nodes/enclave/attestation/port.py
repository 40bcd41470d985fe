"""The port of attestation: the evidence envelope, the renter's policy, the claims, and what a verifier is. Pure.

Evidence is one deterministic CBOR map (RFC 8949, 4.2) with exactly the keys v, kind, blob, aux, pub, nonce, job. Its
size is checked before a byte is parsed, and a decoded envelope must encode to the very same bytes again: unknown or
repeated keys, trailing bytes, other number widths and tags are all refused by that one rule.

A verifier trusts nothing in the envelope but what the signature in `blob` covers; `nonce` and `job` are compared with
what the renter asked for, and `pub` counts only because the report data binds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import cbor2

from nodes.enclave.agreement.key_agreement import NONCE_BYTES_MAX, NONCE_BYTES_MIN
from nodes.enclave.agreement.labels import H
from nodes.enclave.errors import Code, Rejected

EVIDENCE_VERSION: Final = 1
EVIDENCE_BYTES_MAX: Final = 64 * 1024
PUBLIC_BYTES_MAX: Final = 4096
JOB_CHARS_MAX: Final = 128
CBOR_DEPTH_MAX: Final = 2
NONCE_SECONDS_MAX: Final = 300.0

SNP: Final = "snp"
TDX: Final = "tdx"
SGX: Final = "sgx"
NITRO: Final = "nitro"
SOFTWARE: Final = "software"
HARDWARE: Final = frozenset({SNP, TDX, SGX, NITRO})
KINDS: Final = HARDWARE | {SOFTWARE}
UP_TO_DATE: Final = "UpToDate"


class Tier(StrEnum):
    """How far an enclave is to be trusted: the tiers of EAR (draft-ietf-rats-ear, AR4SI)."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


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
    """What verified evidence says. `statement` is how every log line and result must speak of such an enclave.

    `signer` is the platform (a chip, a processor, an instance) or development key. `tcb` are security version numbers
    by part, `tcb_status` and `advisories` what the vendor says about them; `tier` is set by the policy's appraisal.
    """

    kind: str
    measurement: bytes
    report_data: bytes = field(repr=False)
    signer: bytes
    debug: bool
    confidential: bool
    statement: str
    tcb: tuple[tuple[str, int], ...] = ()
    tcb_status: str = ""
    advisories: tuple[str, ...] = ()
    tier: Tier = Tier.NONE

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
            H("claims-tcb", *(f"{name}={number}" for name, number in self.tcb)),
            self.tcb_status,
            H("claims-advisories", *self.advisories),
            self.tier.value,
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a renter accepts. Nothing is accepted by default: `measurements` are reference values (RFC 9334).

    `accept_software` is apart from `kinds`, so that no list of kinds can let in what is not confidential.
    `signers`, when given, lists the platforms or development keys whose reports count. `tcb_min` holds (kind, part,
    lowest number); `tcb_statuses` and `rejected_advisories` are held against what a vendor says about a platform.
    """

    kinds: frozenset[str] = frozenset()
    measurements: frozenset[bytes] = frozenset()
    accept_software: bool = False
    allow_debug: bool = False
    signers: frozenset[bytes] | None = None
    nonce_seconds_max: float = NONCE_SECONDS_MAX
    tcb_min: tuple[tuple[str, str, int], ...] = ()
    tcb_statuses: frozenset[str] = frozenset({UP_TO_DATE})
    rejected_advisories: frozenset[str] = frozenset()

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
            H("policy-tcb-min", *(f"{kind}.{part}={number}" for kind, part, number in sorted(self.tcb_min))),
            H("policy-tcb-statuses", *sorted(self.tcb_statuses)),
            H("policy-advisories", *sorted(self.rejected_advisories)),
        )

    def appraise(self, claims: Claims) -> Claims:
        """The claims with their tier, when this policy accepts them.

        Raises:
            Rejected: as `check`.
        """
        self.check(claims)
        return replace(claims, tier=self._tier(claims))

    def check(self, claims: Claims) -> None:
        """Hold claims against this policy.

        Raises:
            Rejected: `software-not-accepted`, `kind-not-accepted`, `debug`, `signer-not-accepted`, `tcb-low`,
                `tcb-status`, `advisory-rejected` or `measurement`.
        """
        self.check_kind(claims.kind)
        if claims.debug and not self.allow_debug:
            raise Rejected(Code.DEBUG)
        if self.signers is not None and claims.signer not in self.signers:
            raise Rejected(Code.SIGNER_NOT_ACCEPTED, claims.signer.hex()[:16])
        self._check_tcb(claims)
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

    def _check_tcb(self, claims: Claims) -> None:
        numbers = dict(claims.tcb)
        for kind, part, lowest in self.tcb_min:
            if kind == claims.kind and numbers.get(part, -1) < lowest:
                raise Rejected(Code.TCB_LOW, f"{part} is {numbers.get(part, 'not said')}, at least {lowest}")
        if claims.tcb_status and claims.tcb_status not in self.tcb_statuses:
            raise Rejected(Code.TCB_STATUS, claims.tcb_status)
        refused = self.rejected_advisories.intersection(claims.advisories)
        if refused:
            raise Rejected(Code.ADVISORY, ", ".join(sorted(refused)))

    def _tier(self, claims: Claims) -> Tier:
        """Affirming needs that everything was appraised: a TCB that nobody judged is worth a warning."""
        if not claims.confidential:
            return Tier.NONE
        if claims.debug:
            return Tier.CONTRAINDICATED
        judged = not claims.tcb or claims.tcb_status or any(kind == claims.kind for kind, _, _ in self.tcb_min)
        if not judged or claims.tcb_status not in ("", UP_TO_DATE) or claims.advisories:
            return Tier.WARNING
        return Tier.AFFIRMING


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
