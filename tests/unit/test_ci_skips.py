"""The rule of tests/conftest.py, shown on a run of pytest of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
SUITE = """
import pytest

@pytest.mark.rabbitmq
def test_that_needs_a_broker():
    pytest.skip("no broker here")

def test_that_needs_something_else():
    pytest.skip("no such thing here")
"""
SETTINGS = "[pytest]\nmarkers = rabbitmq: needs a server\nasyncio_default_fixture_loop_scope = function\n"


@pytest.mark.parametrize(
    ("continuous_integration", "exit_code", "outcome"),
    [("true", 1, "1 failed, 1 skipped"), ("", 0, "2 skipped")],
)
def test_a_skipped_rabbitmq_test_fails_only_in_ci(
    tmp_path: Path, continuous_integration: str, exit_code: int, outcome: str
) -> None:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_suite.py").write_text(SUITE)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "CI": continuous_integration, "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, outcome in ran.stdout) == (exit_code, True), ran.stdout
