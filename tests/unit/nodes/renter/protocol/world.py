"""One job's records in virtual time, and everything that the renter's machine asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from nodes.identity import Identity, verify
from nodes.machine import TIMER_FIRED, Context, Note, Perform, Publish, Step, TimerFired
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.outcomes import BatchSent, ResultAccepted
from nodes.renter.protocol.records import (
    BatchRecord,
    ContractRecord,
    Facts,
    Job,
    Part,
    Progress,
    Subtask,
    subtask_of,
)
from schemas.contracts import Contract
from schemas.events import BatchFailed, Event
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import Assessment, Batch, Costs, JobSpec
from schemas.limits import PIECE_BYTES
from schemas.manifest import cut
from schemas.orders import BuyOrder, SellOrder

START = 1_800_000_000.0
ME, ONE, TWO = address("A11", "A12"), address("B11", "B12"), address("B11", "B13")
JOB = derive_id("job", 1)
IDENTITY = Identity.from_seed(ME, b"\x07" * 32)
WINDOW, DEADLINE = 2, 10.0
PROGRAM = cut(bytes(PIECE_BYTES) + b"the rest of a program")[0]
SUBTASKS = {each: subtask_of(derive_id("contract", each)) for each in (ONE, TWO)}


class World:
    """One job's records, a clock, and everything that the machine asked for."""

    def __init__(self, queues: Mapping[Address, tuple[tuple[int, int], ...]], batches: int) -> None:
        config = RenterConfig(
            me=ME, key=IDENTITY.public, batch_deadline_seconds=DEADLINE, batch_window=WINDOW, handshake_seconds_max=5.0
        )
        self.machine = RenterMachine(config)
        self.now = START
        known = structs.replace(job(batches), expected_contracts=tuple(derive_id("contract", each) for each in queues))
        self.records: dict[str, Struct] = {"job": known, "progress": Progress(phase="running")}
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
        event, context = self.asked(event_type, data, source)
        before = dict(self.records)
        self.step = self.machine.handle(self.records, event, context)
        assert self.machine.handle(self.records, event, context) == self.step
        assert self.records == before
        self.records = {key: record for key, record in self.records.items() if key not in self.step.delete}
        self.records |= self.step.put
        self.now += 0.25
        return self.step

    def event(self, event_type: str, data: Struct, source: Address = ME) -> Event:
        """As it would be handled now."""
        return Event(f"event-{self.now}-{event_type}", event_type, source, ME, self.now, JOB, data)

    def asked(self, event_type: str, data: Struct, source: Address = ME) -> tuple[Event, Context]:
        """What the machine is given for it."""
        event = self.event(event_type, data, source)
        return event, Context(ME, self.now, b"\0" * 32, event.id, IDENTITY.sign, verify)

    def accepted(self, batch: int, lessor: Address, digest: str = "aa", attempt: int = 1) -> ResultAccepted:
        """A batch's result."""
        return ResultAccepted(batch=batch, attempt=attempt, owner=SUBTASKS[lessor], digest=digest)

    def result(self, batch: int, lessor: Address, digest: str = "aa", attempt: int = 1) -> Step:
        return self.handle("result.accepted", self.accepted(batch, lessor, digest, attempt))

    def silence(self, lessor: Address, *, hearing_since: float = 0.0) -> Step:
        name = f"silent/{SUBTASKS[lessor]}"
        return self.handle(TIMER_FIRED, TimerFired(name=name, at=self.now, hearing_since=hearing_since))

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

    @property
    def progress(self) -> Progress:
        record = self.records["progress"]
        assert isinstance(record, Progress)
        return record

    def subtask(self, lessor: Address) -> Subtask:
        record = self.records[f"subtask/{SUBTASKS[lessor]}"]
        assert isinstance(record, Subtask)
        return record


def job(batches: int) -> Job:
    digest = "0" * 64
    facts = Facts(
        rows=batches * 10,
        width_in=1,
        width_out=1,
        sum_rows=False,
        program=PROGRAM,
    )
    assessment = Assessment(
        asked="enclave",
        chosen="enclave",
        scheme=None,
        noise=None,
        rows=batches * 10,
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
        spec=JobSpec(id=JOB, data=digest, program=digest, batch_rows=10, match_seconds=5.0),
        submitted_at=START,
        facts=facts,
        assessment=assessment,
        order="order-000000000000000000000001",
        ordered_at=START,
        orders_placed=1,
        expected_contracts=("contract",),
        batches=batches,
        parts=(Part(owner="all", first_batch=0, batches=batches, first_row=0, rows=batches * 10, rows_each=10),),
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
