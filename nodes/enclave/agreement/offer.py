"""The renter's half of the key agreement: ask, verify, seal, check (E1). Pure but for the seal's randomness.

challenge = new_challenge(...)           → nonce to the lessor
offer     = verify_offer(challenge, …)   ← evidence; everything about it is checked here
sealed    = offer.seal(secret, sign)     → sealed secret, signature, claims and policy digest
offer.confirm(secret, sealed, mac)       ← only now may data be sent
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.key_agreement import Sealed, Signer
from nodes.enclave.attestation.port import Claims, Policy, Verifier, decode
from nodes.enclave.errors import Code, Rejected

NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a renter asked one enclave to prove. It may be answered once: forget it with the first answer."""

    nonce: bytes
    contract: str
    job: str
    issued: datetime


@dataclass(frozen=True, slots=True)
class VerifiedOffer:
    """An enclave that passed the policy, and the digest of all that was said so far."""

    claims: Claims
    enclave_public: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    policy_digest: bytes = field(repr=False)

    def seal(self, secret: bytes, sign: Signer) -> Sealed:
        """The subtask secret for this enclave alone."""
        return key_agreement.seal(secret, self.enclave_public, self.digest, sign)

    def confirm(self, secret: bytes, sealed: Sealed, mac: bytes) -> None:
        """Check that the enclave opened this seal.

        Raises:
            Rejected: `confirmation`.
        """
        key_agreement.check_confirmation(secret, self.digest, sealed, mac)


def new_challenge(contract: str, job: str, now: datetime) -> Challenge:
    """A challenge with a fresh nonce."""
    return Challenge(secrets.token_bytes(NONCE_BYTES), contract, job, now)


def verify_offer(
    challenge: Challenge,
    raw_evidence: bytes,
    *,
    verifiers: Mapping[str, Verifier],
    policy: Policy,
    renter_public: bytes,
    now: datetime,
    collateral: Mapping[str, bytes] | None = None,
) -> VerifiedOffer:
    """Check an enclave's evidence against the challenge and the policy, before any secret exists for it.

    `verifiers` maps kinds of evidence to their verifiers; `renter_public` is the raw Ed25519 identity that will sign.

    Raises:
        Rejected: with the code of the first thing that is wrong.
    """
    evidence = decode(raw_evidence)
    if evidence.nonce != challenge.nonce:
        raise Rejected(Code.NONCE_MISMATCH)
    if evidence.job != challenge.job:
        raise Rejected(Code.JOB_MISMATCH)
    age_seconds = (now - challenge.issued).total_seconds()
    if not 0 <= age_seconds <= policy.nonce_seconds_max:
        raise Rejected(Code.NONCE_EXPIRED, f"{age_seconds:.0f} s old, at most {policy.nonce_seconds_max:.0f} s")
    policy.check_kind(evidence.kind)
    verifier = verifiers.get(evidence.kind)
    if verifier is None:
        raise Rejected(Code.KIND_NOT_ACCEPTED, f"no verifier for {evidence.kind}")
    key_agreement.check_public_key(evidence.pub)
    claims = verifier.verify(
        evidence,
        expected_report_data=key_agreement.report_data(challenge.nonce, challenge.contract, evidence.pub),
        now=now,
        collateral=collateral,
        policy=policy,
    )
    return _offer(challenge, evidence.pub, claims, policy, renter_public)


def _offer(challenge: Challenge, public: bytes, claims: Claims, policy: Policy, renter_public: bytes) -> VerifiedOffer:
    digest = key_agreement.offer_digest(
        nonce=challenge.nonce,
        contract=challenge.contract,
        enclave_public=public,
        claims=claims.digest(),
        policy=policy.digest(),
        renter_public=renter_public,
    )
    return VerifiedOffer(claims, public, digest, policy.digest())
