"""Results at the renter's door: accepted, held against their lessor, or set aside; what a lessor claims is doubted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
from msgspec import Struct, structs

from broker.names import routing_key
from broker.port import Message
from nodes.crew.crew import Worked
from nodes.crew.errors import HandLost
from nodes.identity import Identity, UnsealFailed
from nodes.renter.activities.answers import Answers
from nodes.renter.activities.collect import Collector, claimed_seconds
from nodes.renter.activities.services import Services
from nodes.renter.activities.table import Hands
from nodes.renter.activities.workbench import Running
from nodes.renter.errors import JobGone
from nodes.renter.files import incidents
from nodes.renter.files.parts import read_part
from nodes.renter.protections.ciphertext import Decrypted
from nodes.renter.protections.port import Closed, Opened, read_result
from nodes.renter.protocol.outcomes import JobSpoiled, ResultAccepted, ResultHeld, ResultRefused
from nodes.renter.protocol.records import BatchRecord, ContractRecord, Progress, Subtask
from nodes.renter.protocol.states import JobPhase
from nodes.runtime.door import Door
from nodes.runtime.hearing import Hearing
from nodes.store.errors import BlobDamaged
from schemas import codec
from schemas.errors import BadData, VerificationFailed
from schemas.events import BatchFailed, Event, batch_attributes
from schemas.ids import address, derive_id
from schemas.jobs import Batch
from tests.unit.nodes.renter.activities.conftest import ME
from tests.unit.nodes.renter.activities.records import JOB, prepared, put
from tests.unit.nodes.renter.protocol.world import contract_with

LESSOR = Identity.from_seed(address("B11", "B12"), b"\x11" * 32)
OTHER = Identity.from_seed(address("B11", "B13"), b"\x12" * 32)
SUBTASK, CONTRACT = derive_id("subtask", 1), derive_id("contract", LESSOR.address)
BATCH = Batch(job=JOB, subtask=SUBTASK, contract=CONTRACT, batch=0, attempt=1, first_row=0, rows=3)
ROWS = np.array([[1.0], [2.0], [3.0]])


@dataclass
class Arrived:
    """A delivery, and how it was settled."""

    message: Message
    queue: str = "result"
    redelivered: bool = False
    delivery_count: int = 0
    settled: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        self.settled.append("ack")

    async def reject(self, reason: str) -> None:
        self.settled.append(reason)

    async def release(self) -> None:
        self.settled.append("release")

    async def retry(self, after_seconds: float) -> None:
        self.settled.append("retry")


@dataclass
class Opening:
    """A protection that opens as the test says."""

    answer: Any
    turn: asyncio.Event | None = None
    """Set when it may open."""

    async def close(self, batch: Batch) -> Closed:
        raise NotImplementedError

    async def open(self, batch: Batch, body: bytes) -> Opened:
        if self.turn is not None:
            await self.turn.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return Opened(self.answer, 0.5)

    async def forget(self) -> None:
        pass


@dataclass
class Desk:
    """A collector, what it told the machine, and what it was given."""

    services: Services
    opening: Opening = field(default_factory=lambda: Opening(ROWS))
    told: list[tuple[str, Any, str, str]] = field(default_factory=list)
    pause: Callable[[float], Awaitable[Any]] = asyncio.sleep
    paused: int = 0
    """How often the collector waited."""

    async def submit(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None:
        self.told.append((event_type, data, aggregate, event_id))

    async def receive(self, event: Event, by: Identity = LESSOR, key: str = "") -> Arrived:
        """Settle one message."""
        headers, body = codec.encode(event, by.sign)
        key = key or routing_key(ME, event.source, "result")
        return await self.deliver(Arrived(Message(key, body, headers, event.id)))

    async def deliver(self, arrived: Arrived) -> Arrived:
        """Settle one delivery."""
        hands = Hands.of(self.services, None)  # type: ignore[arg-type]
        workbench, clock = hands.workbench, self.services.clock
        running = Running(None, None, None, (), self.opening)  # type: ignore[arg-type]
        workbench.running = AsyncMock(return_value=running)  # type: ignore[method-assign]
        door, answers = Door(ME, "renter", clock), Answers(self.services, workbench)
        hearing = Hearing(None, ME, "result", wait_seconds=60.0, clock=clock, pause=self._pause)  # type: ignore[arg-type]
        collector = Collector(
            self.services,
            workbench,
            None,  # type: ignore[arg-type]
            door,
            self.submit,
            answers,
            hands.aligner,
            hearing,
        )
        await collector._serve(arrived)
        return arrived

    async def _pause(self, seconds: float) -> None:
        self.paused += 1
        await self.pause(seconds)


@pytest.fixture
async def desk(services: Services) -> Desk:
    """A job with one subtask, and one batch under way."""
    await prepared(services)
    contract = structs.replace(contract_with(LESSOR.address), lessor_key=LESSOR.public)
    subtask = Subtask(id=SUBTASK, contract=CONTRACT, lessor=LESSOR.address, phase="running", queue=(), under_way=(0,))
    sent = BatchRecord(number=0, first_row=0, rows=3, owner=SUBTASK, attempt=1)
    records: dict[str, Struct] = {
        f"contract/{CONTRACT}": ContractRecord(contract=contract, order=""),
        f"subtask/{SUBTASK}": subtask,
        "batch/0": sent,
    }
    await put(services.store, records)
    return Desk(services)


def result(services: Services, batch: Batch = BATCH, **changes: Any) -> Event:
    event = Event(
        id=derive_id("result", batch.batch),
        type="batch.completed",
        source=LESSOR.address,
        to=ME,
        time=services.clock(),
        subject=batch.job,
        body=b"ciphertext",
        attributes=batch_attributes(batch) | {"computeseconds": "1.5"},
    )
    return replace(event, **changes)


async def test_a_result_is_written_told_and_acknowledged(desk: Desk) -> None:
    arrived = await desk.receive(result(desk.services))
    assert arrived.settled == ["ack"]
    ((event_type, told, job, event_id),) = desk.told
    assert (event_type, job, event_id) == ("result.accepted", JOB, f"result/{derive_id('result', 0)}")
    assert isinstance(told, ResultAccepted)
    assert (told.decrypt_seconds, told.compute_seconds, told.bytes_back) == (0.5, 1.5, 10)
    assert (read_part(desk.services.folder(JOB), 0, told.digest, 1) == ROWS).all()


REFUSED: dict[str, tuple[str, dict[str, Any], Mapping[str, Any]]] = {
    "another subtask": ("unknown-subtask", {"subtask": derive_id("subtask", 9)}, {}),
    "another job": ("unknown-subtask", {"job": derive_id("job", 9)}, {}),
    "a batch never sent": ("unknown-batch", {"batch": 7}, {}),
    "another contract": ("unknown-batch", {"contract": derive_id("contract", 9)}, {}),
    "other rows": ("wrong-batch", {"first_row": 1}, {}),
    "more rows": ("wrong-batch", {"rows": 4}, {}),
    "an attempt to come": ("wrong-batch", {"attempt": 2}, {}),
    "of another lessor": ("not-the-lessor", {}, {"source": OTHER.address}),
    "another type": ("wrong-queue", {}, {"type": "batch.failed", "body": b"", "data": None}),
    "attributes that are none": ("bad-data", {}, {"attributes": {"batch": "much"}}),
    "not for this renter": ("wrong-receiver", {}, {"to": address("A11", "A13")}),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_what_is_not_the_result_of_a_batch_is_set_aside_and_tells_nothing(desk: Desk, name: str) -> None:
    code, batch, changes = REFUSED[name]
    event = result(desk.services, structs.replace(BATCH, **batch), **changes)
    if event.type == "batch.failed":
        event = replace(
            event, data=BatchFailed(batch=BATCH, code="enclave-memory", reason="out of memory", final=False)
        )
    before = await desk.services.store.read(JOB)
    arrived = await desk.receive(event, OTHER if event.source == OTHER.address else LESSOR)
    assert arrived.settled == [code]
    assert desk.told == []
    assert await desk.services.store.read(JOB) == before
    assert not desk.services.folder(JOB).parts.exists()


async def test_a_result_that_its_lessor_did_not_sign_is_set_aside(desk: Desk) -> None:
    assert (await desk.receive(result(desk.services), by=OTHER)).settled == ["bad-signature"]
    assert desk.told == []


@pytest.mark.parametrize("code", ["wrong-result", "wrong-shape", "not-finite", "ciphertext-invalid", "commitment"])
async def test_a_result_that_does_not_open_convicts_its_lessor(desk: Desk, code: str) -> None:
    desk.opening.answer = VerificationFailed("it is not right", code=code)
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    ((event_type, told, _, _),) = desk.told
    assert event_type == "result.refused"
    assert isinstance(told, ResultRefused)
    assert (told.code, told.owner, told.reason) == (code, SUBTASK, "it is not right")
    kept = incidents.read(desk.services.folder(JOB), told.evidence)
    assert codec.decode(kept.headers, kept.body).event.body == b"ciphertext"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnsealFailed("the key is another's", code="unseal-failed"), "unseal-failed"),
        (BlobDamaged("the program is not what it was", code="blob-damaged"), "blob-damaged"),
    ],
    ids=["key", "program"],
)
async def test_a_renters_own_damaged_key_or_file_is_not_held_against_a_lessor(
    desk: Desk, error: Exception, code: str
) -> None:
    desk.opening.answer = error
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    assert [(name, told.code) for name, told, _, _ in desk.told] == [("job.spoiled", code)]


async def test_rows_that_changed_are_the_renters_own_fault(desk: Desk) -> None:
    desk.opening.answer = BadData("input.csv has changed since the job began")
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    ((event_type, told, _, _),) = desk.told
    assert event_type == "job.spoiled"
    assert isinstance(told, JobSpoiled)
    assert told.code == "bad-data"


@pytest.mark.parametrize("phase", ["completed", "failed"])
async def test_a_result_whose_job_ended_is_dropped_unopened(desk: Desk, phase: JobPhase) -> None:
    desk.opening.answer = AssertionError("opened")
    await put(desk.services.store, {"progress": Progress(phase=phase)})
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    assert desk.told == []


async def test_a_result_under_a_key_that_is_retired_is_dropped_unopened(desk: Desk) -> None:
    desk.opening.answer = AssertionError("opened")
    await put(desk.services.store, {"progress": Progress(phase="running", here=())})
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    assert desk.told == []


async def test_a_result_whose_job_ends_while_it_is_opened_is_dropped(desk: Desk) -> None:
    desk.opening.answer = JobGone("the job ended")
    assert (await desk.receive(result(desk.services))).settled == ["ack"]
    assert desk.told == []


async def test_an_echo_is_no_result(desk: Desk) -> None:
    arrived = Arrived(Message(routing_key(ME, ME, "result"), b"", {}, "echo"))
    assert (await desk.deliver(arrived)).settled == ["ack"]
    assert desk.told == []


@pytest.mark.parametrize(("silent_for", "at_once"), [(1.0, False), (45.0, True)])
async def test_a_result_that_waits_is_noted_as_heard_of_its_lessor(
    desk: Desk, silent_for: float, at_once: bool
) -> None:
    """At once where its lessor's time is nearly over, else after a while; not more often than is of use."""
    heard_at = desk.services.clock() - silent_for
    lessor, name = LESSOR.address, f"subtask/{SUBTASK}"
    subtask = Subtask(id=SUBTASK, contract=CONTRACT, lessor=lessor, phase="running", queue=(), heard_at=heard_at)
    await put(desk.services.store, {name: subtask})
    pauses = asyncio.Semaphore(0)
    desk.pause = lambda seconds: pauses.acquire()
    desk.opening.turn = asyncio.Event()
    serving = asyncio.create_task(desk.receive(result(desk.services)))
    while desk.paused < 1:  # noqa: ASYNC110 - the collector's own clock
        await asyncio.sleep(0)
    assert [each[0] for each in desk.told] == ["result.held"] * at_once
    for count in (1, 2):
        pauses.release()
        while desk.paused < 1 + count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert [each[1] for each in desk.told] == [ResultHeld(owner=SUBTASK)]
    desk.opening.turn.set()
    assert (await serving).settled == ["ack"]
    assert desk.told[-1][0] == "result.accepted"


