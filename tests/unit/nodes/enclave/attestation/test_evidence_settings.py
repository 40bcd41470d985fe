"""What a node's file says of evidence: the renter's policy and the lessor's hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.bootstrap import lessor
from nodes.bootstrap.evidence import evidence_policy
from nodes.bootstrap.lessor import lessor_hardware
from nodes.config import NodeConfig, read_config
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import NITRO, SNP, Quoter
from nodes.enclave.attestation.producers.host import hardware_quoter
from nodes.enclave.attestation.producers.quoting import Collateral
from nodes.enclave.errors import NoEvidence
from nodes.network_init import Plan, create
from schemas.errors import BadConfig
from schemas.ids import Address
from tests.unit.nodes.enclave.attestation.fake_devices import FakeTsm
from tests.unit.nodes.enclave.attestation.test_producers import ask, snp_report

PLAN = Plan(hubs=("A11", "B11"), renters=(Address("A11.A12"),), lessors=(Address("B11.B12"),), links=(("A11", "B11"),))
MEASURED = bytes(range(48))


def node(folder: Path, name: str, table: str) -> NodeConfig:
    create(folder / "network", PLAN)
    path = folder / "network" / "nodes" / name / "node.toml"
    path.write_text(path.read_text() + table)
    (path.parent / "policy.toml").write_text(f'format = 1\nkinds = ["snp"]\nmeasurements = ["{MEASURED.hex()}"]\n')
    (path.parent / "open.toml").write_text("format = 1\naccept_software = true\n")
    (path.parent / "slip.toml").write_text("format = 1\nkind = []\n")
    return read_config(path, {})


def accepted(folder: Path, settings: str) -> Policy:
    return evidence_policy(node(folder, "A11.A12", settings))


def test_without_a_file_jobs_may_opt_in_to_software_and_nothing_else(tmp_path: Path) -> None:
    assert accepted(tmp_path, "") == Policy(accept_software=True)


def test_a_policy_file_beside_the_nodes_file_says_what_is_accepted(tmp_path: Path) -> None:
    policy = accepted(tmp_path, 'policy_file = "policy.toml"\n')
    assert policy == Policy(kinds=frozenset({SNP}), measurements=frozenset({MEASURED}))


def test_software_needs_both_the_file_and_the_settings(tmp_path: Path) -> None:
    assert accepted(tmp_path / "1", 'policy_file = "open.toml"\n').accept_software
    assert not accepted(tmp_path / "2", 'policy_file = "open.toml"\nallow_software_enclaves = false\n').accept_software
    assert not accepted(tmp_path / "3", "allow_software_enclaves = false\n").accept_software


def test_reference_values_of_the_settings_join_those_of_the_file(tmp_path: Path) -> None:
    policy = accepted(tmp_path, f'policy_file = "policy.toml"\nmeasurements = ["{"ab" * 32}"]\n')
    assert policy.measurements == {MEASURED, b"\xab" * 32}


@pytest.mark.parametrize("name", ["slip.toml", "missing.toml"])
def test_a_policy_file_with_a_slip_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig):
        accepted(tmp_path, f'policy_file = "{name}"\n')


def test_a_lessor_has_software_enclaves_unless_it_asks_for_hardware(tmp_path: Path) -> None:
    assert lessor_hardware(node(tmp_path, "B11.B12", "")) is None


def test_a_lessor_that_asks_for_hardware_it_lacks_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(collateral: Collateral) -> Quoter:
        return hardware_quoter(FakeTsm(snp_report, driver=False), collateral)

    monkeypatch.setattr(lessor, "hardware_quoter", nothing)
    with pytest.raises(NoEvidence):
        lessor_hardware(node(tmp_path, "B11.B12", 'evidence = "hardware"\n'))


def test_a_lessors_collateral_lies_beside_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = node(tmp_path, "B11.B12", 'evidence = "hardware"\ncollateral_file = "vendor.pem"\n')
    monkeypatch.setattr(lessor, "hardware_quoter", lambda collateral: hardware_quoter(FakeTsm(snp_report), collateral))
    service = lessor_hardware(config)
    assert service is not None
    with pytest.raises(NoEvidence, match=r"vendor\.pem"):
        ask(service)
    (tmp_path / "network" / "nodes" / "B11.B12" / "vendor.pem").write_bytes(b"certificates of a vendor")
    assert b"certificates of a vendor" in ask(service)


def test_an_unknown_kind_of_evidence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as refused:
        node(tmp_path, "B11.B12", f'evidence = "{NITRO}"\n')
    assert refused.value.field == "lessor.evidence"
