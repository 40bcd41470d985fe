"""How a job ends: all rows in and assembled, or failed with its cause; receipts of use (both signed). Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.contracts import charge_micros
from nodes.draft import data_of
from nodes.machine import Perform, Refused, SetTimer
from nodes.renter.protocol import market, partnership
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import JobAssembled, JobSpoiled
from nodes.renter.protocol.records import Subtask
from nodes.renter.protocol.states import OPEN
from schemas.contracts import Receipt
from schemas.events import Event, ReceiptCountersigned, SubtaskCompleted
from schemas.signing import struct_bytes

KEEP = "keep"
"""The timer of an ended job: when it fires, nothing of it is kept any longer."""
DIGITS = 4
"""Of seconds in notes, after the point."""


def fail(draft: Draft, code: str, reason: str) -> None:
    """End the job without a result; contracts are ended, for their time, and an open order is taken back."""
    draft.advance("failed")
    _complete_all(draft)
    job = draft.change_job(code=code, reason=reason, ended_at=draft.now)
    if job.order and not job.expected_contracts:
        market.cancel_order(draft)
    for record in draft.contracts():
        if not record.ended:
            market.end_contract(draft, record.contract, "job-failed")  # why is nobody else's business
    draft.note("job-failed", reason, code=code)
    partnership.end(draft, code, reason)
    _keep(draft)


def finish_if_done(draft: Draft) -> None:
    """When every batch has its result."""
    if draft.job.spec.joint is None and draft.phase == "running" and draft.progress.batches_done >= draft.job.batches:
        finish(draft)


def finish(draft: Draft) -> None:
    """Receipts to the lessors, and join the parts."""
    _complete_all(draft)
    if draft.job.order and not draft.job.expected_contracts:
        market.cancel_order(draft)
    draft.advance("all-done")
    draft.do(Perform(activity="assemble", params={}))


def assembled(draft: Draft, event: Event) -> None:
    """`job.assembled`: the output is in its place."""
    data = data_of(event, JobAssembled)
    draft.advance("assembled")
    draft.change_job(ended_at=draft.now)
    partnership.end(draft, "completed", "the job is done")
    _keep(draft)
    draft.note("job-completed", f"{data.rows} rows", digest=data.digest)
    _compare(draft)


def spoiled(draft: Draft, event: Event) -> None:
    """`job.spoiled`: the renter's own files or wishes are at fault."""
    data = data_of(event, JobSpoiled)
    fail(draft, data.code, data.reason)


def receipt_countersigned(draft: Draft, event: Event) -> None:
    """`receipt.countersigned`: with both signatures the contract ends at the hubs."""
    receipt = data_of(event, ReceiptCountersigned).receipt
    record = draft.contract(receipt.contract)
    contract = record.contract
    signed = struct_bytes(receipt)
    own = draft.context.verify(contract.renter_key, signed, receipt.renter_signature)
    if event.source != contract.lessor or not own:
        raise Refused("bad-receipt", f"{event.source} countersigned a receipt that {draft.config.me} did not write")
    if not draft.context.verify(contract.lessor_key, signed, receipt.lessor_signature):
        raise Refused("bad-signature", f"{event.source} did not sign its receipt")
    market.settle(draft, contract, receipt)
    if not record.ended:
        market.end_contract(draft, contract, "completed")


def forget(draft: Draft) -> None:
    """Keys live no longer than their job: what is decrypted lies in the output, what is not is of no use any more."""
    draft.do(Perform(activity="forget", params={"subtasks": [subtask.id for subtask in draft.subtasks()]}))


def _keep(draft: Draft) -> None:
    forget(draft)
    draft.do(SetTimer(name=KEEP, at=draft.now + draft.config.keep_seconds))


def _compare(draft: Draft) -> None:
    """What was predicted beside what it took: the next prediction is only as good as this one was."""
    job = draft.job
    if job.assessment is None:
        return
    predicted, spent = job.assessment.costs, draft.progress.spent
    details: dict[str, dict[str, float]] = {}
    for name in ("encrypt_seconds", "lessor_seconds", "decrypt_seconds"):
        expected, taken = getattr(predicted, name), getattr(spent, name)
        details[name] = {"predicted": round(expected, DIGITS), "actual": round(taken, DIGITS)}
        if expected:
            details[name]["ratio"] = round(taken / expected, DIGITS)
    draft.note("predictions", "seconds of one core, predicted and taken", **details)


def _complete_all(draft: Draft) -> None:
    running = {each.id: each for each in draft.subtasks() if each.phase in OPEN}
    for subtask in running.values():
        waits = subtask.renews in running  # its time would have begun where the other's ends
        complete(draft, structs.replace(subtask, started_at=draft.now) if waits else subtask)


def complete(draft: Draft, subtask: Subtask) -> None:
    """A subtask's work is done: the renter's half of its receipt, for the time that it was rented."""
    contract = draft.contract(subtask.contract).contract
    ended_at = subtask.started_at + min(draft.now - subtask.started_at, contract.ends_at - contract.starts_at)
    unsigned = Receipt(
        contract=contract.id,
        job=draft.job.spec.id,
        subtask=subtask.id,
        rows=subtask.rows_done,
        batches=subtask.batches_done,
        started_at=subtask.started_at,
        ended_at=ended_at,
        cost_micros=charge_micros(contract, ended_at - subtask.started_at),  # of the very difference that others take
    )
    receipt = structs.replace(unsigned, renter_signature=draft.context.sign(struct_bytes(unsigned)))
    draft.advance_subtask(subtask.id, "all-done", cost_micros=receipt.cost_micros)
    draft.send("subtask.completed", subtask.lessor, subtask.id, SubtaskCompleted(contract=contract, receipt=receipt))
