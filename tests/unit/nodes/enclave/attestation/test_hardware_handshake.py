"""A whole handshake with a real child process, vouched for by hardware of each kind on a fake device (E1, E3, E4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT, BatchContext
from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import NITRO, SGX, SNP, TDX, Quoter, Tier, Verifier
from nodes.enclave.attestation.producers.configfs import ConfigfsQuoter
from nodes.enclave.attestation.producers.gramine import GramineQuoter
from nodes.enclave.attestation.producers.host import new_name
from nodes.enclave.attestation.producers.nsm import NsmQuoter
from nodes.enclave.errors import Code, NoEvidence, Rejected
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.enclave.offer import VerifiedOffer, verify_offer
from tests.unit.nodes.enclave.attestation import forge
from tests.unit.nodes.enclave.attestation.fake_devices import FakeGramine, FakeNsm, FakeTsm
from tests.unit.nodes.enclave.attestation.forge import NOW, Forged
from tests.unit.nodes.enclave.attestation.test_producers import intel_quote, nitro_document, snp_report
from tests.unit.nodes.enclave.enclaves import CONTRACT, JOB, challenge, model, renter, renter_public


@dataclass(frozen=True)
class Platform:
    """A lessor's quoting service and what its renter must know."""

    quoter: Quoter
    verifier: Verifier
    policy: Policy


def platform(quoter: Quoter, forged: Forged) -> Platform:
    return Platform(quoter, forged.verifier, forged.policy)


def snp(folder: Path) -> Platform:
    table = forge.certificate_table(*(each.der for each in forge.amd()))
    return platform(ConfigfsQuoter(FakeTsm(snp_report, auxblob=table), new_name), forge.snp())


def tdx(folder: Path) -> Platform:
    forged = forge.tdx()
    files = FakeTsm(intel_quote(TDX), provider="tdx_guest")
    return platform(ConfigfsQuoter(files, new_name, collateral=lambda: forged.evidence.aux), forged)


def sgx(folder: Path) -> Platform:
    forged = forge.sgx()
    return platform(GramineQuoter(FakeGramine(intel_quote(SGX)), collateral=lambda: forged.evidence.aux), forged)


def nitro(folder: Path) -> Platform:
    device = folder / "nsm"
    device.write_bytes(b"")
    return platform(NsmQuoter(device, FakeNsm(nitro_document).ioctl), forge.nitro())


PLATFORMS: dict[str, Callable[[Path], Platform]] = {SNP: snp, TDX: tdx, SGX: sgx, NITRO: nitro}


@pytest.fixture(params=sorted(PLATFORMS))
def hardware(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    return PLATFORMS[request.param](tmp_path)


async def offered(enclave: EnclaveProcess, hardware: Platform, *, asked: str = CONTRACT) -> VerifiedOffer:
    (kind,) = hardware.policy.kinds
    challenged = challenge()
    evidence = await enclave.offer(challenged.nonce, asked, JOB)
    return verify_offer(
        challenged,
        evidence,
        verifiers={kind: hardware.verifier},
        policy=hardware.policy,
        renter_public=renter_public(),
        now=NOW,
    )


async def test_a_child_vouched_for_by_hardware_computes_a_batch(hardware: Platform) -> None:
    program = model(2, np.array([[2.0], [1.0]]))
    async with EnclaveProcess(hardware.quoter) as enclave:
        offer = await offered(enclave, hardware)
        assert offer.claims.confidential
        assert offer.claims.tier != Tier.NONE
        secret = key_agreement.new_secret()
        sealed = offer.seal(secret, renter().sign)
        mac = await enclave.accept(
            sealed.sealed,
            sealed.signature,
            renter_public=renter_public(),
            policy_digest=offer.policy_digest,
            claims=offer.claims.digest(),
            program=program,
        )
        assert is_confirmed(mac, offer.confirmation_digest(secret, sealed))
        context = BatchContext(JOB, "subtask-1", 0, 1, DATA, 0, key_agreement.schema_digest(program, None), 0, 2)
        rows = np.array([[1.0, 2.0], [3.0, 4.0]]).astype("<f8").tobytes()
        body = chunks.encrypt(key_agreement.data_key(secret, CONTRACT, JOB, DATA, 0), context.digest(), rows)
        result = await enclave.execute(context, body)
    key = key_agreement.data_key(secret, CONTRACT, JOB, RESULT, 0)
    assert np.frombuffer(chunks.decrypt(key, context.result.digest(), result.body), "<f8").tolist() == [4.0, 10.0]


async def test_evidence_made_for_another_contract_is_refused(hardware: Platform) -> None:
    async with EnclaveProcess(hardware.quoter) as enclave:
        with pytest.raises(Rejected) as refused:
            await offered(enclave, hardware, asked="contract-2")
    assert refused.value.code == Code.REPORT_DATA


async def test_a_renter_that_lists_another_measurement_refuses(hardware: Platform) -> None:
    other = replace(hardware, policy=replace(hardware.policy, measurements=frozenset({bytes(48)})))
    async with EnclaveProcess(hardware.quoter) as enclave:
        with pytest.raises(Rejected) as refused:
            await offered(enclave, other)
    assert refused.value.code == Code.MEASUREMENT


async def test_a_guest_whose_kernel_gives_no_report_offers_no_key() -> None:
    quoter = ConfigfsQuoter(FakeTsm(snp_report, driver=False), new_name)
    async with EnclaveProcess(quoter, EnclaveOptions()) as enclave:
        with pytest.raises(NoEvidence):
            await enclave.offer(bytes(32), CONTRACT, JOB)
