"""Batches on their way out: closed, sent once under an id of their own, or the renter's own fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import numpy as np
import pytest
from msgspec import structs

from broker.errors import QueueFull
from nodes.data.manifest import VALUES
from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import DATA, batch_context, decrypt
from nodes.renter.activities import rounds
from nodes.renter.activities.dispatch import Dispatcher
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.files.parts import read_part
from nodes.renter.protections.port import Closed
from nodes.renter.protocol.outcomes import BatchSent, BatchUnsent, JobSpoiled, ResultAccepted
from nodes.renter.protocol.records import LOCAL, Round
from schemas.events import batch_attributes
from schemas.ids import derive_id
from schemas.jobs import Batch
from tests.unit.nodes.renter.activities.records import JOB, prepared

BATCH = Batch(
    job=JOB,
    subtask=derive_id("subtask", 1),
    contract=derive_id("contract", 1),
    batch=2,
    attempt=1,
    first_row=3,
    rows=3,
)


@dataclass
class Post:
    """Keeps what is sent."""

    sent: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)

    full: bool = False

    async def send(self, event_type: str, to: str, subject: str, **more: Any) -> None:
        if self.full:
            raise QueueFull("the lessor's queue is full")
        self.sent.append((event_type, to, subject, more))


@dataclass
class Sending:
    """A dispatcher of a prepared job, and what it sent."""

    services: Services
    workbench: Workbench
    post: Post = field(default_factory=Post)

    async def dispatch(self, batch: Batch = BATCH) -> tuple[str, Any]:
        dispatcher = Dispatcher(self.services, self.workbench, self.post)  # type: ignore[arg-type]
        params = {"batch": msgspec.to_builtins(batch), "lessor": "B11.B12"}
        (outcome,) = await dispatcher.dispatch(params, batch.job)
        return outcome

    async def compute_local(self) -> tuple[str, Any]:
        dispatcher = Dispatcher(self.services, self.workbench, self.post)  # type: ignore[arg-type]
        (outcome,) = await dispatcher.compute_local({"batch": 5, "first_row": 4, "rows": 2}, JOB)
        return outcome


@pytest.fixture
async def sending(services: Services) -> Sending:
    await prepared(services)
    return Sending(services, Workbench(services))


async def test_a_batch_is_sent_closed_with_its_attributes(sending: Sending) -> None:
    event_type, told = await sending.dispatch()
    ((sent, to, subject, more),) = sending.post.sent
    assert (event_type, sent, to, subject) == ("batch.sent", "batch.dispatched", "B11.B12", JOB)
    assert more["attributes"] == batch_attributes(BATCH)
    assert isinstance(told, BatchSent)
    assert (told.batch, told.attempt, told.bytes_sent) == (2, 1, len(more["body"]))
    running = await sending.workbench.running(JOB)
    secret = await sending.workbench.subtask_secret(running.job, BATCH.subtask)
    context = batch_context(BATCH, key_agreement.schema_digest(running.job.program.canonical, None))
    key = key_agreement.data_key(secret, BATCH.contract, JOB, DATA, context.epoch)
    rows = np.frombuffer(decrypt(key, context.digest(), more["body"]), "<f8").reshape(3, 2)
    assert rows.tolist() == [[3.0, 1.5], [4.0, 2.0], [5.0, 2.5]]


async def test_each_attempt_has_an_id_of_its_own_and_keeps_it(sending: Sending) -> None:
    for batch in (BATCH, BATCH, structs.replace(BATCH, attempt=2)):
        await sending.dispatch(batch)
    first, again, second = (more["event_id"] for _, _, _, more in sending.post.sent)
    assert first == again != second


async def test_the_local_part_is_computed_where_the_data_is(sending: Sending) -> None:
    event_type, told = await sending.compute_local()
    assert event_type == "result.accepted"
    assert isinstance(told, ResultAccepted)
    assert (told.owner, told.batch) == (LOCAL, 5)
    rows = read_part(sending.services.folder(JOB), 5, told.digest, 1)
    assert rows.tolist() == [[16.0], [17.5]]
    assert sending.post.sent == []


async def test_rows_that_changed_end_the_job_as_the_renters_own_fault(sending: Sending) -> None:
    await sending.workbench.running(JOB)
    data = sending.services.folder(JOB).table / VALUES
    data.write_bytes(data.read_bytes() + bytes(16))
    for event_type, told in (await sending.dispatch(), await sending.compute_local()):
        assert event_type == "job.spoiled"
        assert isinstance(told, JobSpoiled)
        assert told.code == "bad-data"
        assert "has changed since the job began" in told.reason
    assert sending.post.sent == []


async def test_a_batch_for_which_the_lessors_queue_has_no_room_is_given_back_at_once(services: Services) -> None:
    await prepared(services)
    sending = Sending(services, Workbench(services), Post(full=True))
    assert await sending.dispatch() == ("batch.unsent", BatchUnsent(batch=BATCH.batch, attempt=BATCH.attempt))


async def test_a_joint_jobs_batch_is_given_back_too(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """How it is closed is not looked at here."""
    await prepared(services)
    workbench, running = Workbench(services), SimpleNamespace(by_round=SimpleNamespace(close_round=_closed))
    monkeypatch.setattr(workbench, "running", AsyncMock(return_value=running))
    monkeypatch.setattr(rounds, "_parameters", lambda *_: np.zeros(0))
    current = Round(number=1, phase="open")
    params = {"batch": BATCH, "round": current, "rows": True, "lessor": "B11.B12"}
    (outcome,) = await rounds.Rounds(services, workbench, Post(full=True)).dispatch(msgspec.to_builtins(params), JOB)  # type: ignore[arg-type]
    assert outcome == ("batch.unsent", BatchUnsent(batch=BATCH.batch, attempt=BATCH.attempt))


async def _closed(*_: object, **__: object) -> Closed:
    return Closed(b"body", 0.0)
