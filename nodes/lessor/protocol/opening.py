"""How a worker comes to know a subtask: it asks, gathers terms and files, builds, and agrees keys (S2, E1). Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from nodes.draft import data_of
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import (
    Blob,
    ComputerFailed,
    ComputerReady,
    EvidenceMade,
    SealAccepted,
    Session,
    SessionWanted,
)
from nodes.lessor.protocol.terms import check_contract, check_running, check_terms
from nodes.machine import CancelTimer, Perform, Refused, SetTimer
from nodes.protections import traits_of
from schemas import limits
from schemas.events import (
    Event,
    KeyConfirmed,
    KeyOffered,
    KeyRefused,
    KeySealed,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskRefused,
    SubtaskRequested,
)
from schemas.ids import Address

BLOBS_MAX: Final = 32
"""Programs and keys kept by digest; the oldest goes first."""


def announced(draft: Draft, event: Event) -> None:
    """`subtask.announced`: get keys before data comes."""
    terms = data_of(event, SubtaskAnnounced).terms
    check_contract(terms.contract, event.source, draft.config, draft.context)
    check_running(terms.contract, draft.now)
    _ask(draft, terms.subtask, terms.job, event.source)


def wanted(draft: Draft, event: Event) -> None:
    """`session.wanted`: a batch came before its subtask was known here."""
    data = data_of(event, SessionWanted)
    _ask(draft, data.subtask, data.job, data.renter)


def assigned(draft: Draft, event: Event) -> None:
    """`subtask.assigned`: the terms that this worker asked for."""
    data = data_of(event, SubtaskAssigned)
    terms, session = data.terms, _asked_for(draft, data.terms.subtask, event.source)
    check_contract(terms.contract, event.source, draft.config, draft.context)
    check_running(terms.contract, draft.now)
    check_terms(terms)
    if data.worker != draft.worker.name or session.phase != "asked":
        draft.note("late", f"terms of {session.subtask} for {data.worker} while it is {session.phase}")
        return
    _gather(draft, draft.advance(session, "assigned", terms=terms, nonce=data.nonce))


def published(draft: Draft, event: Event) -> None:
    """`program.published`, `public-key.published`: content-addressed, so what was asked for is known by its digest."""
    session, raw = _asked_for(draft, event.subject, event.source), bytes(event.body)
    digest = hashlib.sha256(raw).hexdigest()
    if digest not in session.digests:
        raise Refused("not-asked-for", f"{event.source} sent {digest[:16]}…, which {event.subject} does not need")
    draft.put(f"blob/{digest}", Blob(raw=raw, kept_at=draft.now))
    kept = sorted(draft.each(Blob, "blob"), key=lambda found: found[1].kept_at)
    for key, _ in kept[: max(0, len(kept) - BLOBS_MAX)]:
        draft.delete(key)
    for _, each in list(draft.each(Session, "session")):
        _gather(draft, each)


def ready(draft: Draft, event: Event) -> None:
    """`computer.ready`: ciphertexts can be computed on."""
    session = draft.session(data_of(event, ComputerReady).subtask)
    if session is not None and session.phase == "building":
        _open(draft, session, "ready")


def evidence_made(draft: Draft, event: Event) -> None:
    """`evidence.made`: the enclave's half of the key agreement goes to the renter."""
    data = data_of(event, EvidenceMade)
    session = draft.session(data.subtask)
    if session is None or session.phase != "building":
        return
    draft.advance(session, "evidence-made")
    worker = draft.worker
    offer = KeyOffered(
        job=session.job, subtask=session.subtask, worker=worker.name, lane=worker.lane, evidence=data.evidence
    )
    draft.send("key.offered", session.renter, session.job, offer)


def sealed(draft: Draft, event: Event) -> None:
    """`key.sealed`: the renter's half; only the enclave that made the offer can open it."""
    data = data_of(event, KeySealed)
    session = _asked_for(draft, data.subtask, event.source)
    if data.worker != draft.worker.name or session.phase != "offered":
        draft.note("late", f"a key for {data.worker}, which is {session.phase} with {session.subtask}")
        return
    accepting = draft.advance(session, "sealed")
    draft.perform("accept", accepting, terms=accepting.terms, seal=data, **_files(draft, accepting))


