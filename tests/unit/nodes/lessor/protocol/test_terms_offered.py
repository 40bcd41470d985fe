"""Nothing is begun for terms that are not of their contract, or for what this lessor does not offer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.lessor.protocol.draft import Worker
from nodes.lessor.protocol.machine import LessorMachine
from nodes.machine import Refused
from schemas.ids import derive_id
from schemas.orders import Protection
from tests.unit.nodes.lessor.protocol.desk import LANE, NAME, PROGRAM, PUBLIC_KEY, Desk

CIPHERTEXT_ONLY: tuple[Protection, ...] = ("homomorphic",)


def offering(*protections: Protection) -> Desk:
    """The desk of a worker that offers no more than these."""
    config = replace(Desk().machine.worker.config, protections=protections)
    return Desk(LessorMachine(Worker(config, NAME, LANE)))


@pytest.mark.parametrize("protection", ["enclave", "sealed-result"])
def test_a_lessor_that_offers_ciphertext_only_starts_no_enclave_whatever_the_contract_says(
    protection: Protection,
) -> None:
    desk = offering(*CIPHERTEXT_ONLY).announce(protection)
    with pytest.raises(Refused) as refused:
        desk.assign(protection)
    assert refused.value.code == "not-offered"
    assert desk.phase == "asked"


def test_a_lessor_that_offers_enclaves_only_computes_on_no_ciphertext() -> None:
    with pytest.raises(Refused) as refused:
        offering("enclave").announce().assign()
    assert refused.value.code == "not-offered"


def test_what_is_offered_is_begun() -> None:
    desk = offering(*CIPHERTEXT_ONLY).announce().assign().publish(PROGRAM).publish(PUBLIC_KEY)
    assert desk.performed == ["build"]


@pytest.mark.parametrize("changes", [{"job": derive_id("job", 2)}])
def test_terms_that_are_not_of_their_contract_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        Desk().announce().assign(**changes)
    assert refused.value.code == "bad-terms"
