"""From submission to contracts: prepare, assess (A1, A2), order (R1), collect contracts (R4), split (S1). Pure."""

from __future__ import annotations

import msgspec

from nodes.contracts import verify_contract
from nodes.draft import data_of
from nodes.machine import CancelTimer, Perform, Refused
from nodes.protections import traits_of
from nodes.renter.protocol import cutting, ending, leases, market, partnership, windows
from nodes.renter.protocol.assess import NoProtection, assess
from nodes.renter.protocol.draft import Draft
from nodes.renter.protocol.outcomes import JobPrepared
from nodes.renter.protocol.records import LOCAL, ContractRecord, Job, Progress, Subtask, subtask_of
from nodes.renter.protocol.runs import Runs, shares
from nodes.renter.protocol.split import split
from nodes.renter.protocol.states import JOB, SUBTASK
from nodes.renter.protocol.subtasks import announce
from nodes.states import advance
from schemas.contracts import Contract
from schemas.errors import BadInput, VerificationFailed
from schemas.events import (
    BuyOrderRefused,
    ContractsCompleted,
    ContractSigned,
    Event,
    JobSubmitted,
)
from schemas.signing import struct_bytes


def submitted(draft: Draft, event: Event) -> None:
    """`job.submitted`: only the renter's own users may."""
    data = data_of(event, JobSubmitted)
    if event.source != draft.config.me:
        raise Refused("not-a-user", "jobs are submitted with the renter's own identity")
    draft.put("job", Job(spec=data.spec, submitted_at=draft.now))
    draft.put("progress", Progress(phase=advance(JOB, draft.phase, "submitted")))
    draft.do(Perform(activity="prepare", params={"spec": msgspec.to_builtins(data.spec)}))


def cancelled(draft: Draft, event: Event) -> None:
    """`job.cancelled`."""
    ending.fail(draft, "cancelled", "the user took the job back")


def prepared(draft: Draft, event: Event) -> None:
    """`job.prepared`: decide the protection, then order compute that accepts it."""
    facts = data_of(event, JobPrepared).facts
    try:
        assessment = assess(draft.job.spec, facts)
    except NoProtection as error:
        ending.fail(draft, error.code, str(error))
        return
    draft.change_job(facts=facts.under(traits_of(assessment.chosen)), assessment=assessment)
    draft.note("assessment", assessment.reason, **msgspec.to_builtins(assessment))
    if draft.job.spec.joint is None:
        draft.advance("assessed")
        market.place_first_order(draft)
    else:
        partnership.ask(draft)


def contract_signed(draft: Draft, event: Event) -> None:
    """`contract.signed`: verified offline before it counts."""
    contract, job = data_of(event, ContractSigned).contract, draft.job
    signed = struct_bytes(contract.buy)
    keys = (draft.config.key, contract.renter_key)
    own = all(draft.context.verify(key, signed, contract.buy.signature) for key in keys)
    if contract.renter != draft.config.me or not own:
        raise Refused("not-my-contract", f"{contract.id} does not rent for {draft.config.me}")
    try:
        verify_contract(contract, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, f"{event.source} sent a contract that does not verify: {error}") from error
    if contract.buy.id != job.order or draft.phase not in ("ordering", "running"):
        draft.note("late", f"contract {contract.id} of an order that is no longer wanted")
        market.end_contract(draft, contract, "not-wanted")
        return
    if contract.starts_at < job.ordered_at - market.HUB_SKEW_SECONDS_MAX:
        _give_back_backdated(draft, contract, event.source)
        return
    if draft.find_contract(contract.id) is None:
        draft.put(f"contract/{contract.id}", ContractRecord(contract=contract, order=contract.buy.id))
    _start_if_complete(draft)


