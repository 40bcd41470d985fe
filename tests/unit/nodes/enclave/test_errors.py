"""Refusals of the enclave room: each has a code of its own and a sentence, and none has a value in it."""

from __future__ import annotations

import re

import pytest

from nodes.enclave.errors import EXPLANATIONS, FAULTS, Code, DataFault, Fault, Rejected


@pytest.mark.parametrize("code", Code)
def test_every_code_has_its_sentence(code: Code) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert str(Rejected(code)) == EXPLANATIONS[code]
    assert Rejected(code).code == code
    assert str(Rejected(code, "here")) == f"{EXPLANATIONS[code]} (here)"


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_its_sentence_and_says_where(fault: Fault) -> None:
    assert str(DataFault(fault)) == FAULTS[fault]
    assert str(DataFault(fault, row=3, column="x")) == f"row 3, column x: {FAULTS[fault]}"


def test_no_sentence_belongs_to_two_codes() -> None:
    assert len(set(EXPLANATIONS.values())) == len(Code)
