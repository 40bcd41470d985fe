"""While the job runs: batches out in bounded windows, results in exactly once, lessors lost and replaced. Pure."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from nodes.draft import data_of
from nodes.machine import Perform, Refused, SetTimer, TimerFired
from nodes.renter.protocol import ending, market
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.records import (
    LOCAL,
    ActivityFailed,
    BatchRecord,
    BatchSent,
    BatchUnsendable,
    PublishFailed,
    ResultAccepted,
    ResultRefused,
    Subtask,
)
from nodes.renter.protocol.split import rows_of
from schemas import limits
from schemas.events import BatchFailed, Event, SubtaskAnnounced
from schemas.jobs import Batch, Costs, SubtaskTerms

LOCAL_WINDOW: Final = 1
"""Batches that the renter computes itself at a time: its cores are wanted for encryption."""


def terms_of(draft: Draft, subtask: Subtask) -> SubtaskTerms:
    """What a lessor's worker must know of this subtask."""
    job = draft.job
    facts = job.facts
    contract = draft.contract(subtask.contract).contract
    assert facts is not None
    assert job.assessment is not None
    homomorphic, sealed = contract.protection == "homomorphic", contract.protection == "sealed-result"
    scheme = facts.of(job.assessment.scheme) if homomorphic else None
    return SubtaskTerms(
        job=job.spec.id,
        subtask=subtask.id,
        contract=contract,
        protection=contract.protection,
        program=job.spec.program,
        width_in=facts.width_in,
        width_out=facts.width_out,
        scheme=scheme.scheme if scheme else None,
        fixed_point=scheme.fixed_point if scheme else None,
        computation=scheme.computation if scheme else None,
        result_bits=facts.result_bits if sealed else None,
        public_key=facts.public_key if homomorphic or sealed else None,
    )


def announce(config: RenterConfig, draft: Draft, subtask: Subtask) -> None:
    """Tell the lessor what is coming; for enclaves a worker answers by asking for its half of the handshake."""
    draft.send("subtask.announced", subtask.lessor, subtask.id, SubtaskAnnounced(terms=terms_of(draft, subtask)))
    if subtask.phase == "keying":
        draft.do(SetTimer(name=f"key/{subtask.id}", at=draft.now + config.handshake_seconds_max))


def dispatch(config: RenterConfig, draft: Draft, subtask_id: str) -> None:
    """Fill the subtask's window with its next batches."""
    subtask = draft.subtask(subtask_id)
    if subtask.phase != "running":
        return
    if not subtask.under_way and subtask.queue:
        _watch(config, draft, subtask_id, draft.now)
    contract = draft.contract(subtask.contract).contract
    while subtask.queue and len(subtask.under_way) < config.batch_window * contract.units:
        number, subtask = _pop(subtask)
        record = draft.batch(number)
        if record is not None and record.digest:
            continue
        record = _sending(draft, number, subtask_id)
        if record.attempt > limits.BATCH_ATTEMPTS_MAX:
            ending.fail(config, draft, "too-many-attempts", f"batch {number} failed {record.attempt - 1} times")
            return
        subtask = structs.replace(subtask, under_way=(*subtask.under_way, number))
        batch = Batch(
            job=draft.job.spec.id,
            subtask=subtask_id,
            contract=subtask.contract,
            batch=number,
            attempt=record.attempt,
            first_row=record.first_row,
            rows=record.rows,
        )
        params = {"batch": msgspec.to_builtins(batch), "lessor": subtask.lessor, "protection": contract.protection}
        draft.do(Perform(activity="dispatch", params=params))
    draft.put(f"subtask/{subtask_id}", subtask)


def compute_local(draft: Draft) -> None:
    """Start the first batch of the local part, if there is one (S1)."""
    _next_local(draft, after=None)


