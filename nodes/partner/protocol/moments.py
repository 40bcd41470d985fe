"""Fitting a model at the partner: sums of all rows unit by unit, and the weights of its own columns. Pure.

every row is in ──► sum-unit, for each ──► answer ──► round.answered
reply.given ──► make-weights ──► norm.told
"""

from __future__ import annotations

from msgspec import structs

from nodes.draft import data_of
from nodes.joint.units import units
from nodes.ledger import Moments
from nodes.machine import Perform, Refused
from nodes.partner.protocol.draft import Draft
from nodes.partner.protocol.records import Round, Summed, UnitSummed, WeightsMade
from nodes.partner.protocol.states import ROUND
from nodes.states import advance
from schemas.events import Event
from schemas.joint import NormTold, ReplyGiven, SumsAdvanced

ONLY_ROUND = 1
"""A model takes one."""


def complete(draft: Draft, current: Round) -> Round:
    """The round has its last row: a model is summed up first, an output is made of what is summed up already."""
    part = draft.part
    if part.algorithm is None:
        draft.begin_work(Perform(activity="answer", params={"round": current.number}))
        return structs.replace(current, phase=advance(ROUND, current.phase, "all-rows"))
    every = units(part.rows, part.outputs)
    draft.begin_work(*[Perform(activity="sum-unit", params={"unit": each.number}) for each in every])
    return structs.replace(current, phase=advance(ROUND, current.phase, "all-to-sum"))


def summed(draft: Draft, event: Event) -> None:
    """`unit.summed`: with the last the answer is made."""
    data, part = data_of(event, UnitSummed), draft.part
    current, key = draft.round(ONLY_ROUND), f"unit/{data.unit}"
    if current is None or current.phase != "summing" or draft.find(Summed, key) is not None:
        return
    draft.put(key, Summed(number=data.unit, digest=data.digest))
    current = structs.replace(current, units=current.units + 1)
    wanted = len(units(part.rows, part.outputs))
    if current.units == wanted:
        current = structs.replace(current, phase=advance(ROUND, current.phase, "summed"))
        draft.begin_work(Perform(activity="answer", params={"round": ONLY_ROUND}))
    else:
        draft.begin_work()
    draft.put(f"round/{ONLY_ROUND}", current)
    draft.heard()
    draft.send("sums.advanced", part.renter, part.job, SumsAdvanced(job=part.job, done=current.units, units=wanted))


def replied(draft: Draft, event: Event) -> None:
    """`reply.given`: after the answer, once, and only where it was agreed."""
    data, part = data_of(event, ReplyGiven), draft.part
    if event.source != part.renter:
        raise Refused("not-the-renter", f"{event.source} is not the renter of this job")
    agreed = part.algorithm is not None and part.algorithm.partner_coefficients
    if not agreed or not part.answered or len(data.values) != part.outputs:
        raise Refused("no-reply-wanted", f"{event.source} replies to what was not answered so")
    draft.heard()
    if not part.weights:
        draft.begin_work(Perform(activity="make-weights", params={"values": list(data.values)}))


def fitted(draft: Draft, event: Event) -> None:
    """`weights.made`: they stay with the part when its data is erased."""
    data, part = data_of(event, WeightsMade), draft.part
    if part.weights:
        return
    draft.put("part", structs.replace(part, weights=data.weights, offset=data.offset))
    if isinstance(part.taught_by_rounds, Moments):
        draft.learn(*part.taught_by_rounds.solved())
    draft.end_work()
    draft.note("weights-made", f"{len(data.weights)} weights of its own columns")
    draft.heard()
    draft.send("norm.told", part.renter, part.job, NormTold(job=part.job, norm=data.norm))
