"""Logs tell what went wrong, and nothing that was in a local variable."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import structlog
from nodes.cli.logs import configure_logs

configure_logs("info")

def fails(secret):
    raise ValueError("it went wrong")

try:
    fails("plaintext-or-key")
except ValueError:
    structlog.get_logger("x").exception("activity failed")
"""
TERMINAL = "import sys; sys.stderr.isatty = lambda: True\n"


@pytest.mark.parametrize("prefix", ["", TERMINAL], ids=["json", "terminal"])
def test_a_traceback_in_the_log_has_no_local_variables(prefix: str) -> None:
    done = subprocess.run([sys.executable, "-c", prefix + SCRIPT], capture_output=True, text=True, check=True)
    assert "it went wrong" in done.stderr
    assert "fails" in done.stderr
    assert "plaintext-or-key" not in done.stderr.replace('fails("plaintext-or-key")', "")
