"""The renter's half of the key agreement (E1): one secret per lessor, sealed to each of its verified enclaves. Pure.

A worker asks for a subtask and gets its terms on its lane, and for enclaves a fresh nonce; then it asks for program and
public key, piece by piece, as fast as it can take them.
Its enclave answers with evidence bound to that nonce; only evidence that the policy accepts gets the secret. Verifying
and sealing need secrets and a parser for foreign bytes, so they are activities; the decisions stand here.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.draft import data_of
from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.errors import POLICY_CODES
from nodes.machine import CancelTimer, Perform, Refused
from nodes.protections import traits_of
from nodes.renter.protocol import faults, leases
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import EvidenceAccepted, EvidenceRejected
from nodes.renter.protocol.records import Subtask, Worker
from nodes.renter.protocol.states import OPEN
from nodes.renter.protocol.subtasks import terms_of
from schemas import limits
from schemas.events import (
    Event,
    KeyConfirmed,
    KeyOffered,
    KeyRefused,
    KeySealed,
    PiecesRequested,
    SubtaskAssigned,
    SubtaskRefused,
    SubtaskRequested,
)

SENDINGS_MAX: Final = 8
"""A lessor gets a subtask's files this often: it may have more workers than it rents out."""
SENDINGS_PER_UNIT_MAX: Final = 2
"""And this often for each unit: for its worker, and for one that restarted. Then once more every minute."""
WORKERS_PER_SUBTASK_MAX: Final = 64
REFUSALS_PER_SUBTASK_MAX: Final = 3
"""A lessor with this many refused enclaves, and none that proved itself, is lost for the job."""


def requested(draft: Draft, event: Event) -> None:
    """`subtask.requested`: a worker does not know a subtask yet."""
    data = data_of(event, SubtaskRequested)
    subtask = draft.subtask_from(event, data.subtask)
    if draft.phase != "running" or subtask.phase not in OPEN:
        contract = draft.contract(subtask.contract).contract
        reason = f"the job is {draft.phase}, the subtask {subtask.phase}"
        refusal = SubtaskRefused(subtask=subtask.id, contract=contract, worker=data.worker, code="ended", reason=reason)
        draft.send("subtask.refused", event.source, subtask.id, refusal, lane=data.lane)
        return
    _make_room(draft, subtask, data.worker)
    terms = terms_of(draft, subtask)
    attested = traits_of(terms.protection).attested
    nonce = draft.context.nonce(f"{subtask.id}/{data.worker}") if attested else b""
    worker = Worker(lane=data.lane, nonce=nonce, asked_at=draft.now, state="assigned")
    draft.put(f"worker/{subtask.id}/{data.worker}", worker)
    draft.change_subtask(subtask.id, heard_at=draft.now)
    assigned = SubtaskAssigned(terms=terms, worker=data.worker, nonce=nonce)
    draft.send("subtask.assigned", event.source, subtask.id, assigned, lane=data.lane)


def pieces_requested(draft: Draft, event: Event) -> None:
    """`pieces.requested`: parts of the files that the terms name, and no others, so often."""
    data = data_of(event, PiecesRequested)
    subtask = draft.subtask_from(event, data.subtask)
    _worker(draft, subtask.id, data.worker)
    if subtask.phase not in OPEN:
        draft.note("late", f"{data.worker} asks for files of {subtask.id}, which is {subtask.phase}")
        return
    known = {piece: kind for kind, manifest in terms_of(draft, subtask).files() for piece in manifest.pieces}
    if not known.keys() >= set(data.pieces):
        raise Refused("unknown-piece", f"{data.worker} asks for what {subtask.id} does not have")
    sent = subtask.pieces_sent + len(data.pieces)
    units, minutes = draft.contract(subtask.contract).contract.units, (draft.now - subtask.started_at) / 60
    if sent > len(known) * (SENDINGS_MAX + SENDINGS_PER_UNIT_MAX * units + max(0.0, minutes)):
        raise Refused("too-many-pieces", f"{event.source} has got the files of {subtask.id} too often")
    draft.change_subtask(subtask.id, heard_at=draft.now, pieces_sent=sent)
    for piece in data.pieces:
        draft.send(known[piece], event.source, subtask.id, blob=piece, lane=data.lane)


def offered(draft: Draft, event: Event) -> None:
    """`key.offered`: one offer per nonce, in time, from the worker that got it."""
    data = data_of(event, KeyOffered)
    subtask = draft.subtask_from(event, data.subtask)
    worker = _worker(draft, data.subtask, data.worker)
    if worker.state != "assigned":
        raise Refused("replayed-nonce", f"{data.worker} already used its nonce")
    age_seconds = draft.now - worker.asked_at
    if age_seconds > limits.NONCE_SECONDS_MAX:
        raise Refused("stale-nonce", f"{data.worker} answered after {limits.NONCE_SECONDS_MAX:.0f} s")
    draft.put(f"worker/{subtask.id}/{data.worker}", structs.replace(worker, state="verifying", lane=data.lane))
    draft.change_subtask(subtask.id, heard_at=draft.now)
    params = {
        "subtask": subtask.id,
        "worker": data.worker,
        "contract": subtask.contract,
        "nonce": worker.nonce.hex(),
        "age_seconds": age_seconds,
        "evidence": data.evidence.hex(),
    }
    draft.do(Perform(activity="verify-evidence", params=params))


