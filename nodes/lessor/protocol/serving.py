"""Batches of an open session, its receipt and its end (S2, R4). Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol import opening
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import BatchUnfit, Session
from nodes.lessor.protocol.terms import check_contract, check_running
from nodes.machine import Refused, SetTimer
from schemas import codec
from schemas.events import ContractEnded, Event, ReceiptCountersigned, SubtaskCompleted
from schemas.ids import derive_id
from schemas.signing import struct_bytes

IDLE_SECONDS_MAX: Final = 60.0
"""A session without batches for this long is closed; its keys go with it."""
SWEEP_SECONDS: Final = 10.0
ENCLAVE_ENDED: Final = "enclave-"
"""How codes begin that mean: the process that held the session's keys is gone."""


def dispatched(draft: Draft, event: Event) -> None:
    """`batch.dispatched`: the shell computes it and sends the result: to the renter, or to its partner (J2)."""
    batch = codec.batch_of(event)
    session = draft.session(batch.subtask)
    if session is None or session.phase != "open" or session.terms is None:
        raise Refused("not-asked-for", f"{batch.subtask} is not open here")
    contract = session.terms.contract
    if batch.contract != contract.id or batch.job != session.job or event.source != session.renter:
        raise Refused("wrong-contract", f"batch {batch.batch} does not belong to {contract.id}")
    check_running(contract, draft.now)
    draft.put(f"session/{session.subtask}", structs.replace(session, used_at=draft.now))
    draft.perform("compute", session, batch=batch, partner=session.terms.partner)


def unfit(draft: Draft, event: Event) -> None:
    """`batch.unfit`: the renter learns why; a session whose enclave ended is closed."""
    data = data_of(event, BatchUnfit)
    failed, batch = data.failed, data.failed.batch
    draft.note("batch-failed", failed.reason, code=failed.code, batch=batch.batch)
    if failed.code.startswith(ENCLAVE_ENDED):
        _close(draft, batch.subtask)
    draft.send("batch.failed", data.renter, batch.job, failed)


def completed(draft: Draft, event: Event) -> None:
    """`subtask.completed`: countersign the renter's receipt, and forget the subtask."""
    data = data_of(event, SubtaskCompleted)
    receipt, contract = data.receipt, data.contract
    check_contract(contract, event.source, draft.config, draft.context)
    check_running(contract, draft.now)
    signed = struct_bytes(receipt)
    if receipt.contract != contract.id or not draft.context.verify(
        contract.renter_key, signed, receipt.renter_signature
    ):
        raise Refused("bad-receipt", f"{event.source} did not sign this receipt")
    both = structs.replace(receipt, lessor_signature=draft.context.sign(signed))
    _close(draft, receipt.subtask)
    draft.send("receipt.countersigned", event.source, receipt.job, ReceiptCountersigned(receipt=both))


def contract_ended(draft: Draft, event: Event) -> None:
    """`contract.ended`: the hub says so; keys are gone, whatever still comes."""
    data = data_of(event, ContractEnded)
    _close(draft, derive_id("subtask", data.contract))
    draft.note("contract-ended", data.reason, code=data.code, contract=data.contract)


def swept(draft: Draft, _: str) -> None:
    """Timer: close what is idle, or whose contract has run out."""
    for _, session in list(draft.each(Session, "session")):
        over = session.terms is not None and session.terms.contract.ends_at <= draft.now
        rests = session.terms is not None and session.terms.partner is not None  # between rounds, which take their time
        if over or (session.phase == "open" and not rests and draft.now - session.used_at > IDLE_SECONDS_MAX):
            opening.close(draft, session)
    watch(draft)


def watch(draft: Draft) -> None:
    """Sweep again in a while."""
    draft.do(SetTimer(name="sweep", at=draft.now + SWEEP_SECONDS))


def _close(draft: Draft, subtask: str) -> None:
    session = draft.session(subtask)
    if session is not None:
        opening.close(draft, session)
