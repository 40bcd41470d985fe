"""A worker's open session: its batches, its receipt and its end."""

from __future__ import annotations

import pytest
from msgspec import structs

from nodes.lessor.protocol.records import BatchUnfit
from nodes.lessor.protocol.serving import IDLE_SECONDS_MAX
from nodes.machine import Perform, SetTimer
from schemas.events import BatchFailed, SubtaskCompleted
from tests.unit.nodes.lessor.protocol.desk import BATCH, NOW, SUBTASK, Desk, receipt, rented, session_of, terms
from tests.unit.nodes.lessor.rentals import RENTER


def test_a_batch_of_an_open_session_is_computed() -> None:
    desk = Desk().open().batch()
    assert desk.params("compute") == {"subtask": SUBTASK, "batch": BATCH, "partner": None}


def test_a_batch_without_a_result_is_told_and_an_ended_enclave_closes_its_session() -> None:
    failed = BatchFailed(batch=BATCH, code="ciphertext-length", reason="short", final=False)
    desk = Desk().open().inside("batch.unfit", BatchUnfit(renter=RENTER, failed=failed))
    assert (desk.phase, desk.sent) == ("open", ["batch.failed"])
    ended = structs.replace(failed, code="enclave-cpu", final=True)
    desk.inside("batch.unfit", BatchUnfit(renter=RENTER, failed=ended))
    assert (desk.phase, desk.sent, desk.performed) == ("gone", ["batch.failed"], ["close"])


def test_the_renters_receipt_is_countersigned_and_the_session_closed() -> None:
    desk = Desk().open().handle("subtask.completed", SubtaskCompleted(contract=rented(), receipt=receipt()))
    assert (desk.phase, desk.sent[-2:]) == ("gone", ["receipt.countersigned", "contract.settled"])


def test_a_receipt_is_kept_before_the_renter_has_it() -> None:
    desk = Desk().open().handle("subtask.completed", SubtaskCompleted(contract=rented(), receipt=receipt()))
    done = [each.activity if isinstance(each, Perform) else getattr(each, "type", "") for each in desk.did]
    assert done.index("keep-receipt") < done.index("receipt.countersigned")


@pytest.mark.parametrize(("seconds", "phase"), [(IDLE_SECONDS_MAX - 1, "open"), (IDLE_SECONDS_MAX + 1, "gone")])
def test_a_session_without_batches_is_swept_away(seconds: float, phase: str) -> None:
    lasting = rented(ends_at=NOW + 1000)
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(session_of(desk), terms=terms(contract=lasting)))
    desk.now += seconds
    assert desk.timer("sweep").phase == phase
    assert any(isinstance(each, SetTimer) and each.name == "sweep" for each in desk.did)


def test_a_batch_keeps_its_session_from_being_swept_away() -> None:
    lasting = rented(ends_at=NOW + 1000)
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(session_of(desk), terms=terms(contract=lasting)))
    desk.now += IDLE_SECONDS_MAX
    desk.batch().now += IDLE_SECONDS_MAX
    assert desk.timer("sweep").phase == "open"


def test_a_session_of_a_joint_job_rests_between_rounds() -> None:
    resting = terms("sealed-result", contract=rented("sealed-result", ends_at=NOW + 1000), partner="C11.C12")
    desk = Desk().open()
    desk.records.put(f"session/{SUBTASK}", structs.replace(session_of(desk), terms=resting))
    assert desk.batch().params("compute")["partner"] == "C11.C12"
    desk.now += IDLE_SECONDS_MAX + 1
    assert desk.timer("sweep").phase == "open"
    desk.now = NOW + 1000
    assert desk.timer("sweep").phase == "gone"


def test_a_session_whose_contract_is_over_is_swept_away() -> None:
    desk = Desk().open()
    desk.now = rented().ends_at
    assert (desk.timer("sweep").phase, "close" in desk.performed) == ("gone", True)
