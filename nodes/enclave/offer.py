"""The renter's half of the key agreement (E1): from an enclave's evidence to a secret sealed to it. No I/O.

offer  = verify_offer(challenge, evidence, …)        everything about the evidence is checked here
sealed = offer.seal(secret, sign)                    goes to the enclave, with the digests of claims and policy
digest = offer.confirmation_digest(secret, sealed)   no data before a MAC that fits it (`confirmation.is_confirmed`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nodes.enclave.agreement import confirmation, key_agreement
from nodes.enclave.agreement.key_agreement import Sealed, Signer
from nodes.enclave.attestation.envelope import decode
from nodes.enclave.attestation.judge import judge
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import Claims, Evidence, Verifier
from nodes.enclave.errors import Code, Rejected


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a renter asked one enclave to prove, and how old the nonce was when the answer came.

    It may be answered once: forget it with the first answer.
    """

    nonce: bytes
    contract: str
    job: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class VerifiedOffer:
    """An enclave that passed the policy, and the digest of all that was said so far."""

    claims: Claims
    enclave_public: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    policy_digest: bytes = field(repr=False)

    def seal(self, secret: bytes, sign: Signer) -> Sealed:
        """The subtask secret for this enclave alone. Draws randomness."""
        return key_agreement.seal(secret, self.enclave_public, self.digest, sign)

    def confirmation_digest(self, secret: bytes, sealed: Sealed) -> str:
        """What to hold this enclave's confirmation against."""
        said = key_agreement.transcript(self.digest, sealed)
        return confirmation.confirmation_digest(confirmation.confirmation(secret, said))


def verify_offer(
    challenge: Challenge,
    raw_evidence: bytes,
    *,
    verifiers: Mapping[str, Verifier],
    policy: Policy,
    renter_public: bytes,
    now: datetime,
) -> VerifiedOffer:
    """Check an enclave's evidence against the challenge and the policy, before any secret exists for it.

    `verifiers` maps kinds of evidence to their verifiers; `renter_public` is the raw Ed25519 identity that will sign.

    Raises:
        Rejected: as `decode`; `nonce-mismatch`, `job-mismatch`, `nonce-expired`, `suite` or `public-key`; as `judge`.
    """
    evidence = decode(raw_evidence)
    _check_answer(challenge, evidence, policy)
    claims = judge(
        evidence,
        expected_report_data=key_agreement.report_data(challenge.nonce, challenge.contract, evidence.pub),
        policy=policy,
        verifiers=verifiers,
        now=now,
    )
    digest = key_agreement.offer_digest(
        nonce=challenge.nonce,
        contract=challenge.contract,
        enclave_public=evidence.pub,
        claims=claims.digest(),
        policy=policy.digest(),
        renter_public=renter_public,
    )
    return VerifiedOffer(claims, evidence.pub, digest, policy.digest())


def _check_answer(challenge: Challenge, evidence: Evidence, policy: Policy) -> None:
    """Whether this answers the challenge, in time and with a key that can be sealed to."""
    if evidence.nonce != challenge.nonce:
        raise Rejected(Code.NONCE_MISMATCH)
    if evidence.job != challenge.job:
        raise Rejected(Code.JOB_MISMATCH)
    age, most = challenge.age_seconds, policy.nonce_seconds_max
    if not 0 <= age <= most:
        raise Rejected(Code.NONCE_EXPIRED, f"{age:.0f} s old, at most {most:.0f} s")
    key_agreement.check_public_key(evidence.pub)
