"""The layer check itself: the project passes it, and each kind of broken rule is found at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.layers import Rules, check, read_rules, unmatched

ROOT = Path(__file__).resolve().parents[2]
RULES = Rules(
    order=("schemas", "broker", "nodes"),
    only={"aio_pika": ("broker/rabbitmq.py",)},
    pure=("schemas/*.py", "nodes/hub/*.py"),
    forbidden=("asyncio", "os", "time", "random", "numpy.random", "datetime.datetime.now", "builtins.open"),
    every_glob_matches=True,
)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    return root


def test_this_project_keeps_its_layers_and_its_pure_modules_pure() -> None:
    assert check(ROOT, read_rules(ROOT / "pyproject.toml")) == []


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("schemas/a.py", "\nimport broker.port", "schemas may not know of broker"),
        ("schemas/a.py", "\nfrom nodes import hub", "schemas may not know of nodes"),
        ("broker/a.py", "\nfrom nodes.hub.book import Book", "broker may not know of nodes"),
        ("nodes/a.py", "\nfrom tests.support import layers", "nodes may not know of tests"),
        ("nodes/a.py", "\nfrom aio_pika import connect", "only broker/rabbitmq.py may"),
        ("nodes/hub/a.py", "\nimport asyncio", "uses asyncio"),
        ("nodes/hub/a.py", "\nfrom os import path", "uses os.path"),
        ("nodes/hub/a.py", "\nimport os.path", "uses os.path"),
        ("nodes/hub/a.py", "import datetime as d\nd.datetime.now(d.UTC)", "uses datetime.datetime.now"),
        ("nodes/hub/a.py", "from datetime import datetime as d\nclock = d.now", "uses datetime.datetime.now"),
        ("nodes/hub/a.py", "import numpy as np\nnp.random.default_rng()", "uses numpy.random.default_rng"),
        ("nodes/hub/a.py", "\nopen('x')", "uses builtins.open"),
        ("nodes/hub/a.py", "\nfrom nodes.shell import run", "nodes/shell.py, which is not in the list of pure modules"),
        ("nodes/hub/a.py", "\nfrom ..shell import run", "nodes/shell.py, which is not in the list of pure modules"),
    ],
)
def test_a_broken_rule_is_found_at_its_line(tmp_path: Path, name: str, source: str, reason: str) -> None:
    found = check(tree(tmp_path, {"nodes/shell.py": "", name: source}), RULES)
    assert {(violation.path, violation.line) for violation in found} == {(name, 2)}
    assert any(reason in violation.reason for violation in found)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("broker/rabbitmq.py", "import aio_pika"),
        ("nodes/shell.py", "import asyncio, time, schemas.ids"),
        ("nodes/hub/a.py", "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)"),
        ("nodes/hub/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio"),
        ("nodes/hub/a.py", "def f(time: float, random: bytes) -> float:\n    return time + random[0]"),
        ("nodes/hub/a.py", "import schemas.time\nschemas.time.parse()"),
    ],
)
def test_what_the_rules_allow_is_not_reported(tmp_path: Path, name: str, source: str) -> None:
    assert check(tree(tmp_path, {name: source}), RULES) == []


def test_a_glob_that_guards_no_file_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, {"schemas/a.py": "", "broker/rabbitmq.py": ""})
    assert unmatched(root, RULES) == ["nodes/hub/*.py"]
