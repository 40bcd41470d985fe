"""Tests of BFV are left out where pyproject.toml brings no SEAL, and nowhere else."""

from __future__ import annotations

import pytest

from nodes.homomorphic import schemes
from tests.support.seal import promised


@pytest.mark.parametrize(
    ("machine", "system", "there"),
    [("x86_64", "linux", True), ("aarch64", "linux", False), ("arm64", "darwin", True)],
)
def test_seal_is_promised_where_it_has_wheels(machine: str, system: str, there: bool) -> None:
    assert promised({"platform_machine": machine, "sys_platform": system}) == there


def test_where_seal_is_promised_it_is_here() -> None:
    assert not promised() or not schemes.unavailable("bfv")
