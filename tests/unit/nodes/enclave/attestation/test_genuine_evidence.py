"""Evidence that real platforms made. It is third-party data, read from the folder that SUBLET_TEST_VECTORS names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from nodes.enclave.attestation.adapters import certificates, snp
from nodes.enclave.attestation.description import describe
from nodes.enclave.attestation.judge import judge
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import HARDWARE, NITRO, SGX, SNP, TDX, Claims, Evidence, Tier
from nodes.enclave.attestation.verifiers import all_verifiers
from nodes.enclave.errors import Code, Rejected

pytestmark = pytest.mark.skipif(
    "SUBLET_TEST_VECTORS" not in os.environ, reason="SUBLET_TEST_VECTORS names no folder of vectors"
)
LATER = datetime(2026, 6, 1, tzinfo=UTC)
Make = Callable[[], "Vector"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def read(name: str) -> bytes:
    return (Path(os.environ["SUBLET_TEST_VECTORS"]) / name).read_bytes()


@dataclass(frozen=True)
class Vector:
    """Genuine evidence, when it was good, and a policy that lists its measurement."""

    evidence: Evidence
    now: datetime

    @property
    def policy(self) -> Policy:
        measured = bytes.fromhex(describe(self.evidence).said["measurement"])
        return Policy(kinds=HARDWARE, measurements=frozenset({measured}))

    def verify(
        self, *, policy: Policy | None = None, now: datetime | None = None, report_data: bytes | None = None
    ) -> Claims:
        return judge(
            self.evidence,
            expected_report_data=describe(self.evidence).report_data if report_data is None else report_data,
            policy=policy or self.policy,
            verifiers=all_verifiers(),
            now=now or self.now,
        )

    def refusal(self, *, policy: Policy | None = None, now: datetime | None = None) -> str:
        with pytest.raises(Rejected) as refused:
            self.verify(policy=policy, now=now)
        return refused.value.code


def vector(kind: str, blob: bytes, aux: bytes, now: str) -> Vector:
    return Vector(Evidence(kind=kind, blob=blob, aux=aux, pub=b"", nonce=bytes(16), job=""), at(now))


def amd(authorities: str = "milan") -> Vector:
    vcek = certificates.load(read("snp/vcek.der")).public_bytes(Encoding.PEM)
    aux = vcek + read(f"snp/ask_ark_{authorities}.pem")
    return vector(SNP, read("snp/report-v2-debug.bin"), aux, "2023-01-01")


def tdx() -> Vector:
    return vector(TDX, read("tdx/quote-v4.bin"), read("tdx/quote-v4.collateral.json"), "2025-06-25")


def sgx() -> Vector:
    return vector(SGX, read("sgx/quote.bin"), read("sgx/quote.collateral.json"), "2025-06-25")


def nitro() -> Vector:
    return vector(NITRO, read("nitro/document.bin"), b"", "2022-10-13 09:00:00")


def test_the_snp_report_is_refused_for_debug_and_accepted_when_that_is_allowed() -> None:
    assert amd().refusal() == Code.DEBUG
    claims = amd().verify(policy=replace(amd().policy, allow_debug=True))
    assert claims.tier == Tier.CONTRAINDICATED
    assert dict(claims.tcb) == {"bootloader": 2, "tee": 0, "snp": 5, "microcode": 68}


def test_every_byte_of_the_snp_report_counts() -> None:
    genuine = amd()
    allowed = replace(genuine.policy, allow_debug=True)
    assert genuine.verify(policy=allowed).debug
    blob = genuine.evidence.blob
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1 << position % 8
        mutant = replace(genuine, evidence=replace(genuine.evidence, blob=bytes(changed)))
        with pytest.raises(Rejected):
            mutant.verify(policy=allowed, report_data=bytes(changed[0x50:0x90]))


def test_the_snp_report_is_refused_outside_the_time_of_its_key() -> None:
    policy = replace(amd().policy, allow_debug=True)
    assert amd().refusal(policy=policy, now=at("2022-09-23")) == Code.CERTIFICATE_EXPIRED
    assert amd().refusal(policy=policy, now=at("2029-09-25")) == Code.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("authorities", ["milan_vlek", "genoa", "turin_vcek"])
def test_the_snp_report_is_refused_under_other_authorities_of_amd(authorities: str) -> None:
    assert amd(authorities).refusal() == Code.EVIDENCE_CHAIN


@pytest.mark.parametrize(("authorities", "pinned"), [("milan", True), ("genoa", True), ("turin_vcek", False)])
def test_amds_roots_of_the_layouts_that_are_read_are_pinned(authorities: str, pinned: bool) -> None:
    ask, ark = certificates.read_bundle(read(f"snp/ask_ark_{authorities}.pem"))
    certificates.check_chain([ask, ark], LATER)
    assert (certificates.key_fingerprint(ark) in snp.AMD_ROOTS) == pinned


def test_the_tdx_quote_is_up_to_date_while_its_collateral_is_valid() -> None:
    claims = tdx().verify()
    assert (claims.tier, claims.tcb_status, claims.advisories) == (Tier.AFFIRMING, "UpToDate", ())
    assert tdx().refusal(now=at("2025-07-20")) == Code.COLLATERAL_EXPIRED
    assert tdx().refusal(now=at("2025-06-18")) == Code.COLLATERAL_EXPIRED


def test_the_sgx_quote_needs_configuration_and_hardening() -> None:
    assert sgx().refusal() == Code.TCB_STATUS
    statuses = frozenset({"UpToDate", "ConfigurationAndSWHardeningNeeded"})
    claims = sgx().verify(policy=replace(sgx().policy, tcb_statuses=statuses))
    assert claims.tcb_status == "ConfigurationAndSWHardeningNeeded"
    assert claims.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert claims.tier == Tier.WARNING
    strict = replace(sgx().policy, tcb_statuses=statuses, rejected_advisories=frozenset({"INTEL-SA-00615"}))
    assert sgx().refusal(policy=strict) == Code.ADVISORY
    assert sgx().refusal(now=at("2025-07-20")) == Code.COLLATERAL_EXPIRED


@pytest.mark.parametrize(("make", "make_other"), [(tdx, sgx), (sgx, tdx)])
def test_a_quote_with_the_collateral_of_another_platform_is_refused(make: Make, make_other: Make) -> None:
    mine, other = make(), make_other()
    swapped = replace(mine, evidence=replace(mine.evidence, aux=other.evidence.aux))
    assert swapped.refusal() == Code.COLLATERAL_MISMATCH


def test_the_nitro_document_is_accepted_for_three_hours() -> None:
    assert nitro().verify().tier == Tier.AFFIRMING
    for good in ("2022-10-13 08:57:59", "2022-10-13 11:58:02"):
        assert nitro().verify(now=at(good)).kind == NITRO
    for bad in ("2022-10-13 08:57:58", "2022-10-13 11:58:03"):
        assert nitro().refusal(now=at(bad)) == Code.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("make", [amd, tdx, sgx, nitro])
def test_old_evidence_is_refused_today(make: Make) -> None:
    genuine = make()
    policy = replace(genuine.policy, allow_debug=True)
    assert genuine.refusal(policy=policy, now=LATER + timedelta(days=2000)) in {
        Code.COLLATERAL_EXPIRED,
        Code.CERTIFICATE_EXPIRED,
    }


@pytest.mark.parametrize("make", [tdx, sgx, nitro])
def test_mutants_are_refused_or_change_no_claim(make: Make) -> None:
    genuine = make()
    statuses = frozenset({"UpToDate", "ConfigurationAndSWHardeningNeeded"})
    policy = replace(genuine.policy, tcb_statuses=statuses)
    claims, blob = genuine.verify(policy=policy), genuine.evidence.blob
    for position in range(0, len(blob), 11):
        changed = bytearray(blob)
        changed[position] ^= 1 << position % 8
        mutant = replace(genuine, evidence=replace(genuine.evidence, blob=bytes(changed)))
        try:
            found = mutant.verify(policy=policy, report_data=claims.report_data)
        except Rejected:
            continue
        assert found == claims
