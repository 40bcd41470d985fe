"""`sublet evidence`: claims or a reason, and an exit code that a script can use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nodes.cli.main import main
from nodes.enclave.agreement import key_agreement
from nodes.enclave.attestation.envelope import encode
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.errors import Code
from tests.unit.nodes.enclave.attestation import forge
from tests.unit.nodes.enclave.enclaves import quoter

CONTRACT = "contract-1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made: SoftwareQuoter = quoter()
    report_data = key_agreement.report_data(forge.NONCE, CONTRACT, forge.PUBLIC)
    raw = made.quote(report_data=report_data, pub=forge.PUBLIC, nonce=forge.NONCE, job=forge.JOB, debug=False)
    Path("evidence.bin").write_bytes(raw)
    listed = f'measurements = ["{made.measurement.hex()}"]\n'
    Path("policy.toml").write_text("format = 1\naccept_software = true\n" + listed)
    Path("strict.toml").write_text("format = 1\n" + listed)
    Path("broken.toml").write_text("format = 1\naccept_softwear = true\n")
    Path("forged.bin").write_bytes(encode(forge.snp().evidence))
    measured = forge.SNP_MEASUREMENT.hex()
    Path("snp.toml").write_text(f'format = 1\nkinds = ["snp"]\nmeasurements = ["{measured}"]\n')
    Path("noise.bin").write_bytes(b"\x00 noise")
    return tmp_path


def run(*arguments: str) -> int:
    return main(["evidence", *arguments])


def test_accepted_evidence_is_printed_as_claims(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "evidence.bin", "--policy", "policy.toml") == 0
    said = capfd.readouterr().out
    assert "software, not confidential" in said
    assert "tier            none" in said
    assert "not checked: give --contract" in said


def test_evidence_is_held_against_its_contract(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "evidence.bin", "--policy", "policy.toml", "--contract", CONTRACT, "--json") == 0
    assert json.loads(capfd.readouterr().out)["bound to"] == f"contract {CONTRACT}"
    assert run("verify", "evidence.bin", "--policy", "policy.toml", "--contract", "contract-2") == 5
    assert "another nonce, contract or enclave key" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evidence.bin", "--policy", "strict.toml"], 5, "the policy must accept that by name"),
        (["forged.bin", "--policy", "snp.toml"], 5, "do not end at the vendor's root"),
        (["noise.bin", "--policy", "policy.toml"], 5, "not a well-formed envelope"),
        (["noise.bin", "--policy", "snp.toml", "--kind", "snp"], 5, "1184 bytes"),
        (["evidence.bin", "--policy", "broken.toml"], 2, "accept_softwear"),
        (["evidence.bin", "--policy", "missing.toml"], 2, "cannot read missing.toml"),
        (["missing.bin", "--policy", "policy.toml"], 2, "cannot read missing.bin"),
        (["evidence.bin", "--policy", "policy.toml", "--at", "yesterday"], 2, "is not a time"),
        (["evidence.bin", "--policy", "policy.toml", "--kind", "abacus"], 2, "is none of"),
        (["evidence.bin", "--policy", "policy.toml", "--aux", "noise.bin"], 2, "say its --kind"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert run("verify", *arguments) == code
    said = capfd.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_rejection_in_json_has_its_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "forged.bin", "--policy", "snp.toml", "--json") == 5
    said = json.loads(capfd.readouterr().out)
    assert (said["verified"], said["code"], said["exit_code"]) == (False, "evidence-root", 5)


@pytest.mark.parametrize("kind", ["software", "snp", "tdx", "sgx", "nitro"])
def test_showing_explains_and_says_that_nothing_is_verified(
    folder: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    forged = getattr(forge, kind)()
    Path("shown.bin").write_bytes(encode(forged.evidence))
    assert run("show", "shown.bin") == 0
    said = capfd.readouterr().out
    (measured,) = forged.policy.measurements
    assert said.startswith("NOT VERIFIED")
    assert measured.hex() in said
    assert forged.report_data.hex() in said


def test_showing_noise_says_why_not(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("show", "noise.bin", "--kind", "nitro") == 5
    assert "Nitro document" in capfd.readouterr().err


@pytest.mark.skipif("SUBLET_TEST_VECTORS" not in os.environ, reason="SUBLET_TEST_VECTORS names no folder of vectors")
@pytest.mark.parametrize(
    ("kind", "blob", "aux", "policy", "at", "code"),
    [
        ("snp", "snp/report-v2-debug.bin", ["snp/vcek.der", "snp/ask_ark_milan.pem"], "", "2023-01-01", Code.DEBUG),
        ("snp", "snp/report-v2-debug.bin", ["snp/vcek.der", "snp/ask_ark_milan.pem"], "debug", "2023-01-01", None),
        ("tdx", "tdx/quote-v4.bin", ["tdx/quote-v4.collateral.json"], "", "2025-06-25", None),
        ("tdx", "tdx/quote-v4.bin", ["tdx/quote-v4.collateral.json"], "", None, Code.COLLATERAL_EXPIRED),
        ("sgx", "sgx/quote.bin", ["sgx/quote.collateral.json"], "", "2025-06-25", Code.TCB_STATUS),
        ("nitro", "nitro/document.bin", [], "", "2022-10-13T09:00:00Z", None),
        ("nitro", "nitro/document.bin", [], "", "2022-10-13T12:00:00Z", Code.CERTIFICATE_EXPIRED),
    ],
)
def test_genuine_evidence_gets_its_verdict(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    blob: str,
    aux: list[str],
    policy: str,
    at: str | None,
    code: Code | None,
) -> None:
    vectors = Path(os.environ["SUBLET_TEST_VECTORS"])
    bare = [str(vectors / blob), "--kind", kind]
    for each in aux:
        bare += ["--aux", str(vectors / each)]
    assert run("show", *bare, "--json") == 0
    measured = json.loads(capfd.readouterr().out)["measurement"]
    debug = "allow_debug = true\n" if policy == "debug" else ""
    Path("own.toml").write_text(f'format = 1\nkinds = ["{kind}"]\nmeasurements = ["{measured}"]\n{debug}')
    arguments = ["verify", *bare, "--policy", "own.toml", *(["--at", at] if at else [])]
    assert run(*arguments) == (5 if code else 0)
    assert (f"({code})" in capfd.readouterr().err) == (code is not None)
