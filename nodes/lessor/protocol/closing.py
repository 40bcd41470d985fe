"""How a contract ends at a worker (R4): its receipt is countersigned once, and nothing more is computed. Pure.

What one worker learns of an end it tells the others of its lessor on their lanes. A worker that starts later may have
missed it; the lease bounds what it would still compute.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol import market, opening
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.receipts import check_receipt
from nodes.lessor.protocol.records import BatchReturned, Closed, Work
from nodes.lessor.protocol.terms import check_contract
from nodes.machine import Perform, Refused
from schemas.contracts import Settlement
from schemas.events import (
    BatchFailed,
    ContractClosed,
    ContractEnded,
    Event,
    ReceiptCountersigned,
    SubtaskCompleted,
)
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.jobs import Batch
from schemas.limits import LEASE_SECONDS_MAX
from schemas.signing import struct_bytes

SILENT: Final = "silent"
"""The renter's code for a lessor that answers nothing."""
CLOSED_MAX: Final = 10_000
"""Ended contracts that a worker remembers; the oldest give way."""


def completed(draft: Draft, event: Event) -> None:
    """`subtask.completed`: countersign the renter's receipt, one per contract, and forget the subtask.

    It is kept before anybody gets this lessor's signature.
    """
    data = data_of(event, SubtaskCompleted)
    receipt, contract = data.receipt, data.contract
    check_contract(contract, event.source, draft.config, draft.context)
    signed = struct_bytes(receipt)
    if not draft.context.verify(contract.renter_key, signed, receipt.renter_signature):
        raise Refused("bad-receipt", f"{event.source} did not sign this receipt")
    before = draft.closed(contract.id)
    known = None if before is None else before.receipt
    if known is None:
        check_receipt(receipt, contract, draft.find(Work, f"work/{contract.id}"), draft.now)
    elif struct_bytes(known) != signed:
        raise Refused("second-receipt", f"{contract.id} has another receipt already")
    both = structs.replace(receipt, lessor_signature=draft.context.sign(signed))
    settlement = Settlement(contract=contract, receipt=both)
    draft.do(Perform(activity="keep-receipt", params={"settlement": settlement}))
    _close(draft, contract.id, Closed.of(contract, both))
    draft.send("receipt.countersigned", event.source, receipt.job, ReceiptCountersigned(receipt=both))
    draft.send("contract.settled", hub_address(hub_of(draft.config.me)), contract.id, settlement)


def ended(draft: Draft, event: Event) -> None:
    """`contract.ended`: the hub says so; keys are gone, whatever still comes. Who is called silent shows life."""
    data = data_of(event, ContractEnded)
    if event.source != hub_address(hub_of(draft.config.me)):
        raise Refused("not-the-hub", f"{event.source} does not end contracts; {draft.config.me}'s own hub does")
    draft.note("contract-ended", data.reason, code=data.code, contract=data.contract)
    if draft.closed(data.contract) is None:
        close(draft, data.contract)
    if data.code == SILENT:
        market.offer(draft)


def close(draft: Draft, contract: str) -> None:
    """Nothing more is computed under it, by none of this lessor's workers."""
    session = draft.session(derive_id("subtask", contract))
    known = None if session is None or session.terms is None else session.terms.contract
    closed = Closed(until=draft.now + LEASE_SECONDS_MAX) if known is None else Closed.of(known)
    _close(draft, contract, closed)


def answer_ended(draft: Draft, batch: Batch, renter: Address) -> None:
    """What is under an ended contract is not computed, and its renter told so: it may have been sent in time."""
    reason = f"{batch.contract} has ended; batch {batch.batch} was not computed"
    failed = BatchFailed(batch=batch, code="contract-ended", reason=reason, final=False)
    draft.send("batch.failed", renter, batch.job, failed)


def returned(draft: Draft, event: Event) -> None:
    """`batch.returned`: count what this worker computed, to hold receipts against it."""
    data = data_of(event, BatchReturned)
    batch, began_at = data.batch, draft.now - data.seconds
    work = draft.find(Work, f"work/{batch.contract}") or Work(began_at=began_at, ended_at=draft.now)
    seen = work.seen if work.round == batch.round else 0
    new = not seen >> batch.batch & 1
    changed = structs.replace(
        work, ended_at=draft.now, batches=work.batches + new, round=batch.round, seen=seen | 1 << batch.batch
    )
    draft.put(f"work/{batch.contract}", changed)


def told(draft: Draft, event: Event) -> None:
    """`contract.closed`: another worker of this lessor knows that it is over."""
    data, before = data_of(event, ContractClosed), draft.closed(data_of(event, ContractClosed).contract)
    receipt = data.receipt if before is None or before.receipt is None else before.receipt
    closed = Closed(until=data.until, renter=data.renter or "", renter_key=data.renter_key, receipt=receipt)
    _forget(draft, data.contract, closed)


def forget_old(draft: Draft) -> None:
    """Drop what nobody can ask for any more."""
    kept = sorted(draft.each(Closed, "closed"), key=lambda found: found[1].until)
    surplus = len(kept) - CLOSED_MAX
    for number, (key, closed) in enumerate(kept):
        if closed.until <= draft.now - LEASE_SECONDS_MAX or number < surplus:
            draft.delete(key)
            draft.delete(f"work/{key.partition('/')[2]}")
    for key, work in list(draft.each(Work, "work")):
        if work.ended_at <= draft.now - 2 * LEASE_SECONDS_MAX:  # its end was never heard of
            draft.delete(key)


def _close(draft: Draft, contract: str, closed: Closed) -> None:
    _forget(draft, contract, closed)
    news = ContractClosed(
        contract=contract,
        until=closed.until,
        renter=Address(closed.renter) if closed.renter else None,
        renter_key=closed.renter_key,
        receipt=closed.receipt,
    )
    draft.tell_others("contract.closed", contract, news)


def _forget(draft: Draft, contract: str, closed: Closed) -> None:
    draft.put(f"closed/{contract}", closed)
    session = draft.session(derive_id("subtask", contract))
    if session is not None:
        opening.close(draft, session)
        opening.forget_public_key(draft, session)
