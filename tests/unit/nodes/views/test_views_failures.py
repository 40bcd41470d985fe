"""Every code that a job can end with has its class, so that a user's mistake is never told as the network's."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import nodes
from nodes.enclave.errors import POLICY_CODES, Code, EndReason
from nodes.views.failures import CODES, FAILURES, kind_of
from schemas.errors import JobFailed, PolicyRefused

ROOT: Final = Path(nodes.__file__).parent
SHOWING: Final = {"cli", "page", "views"}
"""Rooms that print codes and end no job with any."""
KEBAB: Final = re.compile(r"[a-z]+(-[a-z]+)*")
TAKE_A_CODE: Final = {"fail", "lose", "BatchRefused", "CannotCompute", "Objection", "Unfit", "Check"}
"""Callables that take a code by its place."""
END_NO_JOB: Final = {
    # a hub's paper or welcome is not taken
    *("not-my-paper", "one-sided-link", "paper-signature", "two-papers", "not-my-certificate", "hub-certificate"),
    *("other-network", "other-hub"),
    *("stale-welcome", "welcome-signature", "wrong-hub-key", "wrong-key"),
    *("hub-certificate", "not-my-certificate", "other-hub", "other-network"),
    # a journal does not replay
    *("bad-entry", "broken-chain", "different-effects", "different-refusal", "incomplete", "wrong-machine"),
    # one message is set aside, at whoever got it
    *("bad-signature", "not-for-renter", "record-unreadable", "unknown-subtask", "wrong-hub"),
    # a worker does not serve a subtask
    *("ended", "no-scheme", "other-computation"),
    # hubs among themselves
    *("contract-ended", "expired", "lease", "not-as-quoted", "not-rented", "order-cancelled", "order-replaced"),
    *("reservation-ended", "unsought"),
}


def test_every_code_that_the_source_makes_has_a_row_or_ends_no_job() -> None:
    assert codes() - FAILURES.keys() == END_NO_JOB


def test_every_row_has_a_source() -> None:
    assert FAILURES.keys() - codes() == set()


def test_no_code_has_two_classes() -> None:
    counted = Counter(code for group in CODES.values() for code in group)
    assert [code for code, times in counted.items() if times > 1] == []


def test_what_makes_the_renter_give_a_lessor_up_by_policy_is_told_as_policy() -> None:
    assert {kind_of(code) for code in POLICY_CODES} == {PolicyRefused}


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("bad-data", 2),
        ("bad-program", 2),
        ("not-linear", 2),
        ("enclave-memory", 2),
        ("no-match", 1),
        ("cancelled", 1),
        ("no-enclave", 4),
        ("tcb-low", 4),
        ("evidence-signature", 5),
        ("wrong-result", 5),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(code: str, exit_code: int) -> None:
    assert kind_of(code).exit_code == exit_code


def test_a_code_that_a_lessor_made_up_is_nobodys_known_fault() -> None:
    assert kind_of("your-fault") is JobFailed


def codes() -> set[str]:
    """Every string in the source that can be the code of a refusal or failure."""
    trees = [
        ast.parse(path.read_text()) for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in SHOWING
    ]
    written = {code for tree in trees for node in ast.walk(tree) for code in _codes(node)}
    return written | set(Code) | {f"enclave-{reason}" for reason in EndReason}


def _codes(node: ast.AST) -> Iterator[str]:
    """Of `code=…`, `code = …`, calls that take one by its place, and `return code, reason`."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        yield from (code for given in node.keywords if given.arg == "code" for code in _values(given.value))
        yield from (code for given in node.args if name in TAKE_A_CODE for code in _values(given))
    elif isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "code" for to in node.targets):
        yield from _values(node.value)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
        yield from _values(node.value.elts[0])


def _values(node: ast.expr) -> Iterator[str]:
    """The constant, or those of both ways of a condition."""
    if isinstance(node, ast.IfExp):
        yield from (*_values(node.body), *_values(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and KEBAB.fullmatch(node.value):
        yield node.value