def _give_back_backdated(draft: Draft, contract: Contract, hub: str) -> None:
    """Older than its order: on terms of yesterday, or by another clock. A job that waits for it waits for nothing."""
    early = f"{contract.id} began {draft.job.ordered_at - contract.starts_at:.0f} s before {contract.buy.id} was placed"
    reason = f"{early}, by this clock: set it and {hub}'s"
    draft.note("backdated", reason)
    market.end_contract(draft, contract, "backdated", reason=reason)
    if draft.phase == "ordering":
        ending.fail(draft, "backdated", reason)


def matched(draft: Draft, event: Event) -> None:
    """`order.buy.matched`: all contracts of the order are signed; some may still be on their way."""
    data = data_of(event, ContractsCompleted)
    if data.order == draft.job.order:
        draft.change_job(expected_contracts=data.contracts)
        _start_if_complete(draft)


def order_refused(draft: Draft, event: Event) -> None:
    """`order.buy.refused`: no match in time."""
    data = data_of(event, BuyOrderRefused)
    if data.order == draft.job.order and draft.job.renewing:
        leases.order_refused(draft, data.reason)
    elif data.order == draft.job.order:
        causes = draft.job.causes
        before = "".join(f"; before that, {text}" for _, text in causes)
        code = causes[0][0] if causes else data.code
        draft.change_job(order="")
        ending.fail(draft, code, f"no compute for this job: {data.reason}{before}")


def _start_if_complete(draft: Draft) -> None:
    wanted, known = draft.job.expected_contracts, {each.contract for each in draft.subtasks()}
    if not wanted or not known.isdisjoint(wanted) or any(draft.find_contract(each) is None for each in wanted):
        return
    draft.do(CancelTimer(name="match"))
    records = [draft.contract(each) for each in wanted]
    try:
        queues = _split(draft, records) if draft.phase == "ordering" else _share_waiting(draft, len(records))
    except BadInput as error:
        ending.fail(draft, "bad-split", str(error))
        return
    new = [_start(draft, record, queue) for record, queue in zip(records, queues, strict=True)]
    leases.succeed(draft, new)
    for subtask in new:
        partnership.show(draft, draft.contract(subtask.contract).contract)
        leases.go_on(draft, subtask.id)
    windows.compute_local(draft)
    ending.finish_if_done(draft)


def _start(draft: Draft, record: ContractRecord, queue: Runs) -> Subtask:
    contract = record.contract
    needs = "needs-secret" if traits_of(contract.protection).attested else "needs-none"
    subtask = Subtask(
        id=subtask_of(contract.id),
        contract=contract.id,
        lessor=contract.lessor,
        phase=advance(SUBTASK, "new", needs),
        queue=queue,
        started_at=draft.now,
        heard_at=draft.now,
    )
    draft.put(f"subtask/{subtask.id}", subtask)
    announce(draft, subtask)
    leases.watch(draft, subtask, contract)
    return subtask


def _split(draft: Draft, records: list[ContractRecord]) -> list[Runs]:
    """Each contract's queue; raises BadInput when the job would have too many batches."""
    spec, (facts, _) = draft.job.spec, draft.job.decided
    rows_each = cutting.planned(draft.job)
    owners = [(subtask_of(record.contract.id), record.contract.units) for record in records]
    parts = split(facts.rows, rows_each, owners, spec.local_share)
    batches = sum(part.batches for part in parts)
    draft.change_job(batches=batches, parts=parts)
    draft.advance("split")
    shown = {part.owner: part.rows for part in parts}
    draft.note("split", f"{facts.rows} rows into {batches} batches", rows_by_owner=shown, batch_rows=rows_each)
    partnership.plan(draft, 1)
    ends = [(part.first_batch, part.first_batch + part.batches) for part in parts if part.owner != LOCAL]
    return [(run,) if run[0] < run[1] else () for run in ends]


def _share_waiting(draft: Draft, lessors: int) -> list[Runs]:
    waiting = draft.progress.waiting
    draft.change_progress(waiting=())
    return shares(waiting, lessors)
