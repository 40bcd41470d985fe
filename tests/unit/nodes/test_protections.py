"""Protections are told apart by their traits: their names stand in one file."""

from __future__ import annotations

import ast
from pathlib import Path

import nodes
from schemas.orders import PROTECTIONS

ROOT = Path(nodes.__file__).parent


def test_no_protection_is_named_outside_its_file() -> None:
    named = {
        f"{path.relative_to(ROOT)}:{each.lineno}"
        for path in ROOT.rglob("*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Constant) and each.value in PROTECTIONS
    }
    assert {each.partition(":")[0] for each in named} == {"protections.py"}, named