def evidence_accepted(draft: Draft, event: Event) -> None:
    """`evidence.accepted`: the sealed secret goes to the worker's lane."""
    data = data_of(event, EvidenceAccepted)
    worker = _worker(draft, data.subtask, data.worker)
    changed = structs.replace(worker, state="sealed", mac_digest=data.mac_digest, claims=data.claims_shown)
    draft.put(f"worker/{data.subtask}/{data.worker}", changed)
    draft.note("evidence-accepted", "the enclave proved itself", worker=data.worker, **data.claims_shown)
    sealed = KeySealed(
        subtask=data.subtask,
        worker=data.worker,
        sealed=data.sealed,
        signature=data.signature,
        claims=data.claims,
        policy_digest=data.policy_digest,
    )
    draft.send("key.sealed", draft.subtask(data.subtask).lessor, data.subtask, sealed, lane=worker.lane)


def evidence_rejected(draft: Draft, event: Event) -> None:
    """`evidence.rejected`: no key for this enclave, and the worker learns why."""
    data = data_of(event, EvidenceRejected)
    subtask = draft.subtask(data.subtask)
    worker = _worker(draft, data.subtask, data.worker)
    draft.put(f"worker/{subtask.id}/{data.worker}", structs.replace(worker, state="refused"))
    draft.note("evidence-rejected", data.reason, code=data.code, worker=data.worker, lessor=subtask.lessor)
    refusal = SubtaskRefused(
        subtask=subtask.id,
        contract=draft.contract(subtask.contract).contract,
        worker=data.worker,
        code=data.code,
        reason=data.reason,
    )
    draft.send("subtask.refused", subtask.lessor, subtask.id, refusal, lane=worker.lane)
    _count_refusals(draft, subtask, data.code, data.reason)


def confirmed(draft: Draft, event: Event) -> None:
    """`key.confirmed`: the first confirmation opens the subtask for batches."""
    data = data_of(event, KeyConfirmed)
    subtask = draft.subtask_from(event, data.subtask)
    worker = _worker(draft, data.subtask, data.worker)
    if worker.state != "sealed" or not is_confirmed(data.mac, worker.mac_digest):
        raise Refused("bad-confirmation", f"{data.worker} did not confirm the key that was sealed to it")
    draft.put(f"worker/{subtask.id}/{data.worker}", structs.replace(worker, state="confirmed"))
    draft.note("key-confirmed", "the enclave holds the subtask secret", worker=data.worker, applied=data.protections)
    draft.change_subtask(subtask.id, heard_at=draft.now)
    if subtask.phase == "keying":
        draft.do(CancelTimer(name=f"key/{subtask.id}"))
        draft.advance_subtask(subtask.id, "confirmed")
        leases.go_on(draft, subtask.id)


def refused(draft: Draft, event: Event) -> None:
    """`key.refused`: the lessor's enclave does not accept this renter's half."""
    data = data_of(event, KeyRefused)
    subtask = draft.subtask_from(event, data.subtask)
    worker = _worker(draft, data.subtask, data.worker)
    draft.put(f"worker/{subtask.id}/{data.worker}", structs.replace(worker, state="refused"))
    draft.note("key-refused", data.reason, code=data.code, worker=data.worker, lessor=subtask.lessor)
    _count_refusals(draft, subtask, data.code, data.reason)


def _make_room(draft: Draft, subtask: Subtask, worker: str) -> None:
    """Few workers of a subtask are remembered: the one that asked longest ago gives way, and may ask again."""
    known = sorted(draft.each(Worker, f"worker/{subtask.id}"), key=lambda found: found[1].asked_at)
    if draft.worker(subtask.id, worker) is None and len(known) >= WORKERS_PER_SUBTASK_MAX:
        draft.delete(known[0][0])


def _count_refusals(draft: Draft, subtask: Subtask, code: str, reason: str) -> None:
    """Without any confirmed worker, give the lessor up: at once where the policy speaks, else after a few tries."""
    states = [worker.state for worker in draft.workers(subtask.id)]
    if "confirmed" in states:
        return
    refusals = states.count("refused")
    if refusals >= REFUSALS_PER_SUBTASK_MAX or code in POLICY_CODES:
        faults.lose(draft, subtask.id, code, reason)


def _worker(draft: Draft, subtask_id: str, worker_id: str) -> Worker:
    worker = draft.worker(subtask_id, worker_id)
    if worker is None:
        raise Refused("unknown-worker", f"{worker_id} never asked for {subtask_id}")
    return worker
