"""A policy file says exactly what is accepted; a slip in it is an error and never a weaker policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.policy_file import read_policy
from schemas.errors import BadConfig


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text)
    return path


def test_a_file_that_says_nothing_accepts_nothing(tmp_path: Path) -> None:
    assert read_policy(written(tmp_path, "format = 1\n")) == Policy()


def test_every_field_is_read(tmp_path: Path) -> None:
    text = f"""
        format = 1
        kinds = ["snp", "tdx"]
        measurements = ["{"ab" * 48}", "{"cd" * 32}"]
        platforms = ["0a0b"]
        tcb_statuses = ["UpToDate", "SWHardeningNeeded"]
        rejected_advisories = ["INTEL-SA-00615"]
        allow_debug = true
        accept_software = true
        nonce_seconds_max = 60
        [tcb_min.snp]
        bootloader = 4
        [tcb_min.tdx]
        evaluation = 17
    """
    assert read_policy(written(tmp_path, text)) == Policy(
        kinds=frozenset({"snp", "tdx"}),
        measurements=frozenset({b"\xab" * 48, b"\xcd" * 32}),
        signers=frozenset({b"\x0a\x0b"}),
        tcb_statuses=frozenset({"UpToDate", "SWHardeningNeeded"}),
        rejected_advisories=frozenset({"INTEL-SA-00615"}),
        allow_debug=True,
        accept_software=True,
        nonce_seconds_max=60.0,
        tcb_min=(("snp", "bootloader", 4), ("tdx", "evaluation", 17)),
    )


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("kind = ['snp']", "kind"),
        ("kinds = ['software']", "kinds[0]"),
        ("kinds = 'snp'", "kinds"),
        ("measurements = ['abcd']", "measurements[0]"),
        (f"measurements = ['{'AB' * 48}']", "measurements[0]"),
        (f"measurements = ['{'ab' * 48}\\n']", "measurements[0]"),
        ("platforms = []", "platforms"),
        ("tcb_statuses = ['Revoked']", "tcb_statuses[0]"),
        ("tcb_statuses = []", "tcb_statuses"),
        ("nonce_seconds_max = 301", "nonce_seconds_max"),
        ("nonce_seconds_max = 0", "nonce_seconds_max"),
        ("allow_debug = 'no'", "allow_debug"),
        ("tcb_min.snp.bootloder = 4", "tcb_min.snp.bootloder"),
        ("tcb_min.nitro.evaluation = 4", "tcb_min.nitro.evaluation"),
        ("tcb_min.tdx.evaluation = -1", "tcb_min[...][...]"),
    ],
)
def test_a_slip_is_an_error_that_names_the_field(tmp_path: Path, line: str, field: str) -> None:
    with pytest.raises(BadConfig) as refused:
        read_policy(written(tmp_path, f"format = 1\n{line}\n".replace("'", '"')))
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["", "format = 2", "format", "kinds = []"])
def test_a_file_of_another_format_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadConfig):
        read_policy(written(tmp_path, text))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read"):
        read_policy(tmp_path / "policy.toml")