def sent(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`batch.sent`: the deadline counts from here; encryption does not eat into it."""
    data = data_of(event, BatchSent)
    record, job = draft.batch(data.batch), draft.job
    encrypt_seconds, bytes_sent = (
        job.spent.encrypt_seconds + data.encrypt_seconds,
        job.spent.bytes_sent + data.bytes_sent,
    )
    spent = structs.replace(job.spent, encrypt_seconds=encrypt_seconds, bytes_sent=bytes_sent)
    draft.change_job(spent=spent)
    if record is not None and record.attempt == data.attempt and not record.digest:
        draft.put(f"batch/{data.batch}", structs.replace(record, sent_at=draft.now))


def unsendable(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`batch.unsendable`: the renter's own data or settings are at fault; no lessor can help."""
    data = data_of(event, BatchUnsendable)
    ending.fail(config, draft, data.code, data.reason)


def result_accepted(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`result.accepted`: the first result of a batch counts; later ones are compared with it."""
    data = data_of(event, ResultAccepted)
    record = draft.batch(data.batch)
    if record is None:
        raise Refused("unknown-batch", f"batch {data.batch} was never sent")
    if record.digest:
        _compare(draft, record, data)
        return
    draft.put(f"batch/{data.batch}", structs.replace(record, digest=data.digest, owner=data.owner))
    job = draft.job
    spent = job.spent if data.owner == LOCAL else _with_result(job.spent, data)
    draft.change_job(batches_done=job.batches_done + 1, rows_done=job.rows_done + record.rows, spent=spent)
    if data.owner == LOCAL:
        _next_local(draft, after=data.batch)
    else:
        _credit(draft, data.owner, record)
        dispatch(config, draft, data.owner)
        if record.owner not in (data.owner, LOCAL):
            _drop(draft, record.owner, data.batch)
            dispatch(config, draft, record.owner)
    ending.finish_if_done(config, draft)


def result_refused(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`result.refused`: the lessor erred; its work goes elsewhere and it is not used again for this job."""
    data = data_of(event, ResultRefused)
    draft.note("incident", f"{data.owner}: {data.reason}", code=data.code, batch=data.batch, evidence=data.evidence)
    lose(config, draft, data.owner, data.code, data.reason)


def batch_failed(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`batch.failed`: final failures are the job's own; others are tried again, elsewhere if there is elsewhere."""
    data = data_of(event, BatchFailed)
    subtask = draft.subtask(data.batch.subtask)
    if event.source != subtask.lessor:
        raise Refused("not-the-lessor", f"{event.source} does not serve {subtask.id}")
    if data.batch.batch not in subtask.under_way:
        draft.note("late", f"batch {data.batch.batch} failed at {event.source} but is not under way there")
        return
    draft.note("batch-failed", data.reason, code=data.code, batch=data.batch.batch, lessor=event.source)
    if data.final:
        ending.fail(config, draft, data.code, f"batch {data.batch.batch} cannot be computed: {data.reason}")
        return
    _drop(draft, subtask.id, data.batch.batch)
    _hand_over(config, draft, (data.batch.batch,), last=subtask.id)
    if draft.job.phase == "running":
        dispatch(config, draft, subtask.id)


def lose(config: RenterConfig, draft: Draft, subtask_id: str, code: str, reason: str) -> None:
    """End a subtask's contract; its batches go to the other subtasks, or wait for a replacement contract."""
    subtask = draft.subtask(subtask_id)
    if subtask.phase == "lost":
        return
    rest = (*subtask.under_way, *(n for first, end in subtask.queue for n in range(first, end)))
    draft.change_subtask(subtask_id, phase="lost", queue=(), under_way=())
    job = draft.job
    draft.change_job(avoid=(*job.avoid, subtask.lessor), causes=(*job.causes, (code, f"{subtask.lessor}: {reason}")))
    draft.note("subtask-lost", reason, code=code, lessor=subtask.lessor, batches=len(rest))
    contract = draft.contract(subtask.contract).contract
    market.end_contract(config, draft, contract, code, reason=reason)
    _hand_over(config, draft, rest, last="")


def timer_fired(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`timer.fired`: no answer from the hub, no key from an enclave, or silence of a lessor."""
    name = data_of(event, TimerFired).name
    job = draft.job
    kind, _, subtask_id = name.partition("/")
    if kind == "match":
        if not job.expected_contracts or job.phase == "ordering":
            ending.fail(config, draft, "hub-silent", "the hub did not answer the buy order in time")
    elif kind == "key" and draft.subtask(subtask_id).phase == "keying":
        lose(config, draft, subtask_id, "no-key", "no enclave of this lessor proved itself in time")
    elif kind == "silent" and draft.subtask(subtask_id).phase == "running":
        _check_silence(config, draft, draft.subtask(subtask_id))


def activity_failed(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`activity.failed`: the renter's own machine or files are at fault."""
    data = data_of(event, ActivityFailed)
    ending.fail(config, draft, "activity-failed", f"{data.activity}: {data.error}")


def publish_failed(config: RenterConfig, draft: Draft, event: Event) -> None:
    """`publish.failed`: nobody has this address; a lane whose worker is gone is no news."""
    data = data_of(event, PublishFailed)
    draft.note("unroutable", f"{data.type} to {data.to}: {data.reason}")


def _with_result(spent: Costs, data: ResultAccepted) -> Costs:
    return structs.replace(
        spent,
        lessor_seconds=spent.lessor_seconds + data.compute_seconds,
        decrypt_seconds=spent.decrypt_seconds + data.decrypt_seconds,
        bytes_back=spent.bytes_back + data.bytes_back,
    )


def _check_silence(config: RenterConfig, draft: Draft, subtask: Subtask) -> None:
    if not subtask.under_way:
        return
    records = (draft.batch(number) for number in subtask.under_way)
    sent = [record.sent_at for record in records if record is not None and record.sent_at]
    since = max(min(sent), subtask.heard_at) if sent else draft.now
    if draft.now - since < config.batch_deadline_seconds:
        _watch(config, draft, subtask.id, since)
        return
    seconds = draft.now - since
    lose(config, draft, subtask.id, "silent", f"nothing from {subtask.lessor} for {seconds:.0f} s")


def _watch(config: RenterConfig, draft: Draft, subtask_id: str, since: float) -> None:
    draft.do(SetTimer(name=f"silent/{subtask_id}", at=since + config.batch_deadline_seconds))


def _hand_over(config: RenterConfig, draft: Draft, batches: tuple[int, ...], *, last: str) -> None:
    """Give batches to live subtasks in turn; `last` is preferred least. Without any, order a replacement."""
    live = [s for _, s in draft.each(Subtask, "subtask") if s.phase in ("keying", "running")]
    others = [s for s in live if s.id != last] or live
    if not others:
        _order_replacement(config, draft, batches)
        return
    for index, subtask in enumerate(others):
        share = batches[index :: len(others)]
        if share:
            queue = (*((n, n + 1) for n in share), *draft.subtask(subtask.id).queue)
            draft.change_subtask(subtask.id, queue=queue)
            dispatch(config, draft, subtask.id)


def _order_replacement(config: RenterConfig, draft: Draft, batches: tuple[int, ...]) -> None:
    job = draft.job
    if job.orders_placed >= market.ORDERS_PER_JOB_MAX:
        ending.fail(config, draft, "no-lessor-left", "every lessor was lost and no more may be ordered")
        return
    draft.change_job(waiting=(*job.waiting, *batches))
    market.place_order(config, draft, lessors=1, units=1)


def _sending(draft: Draft, number: int, owner: str) -> BatchRecord:
    known = draft.batch(number)
    if known is None:
        job = draft.job
        first_row, rows = rows_of(job.parts, job.batch_rows, number)
        known = BatchRecord(number=number, first_row=first_row, rows=rows, owner=owner, attempt=0)
    record = structs.replace(known, owner=owner, attempt=known.attempt + 1, sent_at=0.0)
    draft.put(f"batch/{number}", record)
    return record


def _next_local(draft: Draft, *, after: int | None) -> None:
    job = draft.job
    part = next((p for p in job.parts if p.owner == LOCAL), None)
    number = None if part is None else part.first_batch if after is None else after + 1
    if part is None or number is None or number >= part.first_batch + part.batches:
        return
    if draft.batch(number) is not None:
        return
    record = _sending(draft, number, LOCAL)
    params = {"batch": number, "first_row": record.first_row, "rows": record.rows}
    draft.do(Perform(activity="compute-local", params=params))


def _credit(draft: Draft, subtask_id: str, record: BatchRecord) -> None:
    subtask = draft.subtask(subtask_id)
    draft.change_subtask(
        subtask_id,
        under_way=tuple(n for n in subtask.under_way if n != record.number),
        batches_done=subtask.batches_done + 1,
        rows_done=subtask.rows_done + record.rows,
        heard_at=draft.now,
    )


def _drop(draft: Draft, subtask_id: str, number: int) -> None:
    subtask = draft.subtask(subtask_id)
    under_way = tuple(n for n in subtask.under_way if n != number)
    draft.change_subtask(subtask_id, under_way=under_way, heard_at=draft.now)


def _compare(draft: Draft, record: BatchRecord, data: ResultAccepted) -> None:
    if data.digest == record.digest:
        return
    text = f"batch {record.number}: {data.owner} and {record.owner} disagree"
    draft.note("incident", text, first=record.digest, later=data.digest, owner=data.owner)


def _pop(subtask: Subtask) -> tuple[int, Subtask]:
    (first, end), *rest = subtask.queue
    queue = ((first + 1, end), *rest) if first + 1 < end else tuple(rest)
    return first, structs.replace(subtask, queue=tuple(queue))
