"""Batches sent and results in, exactly once: the first accepted result of a batch counts. Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.machine import Refused
from nodes.renter.protocol import cutting, ending, faults, windows
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import BatchSent, ResultAccepted, ResultHeld
from nodes.renter.protocol.records import LOCAL, BatchRecord
from nodes.renter.protocol.states import SERVING
from schemas.events import Event
from schemas.jobs import Costs


def sent(draft: Draft, event: Event) -> None:
    """`batch.sent`: the deadline counts from here; encryption does not eat into it."""
    data = data_of(event, BatchSent)
    record, spent = draft.batch(data.batch), draft.progress.spent
    draft.change_progress(
        spent=structs.replace(
            spent,
            encrypt_seconds=spent.encrypt_seconds + data.encrypt_seconds,
            bytes_sent=spent.bytes_sent + data.bytes_sent,
        )
    )
    if record is not None and record.attempt == data.attempt and not record.digest:
        draft.put(f"batch/{data.batch}", structs.replace(record, sent_at=draft.now))


def held(draft: Draft, event: Event) -> None:
    """`result.held`: what takes long here is not its lessor's silence."""
    subtask = draft.subtask(data_of(event, ResultHeld).owner)
    if subtask.phase in SERVING:
        draft.change_subtask(subtask.id, heard_at=draft.now)


def result_accepted(draft: Draft, event: Event) -> None:
    """`result.accepted`: the first result of a batch counts; later ones are compared with it."""
    data = data_of(event, ResultAccepted)
    record = draft.batch(data.batch)
    if record is None:
        raise Refused("unknown-batch", f"batch {data.batch} was never sent")
    if record.digest:
        _compare(draft, record, data)
        if data.owner == LOCAL:  # its lessor's came first; what else is to be computed here goes on
            windows.compute_local(draft, after=data.batch)
        return
    draft.put(f"batch/{data.batch}", structs.replace(record, digest=data.digest, owner=data.owner))
    done = draft.progress
    spent = done.spent if data.owner == LOCAL else _with_result(done.spent, data)
    draft.change_progress(batches_done=done.batches_done + 1, rows_done=done.rows_done + record.rows, spent=spent)
    if data.owner == LOCAL:
        windows.compute_local(draft, after=data.batch)
    else:
        windows.credit(draft, data.owner, record, data.compute_seconds)
        cutting.follow(draft, data.owner)
        windows.fill(draft, data.owner)
        if record.owner not in (data.owner, LOCAL):
            windows.drop(draft, record.owner, data.batch)
            windows.fill(draft, record.owner)
    faults.refuted(draft, record)
    ending.finish_if_done(draft)


def _with_result(spent: Costs, data: ResultAccepted) -> Costs:
    return structs.replace(
        spent,
        lessor_seconds=spent.lessor_seconds + data.compute_seconds,
        decrypt_seconds=spent.decrypt_seconds + data.decrypt_seconds,
        bytes_back=spent.bytes_back + data.bytes_back,
    )


def _compare(draft: Draft, record: BatchRecord, data: ResultAccepted) -> None:
    if data.digest == record.digest or LOCAL in (data.owner, record.owner):  # here nothing is rounded to a fixed point
        return
    text = f"batch {record.number}: {data.owner} and {record.owner} disagree"
    draft.note("incident", text, first=record.digest, later=data.digest, owner=data.owner)
