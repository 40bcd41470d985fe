"""The renter's machine while a job runs: windows, late results, silence, failures and replacements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Struct

from nodes.identity import Identity, verify
from nodes.machine import TIMER_FIRED, Context, Note, Perform, Publish, Refused, Step, TimerFired
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.records import (
    BatchRecord,
    BatchSent,
    ContractRecord,
    Facts,
    Job,
    Part,
    ResultAccepted,
    ResultRefused,
    Subtask,
)
from schemas.contracts import Contract
from schemas.events import BatchFailed, Event, JobCancelled, SubtaskRequested
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import Assessment, Batch, Costs, JobSpec
from schemas.orders import BuyOrder, SellOrder

START = 1_800_000_000.0
ME, ONE, TWO = address("A11", "A12"), address("B11", "B12"), address("B11", "B13")
JOB = derive_id("job", 1)
IDENTITY = Identity.from_seed(ME, b"\x07" * 32)
WINDOW, DEADLINE = 2, 10.0
SUBTASKS = {ONE: derive_id("subtask", ONE), TWO: derive_id("subtask", TWO)}


class World:
    """One job's records, a clock, and everything that the machine asked for."""

    def __init__(self, queues: Mapping[Address, tuple[tuple[int, int], ...]], batches: int) -> None:
        config = RenterConfig(
            me=ME, key=IDENTITY.public, batch_deadline_seconds=DEADLINE, batch_window=WINDOW, handshake_seconds_max=5.0
        )
        self.machine = RenterMachine(config)
        self.now = START
        self.records: dict[str, Struct] = {"job": job(batches)}
        self.step = Step()
        for lessor, queue in queues.items():
            contract = derive_id("contract", lessor)
            self.records[f"contract/{contract}"] = ContractRecord(contract=contract_with(lessor), order="")
            subtask = Subtask(
                id=SUBTASKS[lessor],
                contract=contract,
                lessor=lessor,
                phase="running",
                queue=queue,
                started_at=START,
                heard_at=START,
            )
            self.records[f"subtask/{subtask.id}"] = subtask

    def handle(self, event_type: str, data: Struct, source: Address = ME) -> Step:
        """Handle one event and keep what changed; handling it twice gives the same."""
        event = Event(f"event-{self.now}-{event_type}", event_type, source, ME, self.now, JOB, data)
        context = Context(ME, self.now, b"\0" * 32, event.id, IDENTITY.sign, verify)
        before = dict(self.records)
        self.step = self.machine.handle(self.records, event, context)
        assert self.machine.handle(self.records, event, context) == self.step
        assert self.records == before
        self.records |= self.step.put
        self.now += 0.25
        return self.step

    def result(self, batch: int, lessor: Address, digest: str = "aa", attempt: int = 1) -> Step:
        accepted = ResultAccepted(batch=batch, attempt=attempt, owner=SUBTASKS[lessor], digest=digest)
        return self.handle("result.accepted", accepted)

    def silence(self, lessor: Address) -> Step:
        return self.handle(TIMER_FIRED, TimerFired(name=f"silent/{SUBTASKS[lessor]}", at=self.now))

    def all_sent(self) -> None:
        """The broker confirmed everything that was dispatched."""
        for record in list(self.records.values()):
            if isinstance(record, BatchRecord) and not record.digest:
                sent = BatchSent(batch=record.number, attempt=record.attempt, bytes_sent=1, encrypt_seconds=0.0)
                self.handle("batch.sent", sent)

    def dispatched(self) -> list[tuple[int, Address, int]]:
        """(batch, lessor, attempt) of what the last step sends out."""
        performs = [effect for effect in self.step.effects if isinstance(effect, Perform)]
        params = [effect.params for effect in performs if effect.activity == "dispatch"]
        return [(each["batch"]["batch"], Address(each["lessor"]), each["batch"]["attempt"]) for each in params]

    def published(self) -> list[str]:
        return [effect.type for effect in self.step.effects if isinstance(effect, Publish)]

    def notes(self) -> list[str]:
        return [effect.kind for effect in self.step.effects if isinstance(effect, Note)]

    @property
    def job(self) -> Job:
        record = self.records["job"]
        assert isinstance(record, Job)
        return record

    def subtask(self, lessor: Address) -> Subtask:
        record = self.records[f"subtask/{SUBTASKS[lessor]}"]
        assert isinstance(record, Subtask)
        return record


def job(batches: int) -> Job:
    digest = "0" * 64
    facts = Facts(
        rows=batches * 10,
        columns=("x",),
        width_in=1,
        width_out=1,
        sum_rows=False,
    )
    assessment = Assessment(
        asked="enclave",
        chosen="enclave",
        scheme=None,
        noise=None,
        rows=1,
        columns=1,
        cores=1,
        free_cores=1.0,
        encrypt_seconds=0.0,
        encrypt_seconds_max=1.0,
        decrypt_seconds_max=None,
        max_error=1.0,
        costs=Costs(encrypt_seconds=2.0, lessor_seconds=0.0, decrypt_seconds=1.0),
        candidates=(),
        reason="",
    )
    return Job(
        spec=JobSpec(id=JOB, data=digest, program=digest, match_seconds=5.0),
        phase="running",
        submitted_at=START,
        facts=facts,
        assessment=assessment,
        order="order-000000000000000000000001",
        orders_placed=1,
        expected_contracts=("contract",),
        batch_rows=10,
        batches=batches,
        parts=(Part(owner="all", first_batch=0, batches=batches, first_row=0, rows=batches * 10),),
    )


