"""Activity `verify-evidence`: hold an enclave's evidence against the policy and seal the subtask secret to it (E1)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from nodes.enclave.errors import Rejected
from nodes.enclave.offer import Challenge, verify_offer
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.outcomes import EvidenceAccepted, EvidenceRejected


async def verify_evidence(
    services: Services, workbench: Workbench, params: dict[str, Any], job_id: str
) -> list[tuple[str, Struct]]:
    """The sealed secret, or the code of the first thing that is wrong with the evidence."""
    subtask, worker = str(params["subtask"]), str(params["worker"])
    job = (await workbench.running(job_id)).job
    now = datetime.fromtimestamp(services.clock(), UTC)
    contract = await workbench.contract(job_id, str(params["contract"]))
    nonce, age_seconds = bytes.fromhex(params["nonce"]), float(params["age_seconds"])
    challenge = Challenge(nonce, contract.id, job_id, age_seconds)
    policy = services.policy(job.spec.accept_software_enclave)
    try:
        offer = await asyncio.to_thread(
            verify_offer,
            challenge,
            bytes.fromhex(params["evidence"]),
            verifiers=services.verifiers,
            policy=policy,
            renter_public=contract.renter_key,
            now=now,
        )
        secret = await workbench.subtask_secret(job, subtask)
        sealed = offer.seal(secret, services.identity.sign)  # here shows a key that nothing can be sealed to
    except Rejected as error:
        rejected = EvidenceRejected(subtask=subtask, worker=worker, code=error.code, reason=str(error))
        return [("evidence.rejected", rejected)]
    claims = offer.claims
    shown = {
        "kind": claims.kind,
        "tier": claims.tier.value,
        "measurement": claims.measurement.hex(),
        "confidential": "yes" if claims.confidential else "no: a software enclave protects nothing from its host",
    }
    accepted = EvidenceAccepted(
        subtask=subtask,
        worker=worker,
        sealed=sealed.sealed,
        signature=sealed.signature,
        claims=claims.digest(),
        claims_shown=shown,
        policy_digest=offer.policy_digest,
        mac_digest=offer.confirmation_digest(secret, sealed),
    )
    return [("evidence.accepted", accepted)]
