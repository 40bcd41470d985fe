"""The port of attestation: evidence, the claims in it, and what verifies and what produces it. Pure.

A verifier trusts nothing in the evidence but what the signature in `blob` covers, and judges nothing: whether its
claims are good enough is decided in one place, `judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from nodes.enclave.agreement.labels import H

SNP: Final = "snp"
TDX: Final = "tdx"
SGX: Final = "sgx"
NITRO: Final = "nitro"
SOFTWARE: Final = "software"
HARDWARE: Final = frozenset({SNP, TDX, SGX, NITRO})
KINDS: Final = HARDWARE | {SOFTWARE}


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
    by part, `tcb_status` and `advisories` what the vendor says about them; `tier` is set by the judge.
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


class Verifier(Protocol):
    """Verifies one kind of evidence."""

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        """What the evidence proves at `now` (aware). Nothing here says that it is accepted: ask `judge`.

        `collateral` is what the renter itself has of the vendor's (certificates, revocations), by name; an adapter
        says under which name it looks, and uses what came with the evidence when there is nothing.

        Raises:
            Rejected: the evidence proves nothing. Whatever else a parser throws, `judge` turns into that.
        """
        ...


class Quoter(Protocol):
    """Produces evidence for an enclave: the quoting service of the platform."""

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """The encoded evidence that this platform's enclave, with this public key, reports this report data."""
        ...
