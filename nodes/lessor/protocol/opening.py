"""How a worker comes to know a subtask: it asks, gathers terms and files, builds, and agrees keys (S2, E1). Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.lessor.protocol.draft import Draft
from nodes.lessor.protocol.records import (
    Blob,
    Closed,
    ComputerFailed,
    ComputerReady,
    EvidenceMade,
    SealAccepted,
    Session,
    SessionWanted,
)
from nodes.lessor.protocol.states import OPENING
from nodes.lessor.protocol.terms import check_contract, check_current, check_running, check_terms
from nodes.machine import CancelTimer, Perform, Refused, SetTimer
from nodes.protections import traits_of
from schemas import limits
from schemas.events import (
    Event,
    KeyConfirmed,
    KeyOffered,
    KeyRefused,
    KeySealed,
    PiecesRequested,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskRefused,
    SubtaskRequested,
)
from schemas.ids import Address
from schemas.jobs import SubtaskTerms

BLOB_BYTES_MAX: Final = 4 * limits.FILE_BYTES_MAX
"""Of pieces kept by digest; the oldest goes first that no session waits for."""
BLOB_BYTES_MIN: Final = 256 * 1024
"""A smaller piece counts as much: so there are at most a thousand."""


def announced(draft: Draft, event: Event) -> None:
    """`subtask.announced`: get keys before data comes."""
    terms = data_of(event, SubtaskAnnounced).terms
    check_contract(terms.contract, event.source, draft.config, draft.context)
    check_current(terms.contract, draft)
    check_running(terms.contract, draft)
    session = draft.session(terms.subtask)
    if session is not None and session.renter != event.source:  # a stranger's word came first, and no contract with it
        give_up(draft, session, "not-asked-for", f"{terms.subtask} is {event.source}'s")
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
    check_current(terms.contract, draft)
    check_terms(terms, draft.config)
    if data.worker != draft.worker.name or session.phase != "asked":
        draft.note("late", f"terms of {session.subtask} for {data.worker} while it is {session.phase}")
        return
    try:
        check_running(terms.contract, draft)
    except Refused as refusal:
        draft.put(f"closed/{terms.contract.id}", Closed.of(terms.contract))
        give_up(draft, session, refusal.code, refusal.reason)
        return
    _gather(draft, draft.advance(session, "assigned", terms=terms, nonce=data.nonce))


def published(draft: Draft, event: Event) -> None:
    """`program.published`, `public-key.published`: a piece, known by its digest whatever it is sent as.

    Each that comes gives the renter time for the next; one that is here already is no news.
    """
    session, raw = _asked_for(draft, event.subject, event.source), bytes(event.body)
    digest = hashlib.sha256(raw).hexdigest()
    if digest not in session.pieces:
        raise Refused("not-asked-for", f"{event.source} sent {digest[:16]}…, which {event.subject} does not need")
    if len(raw) > limits.PIECE_BYTES:
        raise Refused("piece-too-large", f"{event.source} sent {len(raw)} bytes; a piece has {limits.PIECE_BYTES}")
    if session.phase != "gathering" or draft.blob(digest) is not None:
        return
    if not _make_room(draft, len(raw)):
        give_up(draft, session, "", f"no room for the files of {session.subtask} beside those of others")
        return
    draft.put(f"blob/{digest}", Blob(raw=raw, kept_at=draft.now))
    _await(draft, session.subtask)
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
    _await(draft, accepting.subtask, loading=accepting.terms)
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


def forget_public_key(draft: Draft, session: Session) -> None:
    """Of a contract that ended: keys are made for one job, while its program may be rented for again."""
    key = session.terms.public_key if session.terms else None
    needed = {digest for _, each in draft.each(Session, "session") for digest in each.pieces}
    for digest in sorted(set(key.pieces) - needed) if key else ():
        if draft.blob(digest) is not None:
            draft.delete(f"blob/{digest}")


def _ask(draft: Draft, subtask: str, job: str, renter: Address) -> None:
    if draft.session(subtask) is not None:
        return
    new = Session(subtask=subtask, job=job, renter=renter, phase="new", used_at=draft.now)
    draft.advance(new, "wanted")
    worker = draft.worker
    request = SubtaskRequested(job=job, subtask=subtask, worker=worker.name, lane=worker.lane)
    _await(draft, subtask)
    draft.send("subtask.requested", renter, job, request)


def _await(draft: Draft, subtask: str, *, loading: SubtaskTerms | None = None) -> None:
    """Give the renter so much time, from now on, to go on; and this worker to load the program."""
    seconds = loading.program.size / limits.LOAD_BYTES_PER_SECOND_MIN if loading else 0.0
    draft.do(SetTimer(name=f"open/{subtask}", at=draft.now + limits.HANDSHAKE_SECONDS_MAX + seconds))


def _asked_for(draft: Draft, subtask: str, source: Address) -> Session:
    session = draft.session(subtask)
    if session is None or session.renter != source:
        raise Refused("not-asked-for", f"{source} was not asked for {subtask}")
    return session


def _gather(draft: Draft, session: Session) -> None:
    """Ask for the next pieces; once all are here, let the shell build what computes."""
    if session.phase != "gathering":
        return
    missing = [digest for digest in session.pieces if draft.blob(digest) is None]
    if missing:
        _fetch(draft, session, missing)
        return
    building, terms = draft.advance(session, "complete"), session.terms
    assert terms is not None
    _await(draft, session.subtask, loading=terms)
    if traits_of(terms.protection).attested:
        draft.perform("offer", building, nonce=session.nonce, contract=terms.contract.id, job=terms.job)
    else:
        draft.perform("build", building, terms=terms, **_files(draft, building))


def _fetch(draft: Draft, session: Session, missing: list[str]) -> None:
    """Keep a few pieces under way; ask for more when half of them have come."""
    asked = [digest for digest in session.asked if digest in missing]
    if len(asked) > limits.PIECES_UNDER_WAY_MAX // 2:
        return
    more = [digest for digest in missing if digest not in asked][: limits.PIECES_UNDER_WAY_MAX - len(asked)]
    if not more:
        return
    draft.put(f"session/{session.subtask}", structs.replace(session, asked=(*asked, *more)))
    worker = draft.worker
    request = PiecesRequested(
        job=session.job, subtask=session.subtask, worker=worker.name, lane=worker.lane, pieces=tuple(more)
    )
    draft.send("pieces.requested", session.renter, session.job, request)


def _make_room(draft: Draft, wanted: int) -> bool:
    """Forget the oldest pieces that no session waits for, until `wanted` bytes more may be kept."""
    opening = [each for _, each in draft.each(Session, "session") if each.phase in OPENING]
    needed = {f"blob/{digest}" for session in opening for digest in session.pieces}
    kept = sorted(draft.each(Blob, "blob"), key=lambda found: found[1].kept_at)
    room = BLOB_BYTES_MAX - sum(_weight(len(blob.raw)) for _, blob in kept) - _weight(wanted)
    for key, blob in kept:
        if room >= 0:
            break
        if key not in needed:
            draft.delete(key)
            room += _weight(len(blob.raw))
    return room >= 0


def _weight(size: int) -> int:
    return max(size, BLOB_BYTES_MIN)


def _files(draft: Draft, session: Session) -> dict[str, tuple[bytes, ...]]:
    """The pieces of program and public key, in order."""
    assert session.terms is not None
    program, key = session.terms.program, session.terms.public_key
    return {
        name: tuple(draft.blob(digest) or b"" for digest in (manifest.pieces if manifest else ()))
        for name, manifest in (("program", program), ("public_key", key))
    }


def _open(draft: Draft, session: Session, happened: str) -> None:
    draft.advance(session, happened, used_at=draft.now)
    draft.do(
        CancelTimer(name=f"open/{session.subtask}"),
        Perform(activity="resolve", params={"subtask": session.subtask, "code": "", "reason": ""}),
    )
