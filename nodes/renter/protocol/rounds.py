"""A joint job's rounds at the renter (J1-J6): agree with the partner, open rounds, count, take outputs. Pure.

    introduced ──► asked ──► accepted ──► compute is ordered, rows are split
    plan-round ──► planned: round.opened to the partner, batches to the lessors
    batch.forwarded (lessor) and batch.taken (partner), per batch, in any order
    output.accepted ──► plan-round of the next, or the end

A lessor has done its part when it says that a batch went to the partner; from then on it is the partner who owes an
answer. Rows go out once: later rounds bring parameters, and rows only to enclaves that lack them.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from nodes.draft import data_of
from nodes.introductions import verify_introduction
from nodes.ledger import Moments
from nodes.machine import Perform, Refused, TimerFired
from nodes.renter.protocol import ending, faults, joining, partnership, runs, windows
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import OutputAccepted, OutputRefused, RoundPlanned, RoundsDone
from nodes.renter.protocol.records import Agreement, BatchRecord, Subtask, subtask_of
from nodes.renter.protocol.states import ROUND, SERVING
from nodes.states import advance
from schemas.errors import VerificationFailed
from schemas.events import BatchForwarded, BatchRejected, BatchTaken, Event
from schemas.jobs import Batch
from schemas.joint import (
    IntroductionProposed,
    IntroductionRefused,
    JointAccepted,
    JointEnded,
    NormTold,
    ReplyGiven,
    RoundOpened,
    SumsAdvanced,
)

_WAITED_FOR: Final = {"agreeing": "the request", "joining": "the alignment of rows"}


def introduced(draft: Draft, event: Event) -> None:
    """`introduction.made`: the hubs vouch for the partner's key; now it is asked (J1)."""
    made, joint = data_of(event, IntroductionProposed).introduction, partnership.joint_of(draft)
    mine = made.renter == draft.config.me and made.renter_key in (draft.config.key, draft.config.newest)
    if not mine or made.partner != joint.partner:
        raise Refused("not-my-introduction", f"{event.source} introduced {made.partner} to {made.renter}")
    try:
        verify_introduction(made, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{event.source} sent an introduction that does not verify: {error}") from error
    if draft.find(Agreement, "agreement") is None:
        draft.put("agreement", Agreement(introduction=made, salt=draft.context.nonce("alignment")))
        partnership.owes(draft, something=True)
        draft.do(Perform(activity="ask-partner", params={"introduction": msgspec.to_builtins(made)}))


def not_introduced(draft: Draft, event: Event) -> None:
    """`introduction.refused`: no hub knows the partner."""
    data = data_of(event, IntroductionRefused)
    ending.fail(draft, data.code, data.reason)


def deferred(draft: Draft, event: Event) -> None:
    """`joint.deferred`: a person at the partner has to approve, which takes its time."""
    partnership.require_partner(draft, event)
    if not draft.agreement.accepted:
        ahead = draft.config.approval_seconds_max - draft.config.partner_seconds_max
        partnership.owes(draft, something=True, patience_seconds=ahead)
        draft.note("partner-deferred", f"{event.source} waits for a person to approve")


def accepted(draft: Draft, event: Event) -> None:
    """`joint.accepted`: the partner takes part, so compute is worth ordering."""
    partnership.require_partner(draft, event)
    columns = data_of(event, JointAccepted).columns
    draft.put("agreement", structs.replace(draft.agreement, accepted=True, columns=columns))
    partnership.owes(draft, something=False)
    draft.note("partner-accepted", f"{event.source} takes part", dataset=partnership.joint_of(draft).dataset)
    joining.begin(draft, data_of(event, JointAccepted))


def ended(draft: Draft, event: Event) -> None:
    """`joint.ended`: the partner refused, withdrew, or failed."""
    partnership.require_partner(draft, event)
    data = data_of(event, JointEnded)
    draft.put("agreement", structs.replace(draft.agreement, ended=True))
    ending.fail(draft, data.code, f"the partner {event.source} ended its part: {data.reason}")


def planned(draft: Draft, event: Event) -> None:
    """`round.planned`: open it, with every batch to be sent again to whoever has its rows."""
    data = data_of(event, RoundPlanned)
    known = draft.round(data.round)
    if known is None or known.phase != "planning":
        return
    phase = advance(ROUND, known.phase, "planned")
    fields = {"parameters": data.parameters, "result_bits": data.result_bits, "value_bits": data.value_bits}
    draft.put(f"round/{data.round}", structs.replace(known, phase=phase, **fields))
    draft.note("round-opened", f"round {data.round}", result_bits=data.result_bits, value_bits=data.value_bits)
    partnership.learn(draft, partnership.taught_by_rounds(draft).opened(data.round))
    opened = RoundOpened(
        job=draft.job.spec.id,
        round=data.round,
        rows=draft.job.decided[0].rows,
        value_bits=data.value_bits,
        result_bits=data.result_bits,
    )
    draft.send("round.opened", partnership.joint_of(draft).partner, draft.job.spec.id, opened)
    if data.round > 1:
        _begin_again(draft, data.round)
    for subtask in draft.subtasks():
        windows.fill(draft, subtask.id)


def forwarded(draft: Draft, event: Event) -> None:
    """`batch.forwarded`: the lessor did its part; the partner has yet to say that it has the result."""
    data = data_of(event, BatchForwarded)
    subtask, record = draft.subtask_from(event, data.batch.subtask), draft.batch(data.batch.batch)
    if record is None or record.round != data.batch.round or record.number not in subtask.under_way:
        draft.note("late", f"batch {data.batch.batch} was forwarded and is not under way at {event.source}")
        return
    spent = draft.progress.spent
    draft.change_progress(spent=structs.replace(spent, lessor_seconds=spent.lessor_seconds + data.core_seconds))
    _sent_on(draft, subtask, record)
    if not record.digest:
        partnership.owes(draft, something=True)
    windows.fill(draft, subtask.id)


def taken(draft: Draft, event: Event) -> None:
    """`batch.taken`: the partner has the result; the first counts."""
    partnership.require_partner(draft, event)
    batch = data_of(event, BatchTaken).batch
    subtask, record = _sealed_by(draft, batch), draft.batch(batch.batch)
    if record is None or record.round != batch.round or record.digest:
        return
    record = structs.replace(record, digest="taken", owner=subtask.id, rows_at=subtask.id)
    draft.put(f"batch/{record.number}", record)
    done = draft.progress
    draft.change_progress(batches_done=done.batches_done + 1, rows_done=done.rows_done + record.rows)
    if record.number in subtask.under_way:
        _sent_on(draft, subtask, record)
        windows.fill(draft, subtask.id)
    done = draft.progress
    partnership.owes(draft, something=done.forwarded > done.batches_done or done.batches_done >= draft.job.batches)


def rejected(draft: Draft, event: Event) -> None:
    """`batch.rejected`: what the lessor sent cannot be used; its work goes elsewhere."""
    partnership.require_partner(draft, event)
    data = data_of(event, BatchRejected)
    subtask, record = _sealed_by(draft, data.batch), draft.batch(data.batch.batch)
    draft.note("incident", f"{event.source} refused a result of {subtask.lessor}: {data.reason}", code=data.code)
    if record is None or record.round != data.batch.round or record.digest:
        return
    if record.number not in subtask.under_way and record.owner == subtask.id:
        draft.change_progress(forwarded=max(0, draft.progress.forwarded - 1))
        draft.put(f"batch/{record.number}", structs.replace(record, rows_at=""))
        faults.hand_over(draft, runs.single([record.number]), last=subtask.id)
    faults.lose(draft, subtask.id, data.code, data.reason, told=faults.NOT_ACCEPTED)


def output_accepted(draft: Draft, event: Event) -> None:
    """`output.accepted`: on to the next round, or to the end."""
    data, joint = data_of(event, OutputAccepted), partnership.joint_of(draft)
    known = draft.round(data.round)
    if known is None or known.phase != "open" or data.round != draft.progress.round:
        draft.note("late", f"an output of round {data.round}")
        return
    happened = "solved" if data.reply else "output"
    phase = advance(ROUND, known.phase, happened)
    draft.put(f"round/{data.round}", structs.replace(known, phase=phase, output=data.digest))
    partnership.owes(draft, something=bool(data.reply))
    partnership.learn(draft, partnership.taught_by_rounds(draft).answered(data.round, data.outputs))
    draft.note("round-answered", f"round {data.round} of {joint.rounds}", outputs=data.outputs, bytes=data.bytes_back)
    spent = draft.progress.spent
    seconds, size = spent.decrypt_seconds + data.decrypt_seconds, spent.bytes_back + data.bytes_back
    draft.change_progress(spent=structs.replace(spent, decrypt_seconds=seconds, bytes_back=size))
    if data.reply:
        reply = ReplyGiven(job=draft.job.spec.id, values=data.reply)
        draft.send("reply.given", joint.partner, draft.job.spec.id, reply)
    elif data.round < joint.rounds:
        partnership.plan(draft, data.round + 1)
    else:
        ending.finish(draft)


def advanced(draft: Draft, event: Event) -> None:
    """`sums.advanced`: the partner goes on; its time begins anew."""
    partnership.require_partner(draft, event)
    data = data_of(event, SumsAdvanced)
    draft.note("sums-advanced", f"{data.done} of {data.units}")
    if draft.progress.batches_done >= draft.job.batches:
        partnership.owes(draft, something=True)


def continued(draft: Draft, event: Event) -> None:
    """`work.continued`: the partner is not done yet, and not gone."""
    partnership.require_partner(draft, event)
    partnership.works(draft)


def norm_told(draft: Draft, event: Event) -> None:
    """`norm.told`: the partner has the weights of its own columns, and the model is done."""
    partnership.require_partner(draft, event)
    known, data = draft.round(1), data_of(event, NormTold)
    if known is None or known.phase != "replying":
        return
    taught = partnership.taught_by_rounds(draft)
    assert isinstance(taught, Moments)
    partnership.learn(draft, taught.solved())
    draft.put("round/1", structs.replace(known, phase=advance(ROUND, known.phase, "norm"), norm=data.norm))
    partnership.owes(draft, something=False)
    ending.finish(draft)


def output_refused(draft: Draft, event: Event) -> None:
    """`output.refused`: the partner sent what is no output."""
    data = data_of(event, OutputRefused)
    ending.fail(
        draft, data.code, f"the output of {partnership.joint_of(draft).partner} in round {data.round}: {data.reason}"
    )


def rounds_done(draft: Draft, event: Event) -> None:
    """`rounds.done`: the update program wants no further round."""
    data = data_of(event, RoundsDone)
    known = draft.round(data.round)
    if known is not None and known.phase == "planning":
        draft.delete(f"round/{data.round}")
        draft.note("rounds-done", f"the update program ended the rounds after {data.round - 1}")
        ending.finish(draft)


def timer_fired(draft: Draft, event: Event) -> None:
    """`timer.fired`: the partner's, or another."""
    data = data_of(event, TimerFired)
    if data.name != "partner":
        faults.timer_fired(draft, event)
        return
    partner, agreement = partnership.joint_of(draft).partner, draft.find(Agreement, "agreement")
    since = max(draft.job.submitted_at if agreement is None else agreement.owes_since, data.hearing_since)
    seconds = draft.now - since
    if agreement is not None and not agreement.owes_since:
        return
    if seconds < draft.config.partner_seconds_max:
        partnership.remind(draft, since)
        return
    if agreement is None:
        ending.fail(draft, "hub-silent", f"no hub introduced the partner {partner} in time")
        return
    what = _WAITED_FOR.get(draft.phase, f"round {draft.progress.round}")
    ending.fail(draft, "partner-silent", f"nothing from the partner {partner} for {seconds:.0f} s about {what}")


def _sealed_by(draft: Draft, batch: Batch) -> Subtask:
    """Whose result the partner speaks of: it checked the contract against the sender; the subtask a lessor may name."""
    return draft.subtask(subtask_of(batch.contract))


def _sent_on(draft: Draft, subtask: Subtask, record: BatchRecord) -> None:
    """The batch is at the partner, or on its way."""
    draft.put(f"batch/{record.number}", structs.replace(record, rows_at=subtask.id))
    draft.change_progress(forwarded=draft.progress.forwarded + 1)
    windows.credit(draft, subtask.id, record)


def _begin_again(draft: Draft, number: int) -> None:
    """Every batch once more, each to the subtask whose enclaves have its rows. Looks at all batches, once per round."""
    draft.change_progress(round=number, batches_done=0, rows_done=0, forwarded=0, waiting=())
    serving = {each.id for each in draft.subtasks() if each.phase in SERVING}
    numbers: dict[str, list[int]] = {}
    for record in sorted((each for _, each in draft.each(BatchRecord, "batch")), key=lambda each: each.number):
        numbers.setdefault(record.rows_at if record.rows_at in serving else "", []).append(record.number)
    for subtask in serving:
        draft.change_subtask(subtask, queue=runs.of(numbers.get(subtask, ())), under_way=())
    faults.hand_over(draft, runs.of(numbers.get("", ())), last="")
