"""The renter's machine while a job runs: windows, late results, silence, failures and replacements."""

from __future__ import annotations

import pytest
from msgspec import structs

from nodes.machine import Publish, Refused
from nodes.renter.protocol.outcomes import ResultRefused
from nodes.renter.protocol.records import BatchRecord
from schemas.events import ContractsCompleted, JobCancelled, SubtaskRequested
from schemas.ids import derive_id, hub_address
from schemas.limits import BATCH_ATTEMPTS_MAX
from tests.unit.nodes.renter.protocol.world import (
    DEADLINE,
    JOB,
    ONE,
    SUBTASKS,
    TWO,
    World,
    failed,
    fill_window,
    started,
)


def test_each_result_makes_room_for_the_next_batch() -> None:
    world = started()
    world.result(0, ONE)
    assert world.dispatched() == [(2, ONE, 1)]
    assert (world.progress.batches_done, world.progress.rows_done) == (1, 10)


def test_an_equal_duplicate_is_ignored_and_an_unequal_one_is_an_incident() -> None:
    world = started()
    world.result(0, ONE, "aa")
    assert world.result(0, ONE, "aa").effects == ()
    world.result(0, ONE, "bb")
    assert world.notes() == ["incident"]
    assert world.progress.batches_done == 1


def test_a_lessor_is_silent_only_after_its_deadline() -> None:
    world = started()
    world.silence(ONE)
    assert world.subtask(ONE).phase == "running"
    world.now += DEADLINE
    world.silence(ONE)
    assert world.subtask(ONE).phase == "lost"
    assert world.published() == ["contract.ended"]


def test_encrypting_does_not_count_as_the_lessors_silence() -> None:
    world = World({ONE: ((0, 4),)}, 4)
    fill_window(world, ONE)
    world.now += 10 * DEADLINE
    world.silence(ONE)
    assert world.subtask(ONE).phase == "running"


def test_a_lost_lessors_batches_go_to_the_other_as_new_attempts() -> None:
    world = started(second=((4, 5),))
    world.now += 2 * DEADLINE
    world.silence(ONE)
    assert world.dispatched() == [(0, TWO, 2)]
    world.result(4, TWO)
    assert world.dispatched() == [(1, TWO, 2)]
    assert world.job.avoid == (ONE,)


def test_a_late_result_of_a_lost_lessor_counts_and_frees_the_new_owners_window() -> None:
    world = started(second=((4, 5),))
    world.now += 2 * DEADLINE
    world.silence(ONE)
    world.result(0, ONE, "late")
    assert world.progress.batches_done == 1
    assert world.dispatched() == [(1, TWO, 2)]
    assert world.result(0, TWO, "late", attempt=2).effects == ()


def test_every_batch_is_done_once_though_one_lessor_dies() -> None:
    world = started()
    world.now += 2 * DEADLINE
    world.silence(ONE)
    for _ in range(40):
        under_way = world.subtask(TWO).under_way
        if not under_way:
            break
        world.result(under_way[0], TWO)
    assert world.progress.phase == "assembling"
    assert world.progress.batches_done == 8
    assert world.progress.rows_done == 80
    done = [record for record in world.records.values() if isinstance(record, BatchRecord) and record.digest]
    assert sorted(record.number for record in done) == list(range(8))


def test_a_batch_that_failed_by_accident_is_tried_at_the_other_lessor() -> None:
    world = started(second=((4, 5),))
    world.handle("batch.failed", failed(ONE, 0, final=False), source=ONE)
    assert world.dispatched() == [(0, TWO, 2), (2, ONE, 1)]


def test_a_batch_that_fails_at_two_lessors_for_good_ends_the_job() -> None:
    world = started(second=((4, 5),))
    world.handle("batch.failed", failed(ONE, 0, final=True), source=ONE)
    assert world.progress.phase == "running"
    assert world.dispatched() == [(0, TWO, 2), (2, ONE, 1)]
    world.handle("batch.failed", failed(TWO, 0, final=True), source=TWO)
    assert (world.progress.phase, world.job.code) == ("failed", "enclave-memory")
    assert sorted(world.published()) == ["contract.ended"] * 2 + ["subtask.completed"] * 2


def test_attempts_that_the_end_of_a_lease_cut_off_do_not_count_as_failures() -> None:
    world = started(second=((4, 5),))
    record = world.records["batch/0"]
    assert isinstance(record, BatchRecord)
    world.records["batch/0"] = structs.replace(record, attempt=BATCH_ATTEMPTS_MAX + 1, excused=2)
    world.handle("batch.failed", failed(ONE, 0, final=False), source=ONE)
    assert (world.progress.phase, world.dispatched()[0][:2]) == ("running", (0, TWO))


def test_another_lessor_may_not_report_failures_for_a_subtask() -> None:
    world = started()
    with pytest.raises(Refused) as refused:
        world.handle("batch.failed", failed(ONE, 0, final=True), source=TWO)
    assert refused.value.code == "not-the-lessor"


def test_a_result_that_does_not_verify_loses_its_lessor() -> None:
    world = started()
    refused = ResultRefused(batch=0, attempt=1, owner=SUBTASKS[ONE], code="commitment", reason="another key")
    world.handle("result.refused", refused)
    assert world.subtask(ONE).phase == "lost"
    assert world.notes() == ["incident", "subtask-lost"]


def test_without_any_lessor_left_a_replacement_is_ordered_that_avoids_them() -> None:
    world = started()
    world.now += 2 * DEADLINE
    world.silence(ONE)
    world.all_sent()
    world.now += 2 * DEADLINE
    world.silence(TWO)
    orders = [
        effect for effect in world.step.effects if isinstance(effect, Publish) and effect.type == "order.buy.placed"
    ]
    assert [tuple(effect.data["avoid"]) for effect in orders] == [(ONE, TWO)]
    assert sorted(n for first, end in world.progress.waiting for n in range(first, end)) == list(range(8))


def test_news_of_contracts_that_comes_again_starts_nothing_anew() -> None:
    """A subtask that was made again would forget what is under way."""
    world = started()
    contracts = tuple(derive_id("contract", lessor) for lessor in (ONE, TWO))
    again = ContractsCompleted(order=world.job.order, job=JOB, contracts=contracts)
    before = [world.subtask(lessor) for lessor in (ONE, TWO)]
    world.handle("order.buy.matched", again, source=hub_address("A11"))
    assert [world.subtask(lessor) for lessor in (ONE, TWO)] == before
    assert world.dispatched() == []
    assert world.published() == []


def test_a_cancelled_job_ends_its_contracts() -> None:
    world = started()
    world.handle("job.cancelled", JobCancelled(job=JOB))
    assert (world.progress.phase, world.job.code) == ("failed", "cancelled")
    assert sorted(world.published()) == ["contract.ended"] * 2 + ["subtask.completed"] * 2
    assert world.result(0, ONE).effects == () or world.notes() == ["late"]


def test_a_worker_that_asks_for_a_subtask_of_an_ended_job_is_told_so() -> None:
    world = started()
    world.handle("job.cancelled", JobCancelled(job=JOB))
    asked = SubtaskRequested(job=JOB, subtask=SUBTASKS[ONE], worker=derive_id("worker", 1), lane="w1")
    world.handle("subtask.requested", asked, source=ONE)
    refused = [effect for effect in world.step.effects if isinstance(effect, Publish)]
    assert [(effect.type, effect.to, effect.lane) for effect in refused] == [("subtask.refused", ONE, "w1")]
