"""A worker at the market, what it refuses as wrong in itself, and whose signature an event must bear."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from nodes.lessor.protocol.records import ComputerReady, WorkerStarted
from nodes.machine import Refused, SetTimer
from schemas.contracts import Contract
from schemas.events import (
    ContractEnded,
    Event,
    KeySealed,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskCompleted,
    batch_attributes,
)
from schemas.ids import derive_id
from schemas.limits import PIECE_BYTES
from tests.unit.nodes.lessor.protocol.desk import (
    BATCH,
    JOB,
    NAME,
    NOW,
    PUBLIC_KEY,
    SUBTASK,
    Desk,
    receipt,
    rented,
    session_of,
    terms,
)
from tests.unit.nodes.lessor.rentals import HUB_B, HUB_KEYS, IDENTITIES, OTHER, RENTER


def test_a_worker_places_its_order_and_renews_it_before_it_ends() -> None:
    desk = Desk().inside("worker.started", WorkerStarted())
    assert desk.sent == ["order.sell.placed"]
    timers = {each.name: each.at for each in desk.did if isinstance(each, SetTimer)}
    assert NOW < timers["offer"] < desk.data("order.sell.placed")["order"]["expires_at"]
    assert desk.timer("offer").sent == ["order.sell.placed"]


def _announce(of: Contract) -> Callable[[Desk], object]:
    return lambda desk: desk.handle("subtask.announced", SubtaskAnnounced(terms=terms(contract=of)))


REFUSALS: dict[str, tuple[Callable[[Desk], object], str, str]] = {
    "another lessor's contract": (_announce(rented(lessor=OTHER)), "not-my-contract", "does not bind B11.B12"),
    "a contract of another renter": (
        lambda desk: desk.handle("subtask.announced", SubtaskAnnounced(terms=terms()), OTHER),
        "wrong-sender",
        "does not rent to B11.B13",
    ),
    "a contract that a hub has not signed": (
        _announce(structs.replace(rented(), lessor_hub_signature=bytes(64))),
        "lessor-hub-signature",
        "B11.hub has not signed",
    ),
    "a contract that has run out": (
        _announce(rented(starts_at=NOW - 60, ends_at=NOW)),
        "contract-ended",
        "has ended",
    ),
    "terms under another protection than the contract's": (
        lambda desk: desk.handle(
            "subtask.assigned", SubtaskAssigned(terms=terms("enclave", contract=rented()), worker=NAME)
        ),
        "bad-terms",
        "is for homomorphic, not enclave",
    ),
    "ciphertext terms without a scheme": (lambda desk: desk.assign(scheme=None), "bad-terms", "needs a scheme"),
    "ciphertext terms without a fixed point": (
        lambda desk: desk.assign(fixed_point=None),
        "bad-terms",
        "and a fixed point",
    ),
    "ciphertext terms without a key": (lambda desk: desk.assign(public_key=None), "bad-terms", "public key"),
    "sealed terms without their bits": (
        lambda desk: desk.assign("sealed-result", result_bits=None),
        "bad-terms",
        "fixed-point bits",
    ),
    "a partner for results that are not sealed": (
        lambda desk: desk.assign("enclave", partner="C11.C12"),
        "bad-terms",
        "only sealed results",
    ),
    "terms that nobody asked for": (
        lambda desk: desk.handle(
            "subtask.assigned", SubtaskAssigned(terms=terms(subtask=derive_id("subtask", 9)), worker=NAME)
        ),
        "not-asked-for",
        "was not asked for",
    ),
    "a program of somebody else": (lambda desk: desk.publish(source=OTHER), "not-asked-for", "B11.B13 was not asked"),
    "a program that is not the one asked for": (lambda desk: desk.publish(b"other"), "not-asked-for", "does not need"),
    "a piece of another program": (lambda desk: desk.publish(bytes(PIECE_BYTES)), "not-asked-for", "does not need"),
    "a key for a session that is not here": (
        lambda desk: desk.handle(
            "key.sealed",
            KeySealed(
                subtask=derive_id("subtask", 9), worker=NAME, sealed=b"", signature=b"", claims=b"", policy_digest=b""
            ),
        ),
        "not-asked-for",
        "was not asked for",
    ),
    "a batch of a session that is not open": (
        lambda desk: desk.batch(subtask=derive_id("subtask", 9)),
        "not-asked-for",
        "is not open here",
    ),
    "a batch under another contract": (
        lambda desk: desk.batch(contract=derive_id("contract", 9)),
        "wrong-contract",
        "does not belong",
    ),
    "a batch of another job": (lambda desk: desk.batch(job=derive_id("job", 9)), "wrong-contract", "does not belong"),
    "a batch of another renter": (lambda desk: desk.batch(OTHER), "wrong-contract", "does not belong"),
    "a receipt that the renter has not signed": (
        lambda desk: desk.handle(
            "subtask.completed",
            SubtaskCompleted(contract=rented(), receipt=structs.replace(receipt(), renter_signature=bytes(64))),
        ),
        "bad-receipt",
        "did not sign this receipt",
    ),
    "a receipt of another contract": (
        lambda desk: desk.handle(
            "subtask.completed",
            SubtaskCompleted(contract=rented(), receipt=receipt(contract=derive_id("contract", 9))),
        ),
        "bad-receipt",
        "is not of",
    ),
    "an event without its data": (
        lambda desk: desk.handle("subtask.announced", None),
        "wrong-data",
        "without its data",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_in_itself_is_refused_with_its_code_and_changes_nothing(case: str) -> None:
    wrong, code, said = REFUSALS[case]
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(session_of(desk), nonce=b""))
    before = dict(desk.records)
    with pytest.raises(Refused) as refused:
        wrong(desk)
    assert (refused.value.code, said in refused.value.reason) == (code, True), refused.value.reason
    assert dict(desk.records) == before


def test_the_signers_key_comes_from_the_contract_or_the_session_or_is_not_known() -> None:
    desk, renter = Desk(), IDENTITIES[RENTER].public

    def key(event: Event) -> bytes | None:
        return desk.machine.key_of(desk.records, event)

    batch = desk.event("batch.dispatched", None, RENTER, attributes=batch_attributes(BATCH), subject=JOB)
    program = desk.event("program.published", None, RENTER)
    assert key(desk.event("subtask.announced", SubtaskAnnounced(terms=terms()), RENTER)) == renter
    assert key(desk.event("contract.ended", ContractEnded(contract=rented().id, code="x"), HUB_B)) == HUB_KEYS[HUB_B]
    assert (key(batch), key(program), desk.machine.awaits_terms(desk.records, program)) == (None, None, False)
    desk.announce()
    assert (key(program), desk.machine.awaits_terms(desk.records, program)) == (None, True)
    assert not desk.machine.awaits_terms(desk.records, desk.event("program.published", None, OTHER))
    desk.assign()
    assert (key(program), desk.machine.awaits_terms(desk.records, program)) == (renter, False)
    desk.publish().publish(PUBLIC_KEY).inside("computer.ready", ComputerReady(subtask=SUBTASK))
    assert key(batch) == renter
    assert key(desk.event("batch.dispatched", None, OTHER, attributes=batch_attributes(BATCH), subject=JOB)) is None
