"""All of ONNX's backend cases that are linear, each under a key of BFV of its own; `make test` takes every eighth."""

from __future__ import annotations

import os
import sys

import pytest


def main() -> int:
    """As pytest ends."""
    os.environ["ONNX_OWN_KEY_EVERY"] = "1"
    return int(pytest.main(["-q", "tests/conformance/test_onnx.py", "-k", "bfv_of_its_own"]))


if __name__ == "__main__":
    sys.exit(main())
