"""Batches on their way out: a queue and a bounded window per subtask; the local part goes one by one. Pure.

What one event costs here does not grow with the number of batches.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import structs

from nodes.machine import Perform, SetTimer
from nodes.renter.protocol import ending, runs
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import LOCAL, BatchRecord, Subtask
from nodes.renter.protocol.split import rows_of
from nodes.renter.protocol.states import SERVING
from schemas import limits
from schemas.jobs import Batch

FULL_SECONDS: Final = 5.0
"""Before a full queue is tried again."""


def fill(draft: Draft, subtask_id: str) -> None:
    """Dispatch the subtask's next batches, as many as its window has room for."""
    subtask = draft.subtask(subtask_id)
    if draft.phase != "running":
        return
    if subtask.phase == "closing" and not subtask.under_way:
        end(draft, subtask_id)
    if subtask.phase != "running" or not draft.round_is_open:
        return
    if subtask.renews and draft.subtask(subtask.renews).phase == "closing":
        return
    if is_full(draft, subtask):
        return
    if not subtask.under_way and subtask.queue:
        watch(draft, subtask_id, draft.now)
    room = draft.config.batch_window * draft.contract(subtask.contract).contract.units
    while subtask.queue and len(subtask.under_way) < room:
        number, queue = runs.take(subtask.queue)
        subtask = structs.replace(subtask, queue=queue)
        record = draft.batch(number)
        if record is not None and record.digest and record.round == draft.progress.round:
            continue
        record = _sending(draft, number, subtask_id)
        if record.attempt - min(record.excused, limits.BATCH_EXCUSES_MAX) > limits.BATCH_ATTEMPTS_MAX:
            ending.fail(draft, "too-many-attempts", f"batch {number} failed {record.attempt - 1} times")
            return
        subtask = structs.replace(subtask, under_way=(*subtask.under_way, number))
        _dispatch(draft, subtask, record)
    draft.put(f"subtask/{subtask_id}", subtask)


def is_full(draft: Draft, subtask: Subtask) -> bool:
    """Whether its lessor's queue had no room a moment ago."""
    return draft.now < subtask.full_at + FULL_SECONDS


def end(draft: Draft, subtask_id: str) -> None:
    """A subtask's contract is over, in good order; the one that renewed it begins."""
    ending.complete(draft, draft.subtask(subtask_id))
    for each in draft.subtasks():
        if each.renews == subtask_id and each.phase in SERVING:
            draft.change_subtask(each.id, started_at=draft.now)
            fill(draft, each.id)


def compute_local(draft: Draft, *, after: int | None = None) -> None:
    """Start the batch of the local part that follows `after`, or its first, if there is one (S1).

    One at a time: the renter's cores are wanted for encryption.
    """
    job = draft.job
    part = next((p for p in job.parts if p.owner == LOCAL), None)
    if draft.phase != "running":
        return
    if part is not None:
        number = part.first_batch if after is None else after + 1
        if part.first_batch <= number < part.first_batch + part.batches and draft.batch(number) is None:
            check_here(draft, number)
            return
    if after is not None:
        _next_here(draft)


def compute_here(draft: Draft) -> None:
    """Start on what is left for the renter, unless the local part is under way, which goes on with it."""
    part = next((p for p in draft.job.parts if p.owner == LOCAL), None)
    last = None if part is None or not part.batches else draft.batch(part.first_batch + part.batches - 1)
    if draft.phase == "running" and (part is None or not part.batches or (last is not None and last.digest)):
        _next_here(draft)


def _next_here(draft: Draft) -> None:
    while draft.progress.here:
        number, rest = runs.take(draft.progress.here)
        draft.change_progress(here=rest)
        record = draft.batch(number)
        if record is None or not record.digest:
            check_here(draft, number)
            return


def check_here(draft: Draft, number: int) -> None:
    """Let the renter compute a batch itself; what is wrong with its rows or program comes out, with row and column."""
    record = _sending(draft, number, LOCAL)
    params = {"batch": number, "first_row": record.first_row, "rows": record.rows}
    draft.do(Perform(activity="compute-local", params=params))


def credit(draft: Draft, subtask_id: str, record: BatchRecord, core_seconds: float = 0.0) -> None:
    """A batch came back right: it counts for its lessor."""
    subtask = draft.subtask(subtask_id)
    drop(
        draft,
        subtask_id,
        record.number,
        batches_done=subtask.batches_done + 1,
        rows_done=subtask.rows_done + record.rows,
        core_seconds=subtask.core_seconds + core_seconds,
    )


def drop(draft: Draft, subtask_id: str, number: int, **counted: float) -> None:
    """A batch is no longer under way at this subtask, whose lessor was heard of."""
    under_way = tuple(n for n in draft.subtask(subtask_id).under_way if n != number)
    draft.change_subtask(subtask_id, under_way=under_way, heard_at=draft.now, **counted)


def watch(draft: Draft, subtask_id: str, since: float) -> None:
    """Look whether the lessor is silent when it has not been heard of since `since` for the deadline."""
    draft.do(SetTimer(name=f"silent/{subtask_id}", at=since + draft.config.batch_deadline_seconds))


def _sending(draft: Draft, number: int, owner: str) -> BatchRecord:
    known = draft.batch(number)
    number_of_round = draft.progress.round
    if known is None:
        first_row, rows = rows_of(draft.job.parts, number)
        known = BatchRecord(number=number, first_row=first_row, rows=rows, owner=owner, attempt=0)
    elif known.round != number_of_round:
        known = structs.replace(known, attempt=0, excused=0, digest="", round=number_of_round)
    record = structs.replace(known, owner=owner, attempt=known.attempt + 1, sent_at=0.0)
    draft.put(f"batch/{number}", record)
    return record


def _dispatch(draft: Draft, subtask: Subtask, record: BatchRecord) -> None:
    batch = Batch(
        job=draft.job.spec.id,
        subtask=subtask.id,
        contract=subtask.contract,
        batch=record.number,
        attempt=record.attempt,
        first_row=record.first_row,
        rows=record.rows,
        round=record.round,
    )
    params: dict[str, Any] = {"batch": msgspec.to_builtins(batch), "lessor": subtask.lessor}
    current = draft.round(record.round)
    if current is None:
        draft.do(Perform(activity="dispatch", params=params))
        return
    params |= {"round": msgspec.to_builtins(current), "rows": record.rows_at != subtask.id}
    draft.do(Perform(activity="dispatch-round", params=params))
