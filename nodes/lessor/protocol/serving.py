"""Batches of an open session (S2), and sessions that nobody uses. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol import closing, idleness, opening
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import BatchUnfit, Closed, Session
from nodes.machine import Refused, SetTimer
from schemas import codec
from schemas.events import Event

IDLE_SECONDS_MAX: Final = 60.0
"""A session without batches for this long is closed; its keys go with it."""
SWEEP_SECONDS: Final = 10.0
ENCLAVE_ENDED: Final = "enclave-"
"""How codes begin that mean: the process that held the session's keys is gone."""


def dispatched(draft: Draft, event: Event) -> None:
    """`batch.dispatched`: the shell computes it and sends the result: to the renter, or to its partner (J2)."""
    batch = codec.batch_of(event)
    if draft.closed(batch.contract) is not None:
        closing.answer_ended(draft, batch, event.source)
        return
    session = draft.session(batch.subtask)
    if session is None or session.phase != "open" or session.terms is None:
        raise Refused("not-asked-for", f"{batch.subtask} is not open here")
    contract = session.terms.contract
    if batch.contract != contract.id or batch.job != session.job or event.source != session.renter:
        raise Refused("wrong-contract", f"batch {batch.batch} does not belong to {contract.id}")
    if contract.ends_at <= draft.now:
        draft.put(f"closed/{contract.id}", Closed.of(contract))
        closing.answer_ended(draft, batch, event.source)
        return
    idleness.used(draft, contract)
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


def swept(draft: Draft, _: str) -> None:
    """Timer: close what is idle, or whose contract has run out; forget what ended long ago."""
    for _, session in list(draft.each(Session, "session")):
        over = session.terms is not None and session.terms.contract.ends_at <= draft.now
        rests = session.terms is not None and session.terms.partner is not None  # between rounds, which take their time
        if over or (session.phase == "open" and not rests and draft.now - session.used_at > IDLE_SECONDS_MAX):
            opening.close(draft, session)
    idleness.end_idle(draft)
    closing.forget_old(draft)
    watch(draft)


def watch(draft: Draft) -> None:
    """Sweep again in a while."""
    draft.do(SetTimer(name="sweep", at=draft.now + SWEEP_SECONDS))


def _close(draft: Draft, subtask: str) -> None:
    session = draft.session(subtask)
    if session is not None:
        opening.close(draft, session)
