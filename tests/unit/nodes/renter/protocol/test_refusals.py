"""What the renter's machine refuses, and how jobs end that cannot go on: code, message, and what stays unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import Struct, structs

from nodes.identity import Identity
from nodes.machine import TIMER_FIRED, ActivityFailed, Publish, Refused, Step, TimerFired
from nodes.renter.protocol.market import REPLACEMENTS_PER_JOB_MAX
from nodes.renter.protocol.outcomes import JobPrepared, JobSpoiled, ResultAccepted
from nodes.renter.protocol.records import ContractRecord, Facts, Progress
from nodes.renter.protocol.states import JobPhase
from schemas import limits
from schemas.contracts import Contract, Receipt
from schemas.events import (
    BuyOrderRefused,
    ContractsCompleted,
    ContractSigned,
    JobCancelled,
    JobSubmitted,
    KeyOffered,
    ReceiptCountersigned,
    SubtaskRequested,
)
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import JobSpec
from schemas.signing import struct_bytes
from tests.unit.nodes.renter.protocol.world import (
    DEADLINE,
    IDENTITY,
    JOB,
    ME,
    ONE,
    PROGRAM,
    START,
    SUBTASKS,
    TWO,
    World,
    contract_with,
    failed,
    job,
    started,
)

OTHER_JOB, STRANGER = derive_id("job", 2), address("C11", "C12")
HUB = hub_address("A11")
HUBS: dict[str, Identity] = {
    each: Identity.from_seed(each, bytes([9 + n]) * 32) for n, each in enumerate((HUB, hub_address("B11")))
}
LESSOR = Identity.from_seed(ONE, b"\x11" * 32)
WORKER = derive_id("worker", 1)


def receipt(**changes: Any) -> ReceiptCountersigned:
    unsigned = Receipt(
        contract=derive_id("contract", ONE),
        job=JOB,
        subtask=SUBTASKS[ONE],
        rows=1,
        batches=1,
        started_at=0.0,
        ended_at=1.0,
        cost_micros=1,
    )
    mine = structs.replace(unsigned, renter_signature=IDENTITY.sign(struct_bytes(unsigned)))
    return ReceiptCountersigned(receipt=structs.replace(mine, **changes))


def signed_contract(**changes: Any) -> Contract:
    """As the hubs sign it, with these times; other changes are made afterwards."""
    known = contract_with(ONE)
    buy = structs.replace(known.buy, signature=IDENTITY.sign(struct_bytes(known.buy)))
    sell = structs.replace(known.sell, signature=LESSOR.sign(struct_bytes(known.sell)))
    times = {name: changes.pop(name) for name in ("starts_at", "ends_at") if name in changes}
    contract = structs.replace(known, buy=buy, sell=sell, lessor_key=LESSOR.public, **times)
    signature = {
        "renter_hub_signature": HUBS[contract.renter_hub].sign(struct_bytes(contract)),
        "lessor_hub_signature": HUBS[contract.lessor_hub].sign(struct_bytes(contract)),
    }
    return structs.replace(contract, **(signature | changes))


def offer(subtask: str = SUBTASKS[ONE]) -> KeyOffered:
    return KeyOffered(job=JOB, subtask=subtask, worker=WORKER, lane="w1", evidence=b"")


def asked(subtask: str) -> SubtaskRequested:
    return SubtaskRequested(job=JOB, subtask=subtask, worker=WORKER, lane="w1")


def accepted(batch: int) -> ResultAccepted:
    return ResultAccepted(batch=batch, attempt=1, owner=SUBTASKS[ONE], digest="aa")


SPEC = JobSpec(id=JOB, data="0" * 64, program="0" * 64)


@dataclass(frozen=True)
class Case:
    """An event that is refused."""

    code: str
    says: str
    event: str
    data: Struct
    source: Address = ME
    phase: str = "running"


REFUSED = [
    Case("unknown-job", "not here", "job.cancelled", JobCancelled(job=OTHER_JOB), phase="new"),
    Case("unknown-job", "not here", "result.accepted", accepted(0), phase="new"),
    Case("not-a-user", "own identity", "job.submitted", JobSubmitted(spec=SPEC), STRANGER, "new"),
    Case("wrong-data", "batch.sent", "batch.sent", accepted(0)),
    Case("unknown-batch", "batch 99 was never sent", "result.accepted", accepted(99)),
    Case("unknown-subtask", "no subtask subtask-x", "subtask.requested", asked("subtask-x"), ONE),
    Case("not-the-lessor", "does not serve", "subtask.requested", asked(SUBTASKS[ONE]), TWO),
    Case("not-the-lessor", "does not serve", "batch.failed", failed(ONE, 0, final=True), TWO),
    Case("unknown-worker", "never asked", "key.offered", offer(), ONE),
    Case("unknown-contract", "contract-x", "receipt.countersigned", receipt(contract="contract-x"), ONE, "completed"),
    Case("bad-receipt", "did not write", "receipt.countersigned", receipt(), TWO, "completed"),
    Case("bad-receipt", "did not write", "receipt.countersigned", receipt(rows=10**6), ONE, "completed"),
    Case("bad-signature", "did not sign its receipt", "receipt.countersigned", receipt(), ONE, "completed"),
    Case(
        "not-my-contract",
        "does not rent for",
        "contract.signed",
        ContractSigned(contract=signed_contract(renter_key=b"\1" * 32)),
        HUB,
    ),
    Case(
        "lessor-hub-signature",
        "does not verify",
        "contract.signed",
        ContractSigned(contract=signed_contract(lessor_hub_signature=b"\0" * 64)),
        HUB,
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.code}-{case.event}")
def test_what_cannot_be_meant_is_refused_and_changes_nothing(case: Case) -> None:
    world = started()
    set_hub_keys(world)
    if case.phase == "new":
        del world.records["job"], world.records["progress"]
    else:
        world.records["progress"] = Progress(phase=case.phase)  # type: ignore[arg-type]
    before = dict(world.records)
    with pytest.raises(Refused) as refused:
        world.handle(case.event, case.data, case.source)
    assert refused.value.code == case.code
    assert case.says in refused.value.reason
    assert world.records == before


def set_hub_keys(world: World) -> None:
    keys = {str(name): identity.public for name, identity in HUBS.items()}
    world.machine.config = replace(world.machine.config, hub_keys=keys)


def test_a_contract_that_verifies_counts() -> None:
    world = World({}, 4)
    set_hub_keys(world)
    contract = signed_contract()
    world.records["job"] = structs.replace(job(4), order=contract.buy.id, expected_contracts=(), parts=(), batches=0)
    world.records["progress"] = Progress(phase="ordering")
    world.handle("contract.signed", ContractSigned(contract=contract), HUB)
    assert world.records[f"contract/{contract.id}"] == ContractRecord(contract=contract, order=contract.buy.id)


@pytest.mark.parametrize("phase", ["ordering", "running"])
def test_a_contract_that_began_before_its_order_is_given_back_and_a_job_that_waits_for_it_ends(phase: JobPhase) -> None:
    world = World({}, 4)
    set_hub_keys(world)
    old = signed_contract(starts_at=START - 31, ends_at=START + 29)
    world.records["job"] = structs.replace(job(4), order=old.buy.id, expected_contracts=(), parts=(), batches=0)
    world.records["progress"] = Progress(phase=phase)
    ended = [each for each in effects_of(world, old) if each.type == "contract.ended"]
    assert [(each.data["contract"], each.data["code"]) for each in ended] == [(old.id, "backdated")]
    assert "set it and A11.hub's" in ended[0].data["reason"]
    assert world.records["progress"].phase == ("failed" if phase == "ordering" else phase)  # type: ignore[attr-defined]


def test_a_contract_of_another_order_is_given_back() -> None:
    world = World({}, 4)
    set_hub_keys(world)
    old = signed_contract(starts_at=START - 31, ends_at=START + 29)
    world.records["job"] = structs.replace(job(4), order="another", expected_contracts=(), parts=(), batches=0)
    world.records["progress"] = Progress(phase="ordering")
    assert "contract.ended" in [each.type for each in effects_of(world, old)]


def effects_of(world: World, contract: Contract) -> list[Publish]:
    step = world.handle("contract.signed", ContractSigned(contract=contract), HUB)
    return [each for each in step.effects if isinstance(each, Publish)]


# ---------------------------------------------------------------- jobs that end without a result


def match_timer(world: World) -> Step:
    world.records["job"] = structs.replace(world.job, expected_contracts=())
    return world.handle(TIMER_FIRED, TimerFired(name="match", at=world.now))


def fail_until_given_up(world: World) -> Step:
    world.now += 2 * DEADLINE
    world.silence(TWO)
    while world.progress.phase == "running":
        world.handle("batch.failed", failed(ONE, 0, final=False), source=ONE)
    return world.step


def fail_for_good(world: World) -> Step:
    world.handle("batch.failed", failed(ONE, 0, final=True), source=ONE)
    world.result(4, TWO)
    return world.handle("batch.failed", failed(TWO, 0, final=True), source=TWO)


def lose_all(world: World) -> Step:
    world.records["job"] = structs.replace(world.job, replacements=REPLACEMENTS_PER_JOB_MAX)
    for lessor in (ONE, TWO):
        world.all_sent()
        world.now += 2 * DEADLINE
        world.silence(lessor)
    return world.step


def too_many_batches(world: World) -> Step:
    contract = contract_with(ONE)
    spec = structs.replace(world.job.spec, batch_rows=1)
    known = structs.replace(world.job.decided[0], rows=10**6)
    world.records = {
        "job": structs.replace(
            world.job, spec=spec, facts=known, order=contract.buy.id, expected_contracts=(), parts=(), batches=0
        ),
        "progress": Progress(phase="ordering"),
        f"contract/{contract.id}": ContractRecord(contract=contract, order=contract.buy.id),
    }
    matched = ContractsCompleted(order=contract.buy.id, job=JOB, contracts=(contract.id,))
    return world.handle("order.buy.matched", matched, HUB)


def no_match(world: World) -> Step:
    refused = BuyOrderRefused(order=world.job.order, job=JOB, code="no-match", reason="nothing offered")
    return world.handle("order.buy.refused", refused, HUB)


def no_protection(world: World) -> Step:
    world.records["progress"] = Progress(phase="preparing")
    known = Facts(rows=1, width_in=1, width_out=1, sum_rows=False, program=PROGRAM, no_enclave="no kind is accepted")
    return world.handle("job.prepared", JobPrepared(facts=known))


ENDINGS: list[tuple[str, str, Callable[[World], Step]]] = [
    ("cancelled", "took the job back", lambda w: w.handle("job.cancelled", JobCancelled(job=JOB))),
    ("hub-silent", "did not answer the buy order", match_timer),
    ("too-many-attempts", f"batch 0 failed {limits.BATCH_ATTEMPTS_MAX} times", fail_until_given_up),
    ("no-lessor-left", "every lessor was lost", lose_all),
    ("bad-split", "more than 100000 batches", too_many_batches),
    ("no-match", "nothing offered", no_match),
    ("no-enclave", "no kind is accepted", no_protection),
    (
        "activity-failed",
        "dispatch: OSError",
        lambda w: w.handle("activity.failed", ActivityFailed(activity="dispatch", params={}, error="OSError")),
    ),
    (
        "bad-data",
        "the file has changed",
        lambda w: w.handle("job.spoiled", JobSpoiled(code="bad-data", reason="the file has changed")),
    ),
    (
        "enclave-memory",
        "batch 0 cannot be computed",
        fail_for_good,
    ),
]


@pytest.mark.parametrize(("code", "says", "happens"), ENDINGS, ids=[each[0] for each in ENDINGS])
def test_what_cannot_be_mended_ends_the_job_with_its_cause(
    code: str, says: str, happens: Callable[[World], Step]
) -> None:
    world = started()
    step = happens(world)
    assert (world.progress.phase, world.job.code) == ("failed", code)
    assert says in world.job.reason
    assert world.job.ended_at > 0
    assert "job-failed" in world.notes()
    assert [each.activity for each in step.effects if hasattr(each, "activity")][-1] == "forget"
    open_contracts = [each for each in world.records.values() if isinstance(each, ContractRecord) and not each.ended]
    assert open_contracts == []
    assert world.result(0, ONE).put == {}


LOST: list[tuple[str, str, str]] = [
    ("no-key", "key", "no enclave of this lessor proved itself in time"),
    ("silent", "silent", "nothing from B11.B12 for"),
]


@pytest.mark.parametrize(("code", "timer", "says"), LOST, ids=[each[0] for each in LOST])
def test_a_lessor_from_which_nothing_comes_is_lost_and_the_job_goes_on(code: str, timer: str, says: str) -> None:
    world = started()
    if timer == "key":
        subtask = structs.replace(world.subtask(ONE), phase="keying")
        world.records[f"subtask/{subtask.id}"] = subtask
    world.now += 2 * DEADLINE
    world.handle(TIMER_FIRED, TimerFired(name=f"{timer}/{SUBTASKS[ONE]}", at=world.now))
    assert world.subtask(ONE).phase == "lost"
    ((cause, text),) = world.job.causes
    assert cause == code
    assert says in text
    assert world.progress.phase == "running"


def test_a_job_that_no_lessor_could_serve_names_the_first_cause() -> None:
    world = started()
    world.records["job"] = structs.replace(world.job, causes=(("wrong-result", "B11.B12: computed otherwise"),))
    no_match(world)
    assert world.job.code == "wrong-result"
    assert "nothing offered; before that, B11.B12: computed otherwise" in world.job.reason
