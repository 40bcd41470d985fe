"""Whether tests of BFV can run here. Where pyproject.toml has SEAL for this platform they run, and fail without it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from nodes.homomorphic import schemes

PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


def promised(environment: dict[str, str] | None = None) -> bool:
    """Whether the dependencies for tests bring SEAL to this platform, or to another one (PEP 508)."""
    (line,) = (each for each in _dependencies() if each.startswith("seal-python"))
    marker = Requirement(line).marker
    return marker is None or marker.evaluate(environment)


def _dependencies() -> list[str]:
    lines: list[str] = tomllib.loads(PROJECT.read_text())["dependency-groups"]["dev"]
    return lines


needs_seal: Final = pytest.mark.skipif(
    bool(schemes.unavailable("bfv")) and not promised(), reason="seal-python has no wheel for this platform"
)


def each(names: Iterable[str]) -> list[Any]:
    """As parameters of a test, those of BFV with the mark."""
    return [pytest.param(name, marks=needs_seal) if "bfv" in name else name for name in names]
