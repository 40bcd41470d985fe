"""The systemd unit fits the program: it starts a command that there is, and waits as long as that takes to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from nodes.cli.main import build
from nodes.cli.serve import END_SECONDS_MAX
from nodes.roles import ROLES

UNIT = Path(__file__).parents[2] / "docs" / "systemd" / "sublet@.service"


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    lines = (line.partition("=") for line in UNIT.read_text().splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in lines if equals}


@pytest.mark.parametrize("role", [*ROLES, "bridge"])
def test_a_role_in_its_name_is_a_command(settings: Mapping[str, str], role: str) -> None:
    program, command, option, path = settings["ExecStart"].replace("%j", role).split()
    found = typer.main.get_command(build()).get_command(None, command)  # type: ignore[attr-defined]
    assert (Path(program).name, found.name, option) == ("sublet", role, "--config")
    assert option in {name for each in found.params for name in each.opts}
    assert path.startswith("%S/" + settings["StateDirectory"])


def test_it_waits_longer_than_a_process_takes_to_end(settings: Mapping[str, str]) -> None:
    assert float(settings["TimeoutStopSec"]) > END_SECONDS_MAX
    assert settings["KillMode"] == "mixed", "enclaves get no signal: they finish what the node finishes"


def test_what_an_enclave_locks_itself_down_with_is_allowed(settings: Mapping[str, str]) -> None:
    assert {"seccomp", "landlock_create_ruleset", "landlock_restrict_self"} <= set(settings["SystemCallFilter"].split())