@pytest.mark.parametrize(
    ("raised", "settled"), [(OSError(24, "too many files"), "retry"), (LookupError("a bug"), "handler-failed")]
)
async def test_whatever_is_raised_ends_as_a_settled_delivery(desk: Desk, raised: Exception, settled: str) -> None:
    desk.opening.answer = raised
    assert (await desk.receive(result(desk.services))).settled == [settled]
    assert desk.told == []


@pytest.mark.parametrize(
    ("claimed", "seconds"),
    [({"computeseconds": text}, 0.0) for text in ("nan", "inf", "-inf", "-1", "1e999", "", "much")]
    + [({}, 0.0), ({"computeseconds": "1.250000"}, 1.25)],
)
def test_seconds_that_a_lessor_claims_are_finite_and_not_negative(claimed: dict[str, str], seconds: float) -> None:
    event = Event("event", "batch.completed", LESSOR.address, ME, 0.0, JOB, None, b"", attributes=claimed)
    assert claimed_seconds(event) == seconds


class Reading:
    """Reads a result in processes of which the first so many die."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    async def __call__(self) -> Worked[Decrypted]:
        self.deaths -= 1
        if self.deaths >= 0:
            raise HandLost("the process that computed this ended with code -9")
        return Worked(Decrypted(b"result"), 1.0)


@pytest.mark.parametrize("deaths", [0, 1])
async def test_one_death_of_a_process_is_not_the_lessors_fault(deaths: int) -> None:
    assert (await read_result(Reading(deaths))).result.result == b"result"


async def test_a_result_that_kills_whoever_reads_it_is_refused() -> None:
    with pytest.raises(VerificationFailed) as refused:
        await read_result(Reading(2))
    assert refused.value.code == "ciphertext-invalid"
