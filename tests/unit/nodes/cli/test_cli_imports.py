"""The command line prints: of the roles it knows what a user does and what views say, not how they work inside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

import nodes.cli
from nodes.cli.main import COMMANDS, build

ROOT: Final = Path(nodes.cli.__file__).parent
ALLOWED: Final = (
    *("nodes.cli", "nodes.views", "nodes.desk", "nodes.local", "nodes.model_files", "nodes.renter.submission"),
    *("nodes.renter.invitation", "nodes.quotes"),
    *(
        "nodes.bootstrap",
        "nodes.bridges",
        "nodes.checkup",
        "nodes.page",
        "nodes.status",
        "nodes.config",
        "nodes.process",
        "nodes.runtime.storage",
        "nodes.roles",
        "nodes.status",
        "nodes.network",
        "nodes.network_init",
        "nodes.admission",
        "nodes.membership",
        "nodes.allocator",
        "nodes.demo",
        "nodes.scratch",
        "nodes.status",
    ),
    *("nodes.data", "nodes.programs", "nodes.protections", "nodes.local_partner", "nodes.joint", "nodes.inputs"),
)
ENCLAVE: Final = "nodes.enclave"
"""`sublet evidence` holds evidence against a policy without any node."""


def test_the_command_line_imports_no_insides_of_a_role() -> None:
    found = {(path.name, name) for path in ROOT.glob("*.py") for name in imported(path) if not _below(name, ALLOWED)}
    assert {each for each in found if not (each[0] == "evidence.py" and _below(each[1], (ENCLAVE,)))} == set()


def test_help_and_views_start_without_numbers_and_roles() -> None:
    """Importing NumPy alone takes as long as all of `sublet --help`."""
    look = "import sys, nodes.cli.running; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT.parents[1])
    assert {"numpy", "onnx", "aio_pika", "nodes.bootstrap"} & set(ran.stdout.split()) == set()


@pytest.mark.parametrize("module", COMMANDS)
def test_each_command_is_of_the_module_that_is_loaded_for_it(module: str) -> None:
    made: Any = typer.main.get_command(build((module,)))
    assert set(made.commands) == set(COMMANDS[module])


@pytest.mark.parametrize("arguments", ["hub --help", "job list --help"])
def test_a_command_loads_no_other(arguments: str) -> None:
    look = f"import sys; from nodes.cli.main import main; main({arguments.split()}); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT.parents[1])
    loaded = {f"nodes.cli.{module}" for module in COMMANDS} & set(ran.stdout.split())
    assert len(loaded) == 1


def test_logs_load_no_colours() -> None:
    look = "import sys, nodes.cli.logs; print(*sys.modules); import rich; assert rich.__name__"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT.parents[1])
    assert "structlog" in ran.stdout.split()
    assert "rich" not in ran.stdout.split()


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{each.name}" for each in node.names if node.module.startswith("nodes"))
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("nodes"))


def _below(name: str, tops: tuple[str, ...]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)
