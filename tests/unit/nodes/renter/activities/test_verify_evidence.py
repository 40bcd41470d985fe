"""The activity that judges evidence and seals the subtask secret: what ships, against a real enclave's other half."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from msgspec import Struct

from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.agreement.key_agreement import SECRET_BYTES, KeyPair, Sealed, report_data
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.child.engine import Enclave
from nodes.enclave.errors import Code
from nodes.identity import Identity
from nodes.renter.activities.verify_evidence import verify_evidence
from nodes.renter.protocol.outcomes import EvidenceAccepted, EvidenceRejected
from schemas.ids import address
from tests.unit.nodes.enclave.enclaves import CONTRACT, JOB, NOW, VERIFIERS, model, policy, quoter

IDENTITY = Identity.from_seed(address("A11", "A12"), b"\x07" * 32)
NONCE = bytes(range(32))
PROGRAM = model(2, np.ones((2, 1)))


@dataclass
class Desk:
    """A renter whose job runs, and how often a secret was taken from its safe."""

    policy: Policy = field(default_factory=policy)
    secrets_taken: int = 0

    async def running(self, job: str) -> SimpleNamespace:
        return SimpleNamespace(job=SimpleNamespace(spec=SimpleNamespace(accept_software_enclave=True)))

    async def contract(self, job: str, contract: str) -> SimpleNamespace:
        return SimpleNamespace(id=contract, renter_key=IDENTITY.public)

    async def subtask_secret(self, job: object, subtask: str) -> bytes:
        self.secrets_taken += 1
        return bytes(SECRET_BYTES)

    async def verify(self, evidence: bytes, job: str = JOB, **changes: Any) -> Struct:
        """The one outcome."""
        services = SimpleNamespace(
            clock=NOW.timestamp, policy=lambda accept: self.policy, verifiers=VERIFIERS, identity=IDENTITY
        )
        params = {
            "subtask": "subtask-1",
            "worker": "worker-1",
            "contract": CONTRACT,
            "nonce": NONCE.hex(),
            "age_seconds": 1.0,
            "evidence": evidence.hex(),
        }
        ((event_type, outcome),) = await verify_evidence(
            cast("Any", services), cast("Any", self), params | changes, job
        )
        assert event_type == ("evidence.accepted" if isinstance(outcome, EvidenceAccepted) else "evidence.rejected")
        return outcome


def offered(enclave: Enclave) -> bytes:
    public, bound = enclave.offer(NONCE, CONTRACT, JOB)
    return quoter().quote(report_data=bound, pub=public, nonce=NONCE, job=JOB, debug=False)


async def test_the_enclave_that_opens_the_seal_makes_the_confirmation_that_is_waited_for() -> None:
    enclave = Enclave()
    accepted = await Desk().verify(offered(enclave))
    assert isinstance(accepted, EvidenceAccepted)
    mac = enclave.accept(
        Sealed(accepted.sealed, accepted.signature),
        renter_public=IDENTITY.public,
        policy=accepted.policy_digest,
        claims=accepted.claims,
        program=PROGRAM,
        seal=None,
    )
    assert is_confirmed(mac, accepted.mac_digest)
    assert accepted.claims_shown["confidential"].startswith("no")


async def test_the_digest_that_is_kept_fits_no_other_handshake_under_the_same_secret() -> None:
    accepted = [await Desk().verify(offered(Enclave())) for _ in range(2)]
    digests = {each.mac_digest for each in accepted if isinstance(each, EvidenceAccepted)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("changes", "accepted", "code"),
    [
        ({"job": "job-2"}, policy(), Code.JOB_MISMATCH),
        ({"nonce": bytes(32).hex()}, policy(), Code.NONCE_MISMATCH),
        ({"contract": "contract-2"}, policy(), Code.REPORT_DATA),
        ({"age_seconds": 61.0}, replace(policy(), nonce_seconds_max=60.0), Code.NONCE_EXPIRED),
        ({}, replace(policy(), accept_software=False), Code.SOFTWARE_NOT_ACCEPTED),
        ({}, replace(policy(), measurements=frozenset()), Code.MEASUREMENT),
    ],
    ids=lambda each: str(each) if isinstance(each, Code) else "",
)
async def test_refused_evidence_gets_its_code_and_no_secret_is_touched(
    changes: dict[str, Any], accepted: Policy, code: Code
) -> None:
    desk = Desk(accepted)
    rejected = await desk.verify(offered(Enclave()), **changes)
    assert isinstance(rejected, EvidenceRejected)
    assert rejected.code == code
    assert desk.secrets_taken == 0


async def test_bytes_that_are_no_evidence_are_refused() -> None:
    desk = Desk()
    rejected = await desk.verify(b"\x00")
    assert isinstance(rejected, EvidenceRejected)
    assert (rejected.code, desk.secrets_taken) == (Code.EVIDENCE_MALFORMED, 0)


async def test_an_attested_key_that_nothing_can_be_sealed_to_is_the_lessors_fault() -> None:
    """A point of small order is well formed, and only sealing finds it: it must not end the renter's job."""
    public = KeyPair.generate().public[:-32] + bytes(32)
    evidence = quoter().quote(
        report_data=report_data(NONCE, CONTRACT, public), pub=public, nonce=NONCE, job=JOB, debug=False
    )
    rejected = await Desk().verify(evidence)
    assert isinstance(rejected, EvidenceRejected)
    assert rejected.code == Code.PUBLIC_KEY
