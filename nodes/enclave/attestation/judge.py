"""The one judge of evidence: what a verifier finds signed, held against what was asked for and what is accepted. Pure.

    kind → what the evidence proves → report data → debug → platform → firmware → measurement

In this order, for every kind; the first thing that is wrong is the refusal. The kind comes first, so that not a byte is
parsed of evidence that cannot be accepted. A verifier's claims count for nothing before they have passed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.policy import UP_TO_DATE, Policy
from nodes.enclave.attestation.port import SOFTWARE, Claims, Evidence, Tier, Verifier
from nodes.enclave.errors import Code, Rejected

_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


def judge(
    evidence: Evidence,
    *,
    expected_report_data: bytes,
    policy: Policy,
    verifiers: Mapping[str, Verifier],
    now: datetime,
    collateral: Mapping[str, bytes] = _NOTHING,
) -> Claims:
    """The claims of this evidence with their tier, when the policy accepts them at `now` (aware).

    `verifiers` are by kind of evidence; `collateral` is for them.

    Raises:
        Rejected: anything is wrong, with the code of the first. Nothing else, whatever the bytes.
    """
    _check_kind(evidence.kind, policy)
    verifier = verifiers.get(evidence.kind)
    if verifier is None:
        raise Rejected(Code.KIND_NOT_ACCEPTED, f"no verifier for {evidence.kind}")
    with guarded(Code.EVIDENCE_MALFORMED, evidence.kind):
        claims = verifier.verify(evidence, now=now, collateral=collateral)
    if claims.kind != evidence.kind:
        raise Rejected(Code.EVIDENCE_MALFORMED, f"it calls itself {evidence.kind} and is {claims.kind}")
    if claims.report_data != expected_report_data:
        raise Rejected(Code.REPORT_DATA)
    _check_claims(claims, policy)
    return replace(claims, tier=_tier(claims, policy))


def _check_kind(kind: str, policy: Policy) -> None:
    if kind == SOFTWARE:
        if not policy.accept_software:
            raise Rejected(Code.SOFTWARE_NOT_ACCEPTED)
    elif kind not in policy.kinds:
        raise Rejected(Code.KIND_NOT_ACCEPTED, kind)


def _check_claims(claims: Claims, policy: Policy) -> None:
    if claims.debug and not policy.allow_debug:
        raise Rejected(Code.DEBUG)
    if policy.signers is not None and claims.signer not in policy.signers:
        raise Rejected(Code.SIGNER_NOT_ACCEPTED, claims.signer.hex()[:16])
    _check_tcb(claims, policy)
    if claims.measurement not in policy.measurements:
        raise Rejected(Code.MEASUREMENT, claims.measurement.hex()[:16])


def _check_tcb(claims: Claims, policy: Policy) -> None:
    numbers = dict(claims.tcb)
    for kind, part, lowest in policy.tcb_min:
        if kind == claims.kind and numbers.get(part, -1) < lowest:
            raise Rejected(Code.TCB_LOW, f"{part} is {numbers.get(part, 'not said')}, at least {lowest}")
    if claims.tcb_status and claims.tcb_status not in policy.tcb_statuses:
        raise Rejected(Code.TCB_STATUS, claims.tcb_status)
    refused = policy.rejected_advisories.intersection(claims.advisories)
    if refused:
        raise Rejected(Code.ADVISORY, ", ".join(sorted(refused)))


def _tier(claims: Claims, policy: Policy) -> Tier:
    """Affirming needs that everything was appraised: a TCB that nobody judged is worth a warning."""
    if not claims.confidential:
        return Tier.NONE
    if claims.debug:
        return Tier.CONTRAINDICATED
    judged = not claims.tcb or claims.tcb_status or any(kind == claims.kind for kind, _, _ in policy.tcb_min)
    if not judged or claims.tcb_status not in ("", UP_TO_DATE) or claims.advisories:
        return Tier.WARNING
    return Tier.AFFIRMING