def contract_with(lessor: Address) -> Contract:
    sell = SellOrder(
        id=derive_id("sell", lessor),
        lessor=lessor,
        units=1,
        price_micros=3600,
        protections=("enclave",),
        expires_at=START + 60,
    )
    buy = BuyOrder(
        id=derive_id("order", 1),
        renter=ME,
        job=JOB,
        units=1,
        price_micros_max=3600,
        protection="enclave",
        lease_seconds=60.0,
        match_by=START,
    )
    return Contract(
        id=derive_id("contract", lessor),
        buy=buy,
        sell=sell,
        renter_key=IDENTITY.public,
        lessor_key=b"\0" * 32,
        renter_hub=hub_address("A11"),
        lessor_hub=hub_address("B11"),
        protection="enclave",
        units=1,
        price_micros=3600,
        starts_at=START,
        ends_at=START + 60,
    )


def started(first: tuple[tuple[int, int], ...] = ((0, 4),), second: tuple[tuple[int, int], ...] = ((4, 8),)) -> World:
    """Two lessors whose windows are full and sent."""
    world = World({ONE: first, TWO: second}, 8)
    for lessor, queue in ((ONE, first), (TWO, second)):
        if queue:
            fill_window(world, lessor)
    world.all_sent()
    return world


def fill_window(world: World, lessor: Address) -> None:
    """The lessor's window as the job's start fills it."""
    subtask = world.subtask(lessor)
    (first, end), *rest = subtask.queue
    under_way = tuple(range(first, min(first + WINDOW, end)))
    queue = ((first + len(under_way), end), *rest) if first + len(under_way) < end else tuple(rest)
    for number in under_way:
        record = BatchRecord(number=number, first_row=number * 10, rows=10, owner=subtask.id, attempt=1)
        world.records[f"batch/{number}"] = record
    changed = {"queue": queue, "under_way": under_way}
    world.records[f"subtask/{subtask.id}"] = Subtask(**{**as_dict(subtask), **changed})


def as_dict(record: Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_each_result_makes_room_for_the_next_batch() -> None:
    world = started()
    world.result(0, ONE)
    assert world.dispatched() == [(2, ONE, 1)]
    assert (world.job.batches_done, world.job.rows_done) == (1, 10)


def test_an_equal_duplicate_is_ignored_and_an_unequal_one_is_an_incident() -> None:
    world = started()
    world.result(0, ONE, "aa")
    assert world.result(0, ONE, "aa").effects == ()
    world.result(0, ONE, "bb")
    assert world.notes() == ["incident"]
    assert world.job.batches_done == 1


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
    assert world.job.batches_done == 1
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
    assert world.job.phase == "assembling"
    assert world.job.batches_done == 8
    assert world.job.rows_done == 80
    done = [record for record in world.records.values() if isinstance(record, BatchRecord) and record.digest]
    assert sorted(record.number for record in done) == list(range(8))


def test_a_batch_that_failed_by_accident_is_tried_at_the_other_lessor() -> None:
    world = started(second=((4, 5),))
    world.handle("batch.failed", failed(ONE, 0, final=False), source=ONE)
    assert world.dispatched() == [(0, TWO, 2), (2, ONE, 1)]


def test_a_batch_that_fails_everywhere_ends_the_job() -> None:
    world = started()
    world.handle("batch.failed", failed(ONE, 0, final=True), source=ONE)
    assert (world.job.phase, world.job.code) == ("failed", "enclave-memory")
    assert world.published() == ["contract.ended", "contract.ended"]


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
    assert sorted(world.job.waiting) == list(range(8))


def test_a_cancelled_job_ends_its_contracts() -> None:
    world = started()
    world.handle("job.cancelled", JobCancelled(job=JOB))
    assert (world.job.phase, world.job.code) == ("failed", "cancelled")
    assert world.published() == ["contract.ended", "contract.ended"]
    assert world.result(0, ONE).effects == () or world.notes() == ["late"]


def test_a_worker_that_asks_for_a_subtask_of_an_ended_job_is_told_so() -> None:
    world = started()
    world.handle("job.cancelled", JobCancelled(job=JOB))
    asked = SubtaskRequested(job=JOB, subtask=SUBTASKS[ONE], worker=derive_id("worker", 1), lane="w1")
    world.handle("subtask.requested", asked, source=ONE)
    refused = [effect for effect in world.step.effects if isinstance(effect, Publish)]
    assert [(effect.type, effect.to, effect.lane) for effect in refused] == [("subtask.refused", ONE, "w1")]


def failed(lessor: Address, number: int, *, final: bool) -> BatchFailed:
    batch = Batch(
        job=JOB,
        subtask=SUBTASKS[lessor],
        contract=derive_id("contract", lessor),
        batch=number,
        attempt=1,
        first_row=number * 10,
        rows=10,
    )
    return BatchFailed(batch=batch, code="enclave-memory", reason="out of memory", final=final)
