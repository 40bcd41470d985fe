"""Fuzzing of fixed length: a few seconds per target, from the same seeds as the long runs of `make fuzz`."""

from __future__ import annotations

import base64
import platform
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.__main__ import feed
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, programs

SECONDS = 3
EXECUTIONS_MIN = 100
MADE_FOR_THIS: Final = sys.version_info < (3, 14) and (sys.platform, platform.machine()) == ("linux", "x86_64")
"""Whether pyproject.toml asks for atheris."""


@pytest.mark.skipif(not MADE_FOR_THIS, reason="atheris is not made for this Python or machine")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_short_run_finds_nothing(tmp_path: Path, name: str) -> None:
    executions, found, said = feed(name, SECONDS, tmp_path / name)
    assert not found, said[-4000:] + "".join(f"\n{path.name}: {_base64(path)}" for path in found)
    assert executions >= EXECUTIONS_MIN, said[-4000:]


def _base64(path: Path) -> str:
    """The folder of a test is gone before anybody can look into it."""
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_seed_passes(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert len(seeds) >= 2
    for seed in seeds:
        TARGETS[name].run(seed)


def test_models_are_changed_into_other_models() -> None:
    changed = {mutated(seed, number) for seed in programs() for number in range(50)}
    assert len(changed) > 150
    assert None not in changed


def test_what_is_no_model_is_not_changed() -> None:
    assert mutated(b"\xff not a model", 1) is None