def accepted(draft: Draft, event: Event) -> None:
    """`seal.accepted`: batches may come."""
    data = data_of(event, SealAccepted)
    session = draft.session(data.subtask)
    if session is None or session.phase != "accepting":
        return
    confirmed = KeyConfirmed(
        job=session.job,
        subtask=session.subtask,
        worker=draft.worker.name,
        mac=data.mac,
        protections=data.protections,
    )
    draft.send("key.confirmed", session.renter, session.job, confirmed)
    _open(draft, session, "accepted")


def failed(draft: Draft, event: Event) -> None:
    """`computer.failed`: the renter learns why, and whoever waits for the session."""
    data = data_of(event, ComputerFailed)
    session = draft.session(data.subtask)
    if session is None or session.phase == "open":
        return
    refusal = KeyRefused(
        job=session.job,
        subtask=session.subtask,
        worker=draft.worker.name,
        code=data.code,
        reason=data.reason[: limits.REASON_CHARS_MAX],
    )
    draft.send("key.refused", session.renter, session.job, refusal)
    give_up(draft, session, data.code, data.reason)


def refused(draft: Draft, event: Event) -> None:
    """`subtask.refused`: the renter gives this worker nothing."""
    data = data_of(event, SubtaskRefused)
    session = _asked_for(draft, data.subtask, event.source)
    check_contract(data.contract, event.source, draft.config, draft.context)
    if data.worker == draft.worker.name and session.phase != "open":
        give_up(draft, session, data.code, data.reason)


def overdue(draft: Draft, subtask: str) -> None:
    """Timer: the renter did not open the session in time; what waits for it comes again."""
    session = draft.session(subtask)
    if session is not None and session.phase != "open":
        text = f"{session.renter} did not open {subtask} within {limits.HANDSHAKE_SECONDS_MAX:.0f} s"
        give_up(draft, session, "", text)


def give_up(draft: Draft, session: Session, code: str, reason: str) -> None:
    """Forget a session that is not open; without a code, those that wait for it may try again."""
    draft.advance(session, "given-up")
    draft.note("session-given-up", reason, code=code, subtask=session.subtask)
    draft.do(CancelTimer(name=f"open/{session.subtask}"))
    draft.perform("close", session)
    draft.perform("resolve", session, code=code, reason=reason)


def close(draft: Draft, session: Session) -> None:
    """End a session in whatever phase; its keys go with it."""
    if session.phase == "open":
        draft.advance(session, "closed")
        draft.perform("close", session)
    else:
        give_up(draft, session, "", f"{session.subtask} has ended")


def _ask(draft: Draft, subtask: str, job: str, renter: Address) -> None:
    if draft.session(subtask) is not None:
        return
    new = Session(subtask=subtask, job=job, renter=renter, phase="new", used_at=draft.now)
    draft.advance(new, "wanted")
    worker = draft.worker
    request = SubtaskRequested(job=job, subtask=subtask, worker=worker.name, lane=worker.lane)
    draft.do(SetTimer(name=f"open/{subtask}", at=draft.now + limits.HANDSHAKE_SECONDS_MAX))
    draft.send("subtask.requested", renter, job, request)


def _asked_for(draft: Draft, subtask: str, source: Address) -> Session:
    session = draft.session(subtask)
    if session is None or session.renter != source:
        raise Refused("not-asked-for", f"{source} was not asked for {subtask}")
    return session


def _gather(draft: Draft, session: Session) -> None:
    """Once program and key are here, let the shell build what computes."""
    if session.phase != "gathering" or any(draft.blob(digest) is None for digest in session.digests):
        return
    building, terms = draft.advance(session, "complete"), session.terms
    assert terms is not None
    if traits_of(terms.protection).attested:
        draft.perform("offer", building, nonce=session.nonce, contract=terms.contract.id, job=terms.job)
    else:
        draft.perform("build", building, terms=terms, **_files(draft, building))


def _files(draft: Draft, session: Session) -> dict[str, bytes]:
    assert session.terms is not None
    key = session.terms.public_key
    return {
        "program": draft.blob(session.terms.program) or b"",
        "public_key": (draft.blob(key) or b"") if key else b"",
    }


def _open(draft: Draft, session: Session, happened: str) -> None:
    draft.advance(session, happened, used_at=draft.now)
    draft.do(
        CancelTimer(name=f"open/{session.subtask}"),
        Perform(activity="resolve", params={"subtask": session.subtask, "code": "", "reason": ""}),
    )
