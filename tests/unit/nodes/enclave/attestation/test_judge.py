"""The judge alone, before verifiers that find what they are told to: what it refuses, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from nodes.enclave.attestation.judge import judge
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import SNP, SOFTWARE, TDX, Claims, Evidence, Tier, Verifier
from nodes.enclave.errors import Code, Rejected

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ASKED, CHIP, MEASURED = b"\x01" * 64, b"\x02" * 32, b"\x03" * 48
EVIDENCE = Evidence(kind=SNP, blob=b"blob", aux=b"aux", pub=b"pub", nonce=bytes(32), job="job-1")
GOOD = Claims(
    kind=SNP,
    measurement=MEASURED,
    report_data=ASKED,
    signer=CHIP,
    debug=False,
    confidential=True,
    statement="a platform",
    tcb=(("firmware", 5),),
    tcb_status="UpToDate",
)
STRICT = Policy(
    kinds=frozenset({SNP}),
    measurements=frozenset({MEASURED}),
    signers=frozenset({CHIP}),
    tcb_min=((SNP, "firmware", 5),),
    rejected_advisories=frozenset({"SA-1"}),
)


@dataclass
class Told:
    """A verifier that finds what it was told to find, and remembers what it was asked."""

    claims: Claims = GOOD
    error: Exception | None = None
    asked: list[tuple[Evidence, datetime, dict[str, bytes]]] = field(default_factory=list)

    def verify(self, evidence: Evidence, *, now: datetime, collateral: Mapping[str, bytes]) -> Claims:
        self.asked.append((evidence, now, dict(collateral)))
        if self.error is not None:
            raise self.error
        return self.claims


def judged(verifier: Verifier, policy: Policy = STRICT, kind: str = SNP) -> Claims:
    evidence = replace(EVIDENCE, kind=kind)
    return judge(evidence, expected_report_data=ASKED, policy=policy, verifiers={kind: verifier}, now=NOW)


def refusal(verifier: Verifier, policy: Policy = STRICT, kind: str = SNP) -> str:
    with pytest.raises(Rejected) as refused:
        judged(verifier, policy, kind)
    return refused.value.code


def test_good_claims_are_handed_on_as_they_were_found_but_for_their_tier() -> None:
    assert judged(Told()) == replace(GOOD, tier=Tier.AFFIRMING)


def test_a_verifier_gets_the_evidence_the_time_and_the_collateral() -> None:
    told = Told()
    verifiers: dict[str, Verifier] = {SNP: told}
    collateral = {"certificates": b"pem"}
    judge(EVIDENCE, expected_report_data=ASKED, policy=STRICT, verifiers=verifiers, now=NOW, collateral=collateral)
    assert told.asked == [(EVIDENCE, NOW, collateral)]


FAULTS: list[tuple[Code, dict[str, object]]] = [
    (Code.EVIDENCE_MALFORMED, {"kind": TDX}),
    (Code.REPORT_DATA, {"report_data": bytes(64)}),
    (Code.DEBUG, {"debug": True}),
    (Code.SIGNER_NOT_ACCEPTED, {"signer": bytes(32)}),
    (Code.TCB_LOW, {"tcb": (("firmware", 4),)}),
    (Code.TCB_STATUS, {"tcb_status": "OutOfDate"}),
    (Code.ADVISORY, {"advisories": ("SA-1",)}),
    (Code.MEASUREMENT, {"measurement": bytes(48)}),
]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[code for code, _ in FAULTS])
def test_claims_are_held_against_question_and_policy_in_one_order(number: int) -> None:
    """Each fault alone is refused with its code, and together with every later one too."""
    code, alone = FAULTS[number]
    later: dict[str, object] = {name: value for _, fault in FAULTS[number:] for name, value in fault.items()}
    assert refusal(Told(replace(GOOD, **alone))) == code  # type: ignore[arg-type]
    assert refusal(Told(replace(GOOD, **later))) == code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "policy", "code"),
    [
        (SNP, replace(STRICT, kinds=frozenset({TDX})), Code.KIND_NOT_ACCEPTED),
        (SNP, Policy(), Code.KIND_NOT_ACCEPTED),
        (SOFTWARE, STRICT, Code.SOFTWARE_NOT_ACCEPTED),
        (SOFTWARE, replace(STRICT, kinds=frozenset({SNP, SOFTWARE})), Code.SOFTWARE_NOT_ACCEPTED),
    ],
)
def test_not_a_byte_is_looked_at_of_a_kind_that_is_not_accepted(kind: str, policy: Policy, code: Code) -> None:
    told = Told()
    assert refusal(told, policy, kind) == code
    assert told.asked == []


def test_a_kind_without_a_verifier_is_not_accepted() -> None:
    with pytest.raises(Rejected) as refused:
        judge(EVIDENCE, expected_report_data=ASKED, policy=STRICT, verifiers={}, now=NOW)
    assert refused.value.code == Code.KIND_NOT_ACCEPTED


def test_what_a_verifier_refuses_keeps_its_code() -> None:
    assert refusal(Told(error=Rejected(Code.EVIDENCE_ROOT))) == Code.EVIDENCE_ROOT


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), KeyError(3)], ids=repr)
def test_whatever_else_a_verifier_raises_is_malformed_evidence(error: Exception) -> None:
    assert refusal(Told(error=error)) == Code.EVIDENCE_MALFORMED


@pytest.mark.parametrize(
    ("claims", "policy", "tier"),
    [
        (GOOD, STRICT, Tier.AFFIRMING),
        (replace(GOOD, tcb=(), tcb_status=""), replace(STRICT, tcb_min=()), Tier.AFFIRMING),
        (replace(GOOD, tcb_status=""), STRICT, Tier.AFFIRMING),
        (replace(GOOD, tcb_status=""), replace(STRICT, tcb_min=()), Tier.WARNING),
        (replace(GOOD, tcb_status=""), replace(STRICT, tcb_min=((TDX, "firmware", 6),)), Tier.WARNING),
        (
            replace(GOOD, tcb_status="OutOfDate"),
            replace(STRICT, tcb_statuses=frozenset({"OutOfDate"})),
            Tier.WARNING,
        ),
        (replace(GOOD, advisories=("SA-2",)), STRICT, Tier.WARNING),
        (replace(GOOD, debug=True), replace(STRICT, allow_debug=True), Tier.CONTRAINDICATED),
        (replace(GOOD, confidential=False), STRICT, Tier.NONE),
    ],
)
def test_a_tier_says_how_much_was_appraised(claims: Claims, policy: Policy, tier: Tier) -> None:
    assert judged(Told(claims), policy).tier == tier
