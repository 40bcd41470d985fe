"""Rounds at the partner (J2-J4, J6): contracts shown, results taken, outputs given. Pure."""

from __future__ import annotations

from msgspec import structs

from nodes.contracts import verify_contract
from nodes.draft import data_of
from nodes.machine import Publish, Refused
from nodes.partner.protocol import moments
from nodes.partner.protocol.draft import Draft
from nodes.partner.protocol.records import ContractRecord, PartialRefused, PartialTaken, Round, RoundAnswered, Taken
from nodes.partner.protocol.states import ROUND
from nodes.states import advance
from schemas import limits
from schemas.errors import VerificationFailed
from schemas.events import BatchRejected, BatchTaken, Event
from schemas.joint import ContractShown, RoundOpened


def contract_shown(draft: Draft, event: Event) -> None:
    """`contract.shown`: verified offline before a result under it counts."""
    contract = data_of(event, ContractShown).contract
    _require_renter(draft, event)
    if contract.renter != draft.part.renter or contract.buy.job != draft.part.job:
        raise Refused("other-contract", f"{contract.id} is not a contract of this job")
    try:
        verify_contract(contract, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{event.source} shows a contract that does not verify: {error}") from error
    draft.put(f"contract/{contract.id}", ContractRecord(contract=contract))
    draft.heard()


def opened(draft: Draft, event: Event) -> None:
    """`round.opened`: one after the other, and no more than were agreed."""
    data, part = data_of(event, RoundOpened), draft.part
    _require_renter(draft, event)
    if draft.round(data.round) is not None:
        return
    if data.round > part.rounds:
        draft.end("failed", code="too-many-rounds", reason=f"round {data.round} of {part.rounds} was opened")
        return
    if data.rows != part.rows:
        reason = f"round {data.round} is of {data.rows} rows, {part.rows} were agreed"
        draft.end("failed", code="rows-differ", reason=reason)
        return
    if data.round != part.answered + 1:
        raise Refused("wrong-round", f"round {data.round} was opened after {part.answered} were answered")
    phase = advance(ROUND, "new", "opened")
    current = Round(number=data.round, phase=phase, value_bits=data.value_bits, result_bits=data.result_bits)
    draft.put(f"round/{data.round}", current)
    draft.note("round-opened", f"round {data.round}", value_bits=data.value_bits, result_bits=data.result_bits)
    draft.learn(*part.taught_by_rounds.opened(data.round))
    draft.heard()


def taken(draft: Draft, event: Event) -> None:
    """`partial.taken`: the first result of a batch counts; with the last row the round is answered."""
    data, part = data_of(event, PartialTaken), draft.part
    batch, current = data.batch, draft.round(data.batch.round)
    if current is None or current.phase != "open":
        return
    key = f"taken/{batch.round}/{batch.batch}"
    if draft.find(Taken, key) is None:
        found = Taken(
            batch=batch.batch, first_row=batch.first_row, rows=batch.rows, lessor=data.lessor, digest=data.digest
        )
        draft.put(key, found)
        current = structs.replace(current, rows=current.rows + batch.rows, batches=current.batches + 1)
        if current.rows >= part.rows:
            current = moments.complete(draft, current)
        draft.put(f"round/{batch.round}", current)
    draft.heard()
    draft.send("batch.taken", part.renter, part.job, BatchTaken(batch=batch))


def refused(draft: Draft, event: Event) -> None:
    """`partial.refused`: the lessor erred; the renter sees to it."""
    data, part = data_of(event, PartialRefused), draft.part
    draft.note("incident", f"{data.lessor}: {data.reason}", code=data.code, batch=data.batch.batch)
    reason = data.reason[: limits.REASON_CHARS_MAX]
    draft.send("batch.rejected", part.renter, part.job, BatchRejected(batch=data.batch, code=data.code, reason=reason))


def answered(draft: Draft, event: Event) -> None:
    """`round.made`: the output goes to the renter, still encrypted (J4)."""
    data, part = data_of(event, RoundAnswered), draft.part
    if data.code:
        draft.end("failed", code=data.code, reason=data.reason)
        return
    current = draft.round(data.round)
    if current is None or current.phase != "answering":
        return
    draft.learn(*part.taught_by_rounds.answered(data.round, data.outputs))
    phase = advance(ROUND, current.phase, "answered")
    draft.put(f"round/{data.round}", structs.replace(current, phase=phase, output=data.digest))
    draft.put("part", structs.replace(draft.part, answered=data.round))
    draft.end_work()
    for key, _ in list(draft.each(Taken, f"taken/{data.round}")):
        draft.delete(key)
    draft.heard()
    attributes = {"round": str(data.round), "bits": str(data.bits)}
    if part.algorithm is not None:
        attributes["sizebits"] = str(data.size_bits)
    draft.do(Publish(type="round.answered", to=part.renter, subject=part.job, blob=data.digest, attributes=attributes))
    draft.note("round-answered", f"round {data.round} of {part.rounds}", outputs=part.outputs)


def _require_renter(draft: Draft, event: Event) -> None:
    if event.source != draft.part.renter:
        raise Refused("not-the-renter", f"{event.source} is not the renter of this job")
