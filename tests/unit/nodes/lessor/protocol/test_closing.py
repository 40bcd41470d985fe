"""How contracts end at a lessor: one receipt each, which fits what was computed; and nothing is computed afterwards."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from nodes.lessor.protocol import closing
from nodes.lessor.protocol.records import BatchReturned, Closed, Work
from nodes.machine import Publish, Refused
from schemas.contracts import Receipt
from schemas.events import ContractClosed, ContractEnded, SubtaskAnnounced, SubtaskCompleted, batch_attributes
from schemas.ids import derive_id
from schemas.limits import BATCH_WINDOW, LEASE_SECONDS_MAX
from tests.unit.nodes.lessor.protocol.desk import (
    BATCH,
    LANE,
    NOW,
    PROGRAM,
    PUBLIC_KEY,
    Desk,
    receipt,
    rented,
    session_of,
    sha,
    terms,
)
from tests.unit.nodes.lessor.rentals import HUB_B, LESSOR, RENTER

CONTRACT = rented()
LEASE = CONTRACT.ends_at - CONTRACT.starts_at
END = ContractEnded(contract=CONTRACT.id, code="completed")


def complete(desk: Desk, of: Receipt) -> Desk:
    return desk.handle("subtask.completed", SubtaskCompleted(contract=CONTRACT, receipt=of))


def worked(*, batches: int, seconds: float) -> Desk:
    """An open session under which one worker did so much, from now on."""
    desk = Desk().open()
    desk.records.put(f"work/{CONTRACT.id}", Work(began_at=NOW, ended_at=NOW + seconds, batches=batches))
    return desk


def told(desk: Desk) -> list[str]:
    """Lanes on which other workers are told."""
    return [each.lane for each in desk.did if isinstance(each, Publish) and each.type == "contract.closed"]


def first_news(desk: Desk) -> ContractClosed:
    found = [each.data for each in desk.did if isinstance(each, Publish) and each.type == "contract.closed"]
    return msgspec.convert(found[0], ContractClosed)


# ---------------------------------------------------------------- after the end


def test_with_its_contract_a_public_key_goes_and_a_program_that_may_be_rented_for_again_stays() -> None:
    desk = Desk().open().handle("contract.ended", END, HUB_B)
    assert set(desk.records.under("blob")) == {f"blob/{sha(PROGRAM)}"}


def test_a_public_key_stays_while_another_contract_of_its_job_runs() -> None:
    desk = Desk().open()
    other = structs.replace(session_of(desk), subtask=derive_id("subtask", "another"))
    desk.records.put(f"session/{other.subtask}", other)
    desk.handle("contract.ended", END, HUB_B)
    assert f"blob/{sha(PUBLIC_KEY)}" in desk.records.under("blob")


@pytest.mark.parametrize("session", [True, False], ids=["with-its-session", "without"])
def test_a_batch_that_comes_after_the_end_is_answered_and_not_computed(session: bool) -> None:
    desk = Desk().open()
    if session:
        desk.now = CONTRACT.ends_at
    else:
        desk.handle("contract.ended", END, HUB_B)
    assert desk.batch().performed == []
    failed = desk.data("batch.failed")
    assert (failed["code"], failed["final"]) == ("contract-ended", False)


def test_the_renter_of_an_ended_contract_is_known_without_a_session() -> None:
    desk = Desk().open().handle("contract.ended", END, HUB_B)
    event = desk.event("batch.dispatched", None, RENTER, subject=BATCH.job, attributes=batch_attributes(BATCH))
    assert desk.machine.key_of(desk.records, event) == CONTRACT.renter_key


def test_terms_that_come_after_the_lease_end_the_session_at_once() -> None:
    desk = Desk().announce()
    desk.now = CONTRACT.ends_at
    desk.assign()
    assert desk.phase == "gone"
    assert desk.params("resolve")["code"] == "contract-ended"
    assert desk.batch().sent == ["batch.failed"]


def test_an_ended_contract_cannot_be_announced_again() -> None:
    desk = Desk().open().handle("contract.ended", END, HUB_B)
    with pytest.raises(Refused) as refused:
        desk.handle("subtask.announced", SubtaskAnnounced(terms=terms(contract=CONTRACT)))
    assert refused.value.code == "contract-ended"


def test_the_other_workers_of_the_lessor_are_told_on_their_lanes_once() -> None:
    desk = Desk().open().handle("contract.ended", END, HUB_B)
    lanes = told(desk)
    assert len(lanes) == desk.machine.worker.config.lanes - 1
    assert LANE not in lanes
    assert told(desk.handle("contract.ended", END, HUB_B)) == []


def test_a_worker_that_was_told_computes_nothing_more_and_tells_nobody() -> None:
    news = first_news(Desk().open().handle("contract.ended", END, HUB_B))
    desk = Desk().open().handle("contract.closed", news, LESSOR)
    assert (desk.phase, told(desk)) == ("gone", [])
    assert desk.batch().sent == ["batch.failed"]


def test_ended_contracts_are_remembered_for_as_long_as_they_could_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk().open().handle("contract.ended", END, HUB_B)
    desk.now = CONTRACT.ends_at + LEASE_SECONDS_MAX - 1
    assert f"closed/{CONTRACT.id}" in desk.timer("sweep").records
    desk.now += 2
    assert f"closed/{CONTRACT.id}" not in desk.timer("sweep").records
    monkeypatch.setattr(closing, "CLOSED_MAX", 2)
    for number in range(4):
        desk.records.put(f"closed/{number}", Closed(until=desk.now + number))
    desk.timer("sweep")
    assert [key for key in sorted(desk.records) if key.startswith("closed/")] == ["closed/2", "closed/3"]


def test_work_under_a_contract_whose_end_was_never_heard_of_is_forgotten_too() -> None:
    desk = worked(batches=1, seconds=1)
    desk.now += 2 * LEASE_SECONDS_MAX
    assert f"work/{CONTRACT.id}" in desk.timer("sweep").records
    desk.now += 2
    assert f"work/{CONTRACT.id}" not in desk.timer("sweep").records


# ---------------------------------------------------------------- receipts


def test_a_receipt_comes_after_the_lease_too() -> None:
    desk = Desk().open()
    desk.now = CONTRACT.ends_at + 100
    assert "receipt.countersigned" in complete(desk, receipt(ended_at=NOW + LEASE)).sent


def test_the_same_receipt_gets_the_same_signature_and_another_none() -> None:
    desk = complete(Desk().open(), receipt())
    first = desk.data("receipt.countersigned")
    assert complete(desk, receipt()).data("receipt.countersigned") == first
    with pytest.raises(Refused) as refused:
        complete(desk, receipt(ended_at=NOW + 2))
    assert refused.value.code == "second-receipt"


def test_a_receipt_that_another_worker_countersigned_counts_here_too() -> None:
    news = first_news(complete(Desk().open(), receipt()))
    desk = Desk().open().handle("contract.closed", news, LESSOR)
    with pytest.raises(Refused) as refused:
        complete(desk, receipt(ended_at=NOW + 2))
    assert refused.value.code == "second-receipt"


@pytest.mark.parametrize(
    ("code", "of"),
    [
        ("receipt-too-small", {"cost_micros": 0}),
        ("receipt-too-small", {"rows": 0, "batches": 0, "ended_at": NOW}),
        ("receipt-too-small", {"ended_at": NOW + 27}),
        ("receipt-too-small", {"ended_at": NOW + 30, "batches": 20 - BATCH_WINDOW - 1}),
        ("receipt-too-large", {"ended_at": NOW + LEASE + 2}),
        ("receipt-too-large", {"ended_at": NOW + 30, "batches": 20, "cost_micros": 10**6}),
        ("bad-receipt", {"job": derive_id("job", 9)}),
        ("bad-receipt", {"subtask": derive_id("subtask", 9)}),
    ],
)
def test_a_receipt_that_does_not_fit_is_not_countersigned(code: str, of: dict[str, Any]) -> None:
    desk = worked(batches=20, seconds=30)
    with pytest.raises(Refused) as refused:
        complete(desk, receipt(**of))
    assert refused.value.code == code
    assert desk.phase == "open"


@pytest.mark.parametrize("of", [{"ended_at": NOW + 30, "batches": 20}, {"ended_at": NOW + 40, "batches": 16}])
def test_a_receipt_that_fits_is(of: dict[str, Any]) -> None:
    assert "receipt.countersigned" in complete(worked(batches=20, seconds=30), receipt(**of)).sent


def test_receipts_come_to_an_end() -> None:
    desk = Desk().open()
    desk.now = CONTRACT.ends_at + LEASE_SECONDS_MAX + 1
    with pytest.raises(Refused) as refused:
        complete(desk, receipt())
    assert refused.value.code == "late-receipt"


def test_each_batch_of_a_round_counts_once_however_often_it_is_computed() -> None:
    desk = Desk().open()
    for number, round_ in ((0, 1), (1, 1), (0, 1), (0, 2), (0, 2)):
        desk.now += 2
        batch = structs.replace(BATCH, batch=number, round=round_)
        desk.inside("batch.returned", BatchReturned(batch=batch, seconds=1.0))
    work = desk.records[f"work/{CONTRACT.id}"]
    assert isinstance(work, Work)
    assert (work.batches, work.began_at, work.ended_at) == (3, NOW + 1, NOW + 10)
